#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <mutex>

#include "site/lease/mechanism_parts.h"
#include "site/realtime.h"

namespace noroshi::site {
namespace {

namespace fs = std::filesystem;

constexpr const char* way_out =
    "; run as root, or have a group with cpuset delegated (systemd: Delegate=cpuset)";

// One control group for each home: when a processor is taken only the group that lives there is
// written, and the kernel touches no other engine's threads.
class Cpuset final : public Mechanism {
 public:
  Cpuset(fs::path parent, bool is_v1) : parent_(std::move(parent)), is_v1_(is_v1) {}
  ~Cpuset() override {
    standstill_.set(false);
    for (const Group& group : groups_) {
      if (group.cpus_fd >= 0) close(group.cpus_fd);
      // What still lives goes back to the parent; an empty group can be removed.
      std::ifstream inside(group.path / "cgroup.procs");
      for (std::string process; inside >> process;) write_text(parent_ / "cgroup.procs", process);
      rmdir(group.path.c_str());
    }
  }
  std::string name() const override {
    return std::string("cpuset (control groups ") + (is_v1_ ? "v1)" : "v2)");
  }

  Result<int> adopt(const std::vector<HeldProcess>& processes) override {
    {
      const std::lock_guard lock(mutex_);
      standstill_.adopt(processes);
    }
    int strays = 0;
    for (const HeldProcess& held : processes) {
      if (held.process <= 0) continue;
      const Result<std::size_t> group = group_of(held.home);
      if (!group) return group.error();
      const Result<int> moved = move_in(held.process, groups_[*group]);
      if (!moved) return moved;
      strays += *moved;
    }
    std::erase_if(known_, [](pid_t process) { return !fs::exists(proc(process)); });
    return strays;
  }

  Result<void> confine(const std::vector<int>& processors) override {
    const std::lock_guard lock(mutex_);
    if (processors.empty()) {
      standstill_.set(true);
      return {};
    }
    allowed_ = processors;
    for (Group& group : groups_) {
      if (const Result<void> written = write_place(group); !written) return written;
    }
    standstill_.set(false);
    return {};
  }

  // Whether a group may be made at all.
  Result<void> try_out() {
    const Result<std::size_t> group = group_of({});
    if (!group) return group.error();
    return {};
  }

 private:
  struct Group {
    std::vector<int> home;
    fs::path path;
    int cpus_fd = -1;
    std::string written;  // what its cpuset.cpus was told
  };

  static fs::path proc(pid_t process) { return fs::path("/proc") / std::to_string(process); }

  Result<std::size_t> group_of(const std::vector<int>& home) {
    for (std::size_t i = 0; i < groups_.size(); ++i) {
      if (groups_[i].home == home) return i;
    }
    Group group;
    group.home = home;
    group.path = parent_ / new_group_name();
    std::error_code error;
    if (!fs::create_directory(group.path, error))
      return Error{"cannot make control group " + group.path.string() + ": " + error.message() +
                   way_out};
    // v1 starts empty and takes no process before both are set.
    const char* cpus = is_v1_ ? "cpuset.cpus" : "cpuset.cpus.effective";
    const char* mems = is_v1_ ? "cpuset.mems" : "cpuset.mems.effective";
    if (!write_text(group.path / "cpuset.cpus", read_first_line(parent_ / cpus)) ||
        !write_text(group.path / "cpuset.mems", read_first_line(parent_ / mems))) {
      const std::string why = std::strerror(errno);
      rmdir(group.path.c_str());
      return Error{"control group " + group.path.string() + ": " + why + way_out};
    }
    // Else v1 builds the scheduler's domains anew whenever the processors change: 80 us instead of
    // 6 a write. The parent's domain balances these threads as before. Where it fails it is slower.
    if (is_v1_) write_text(group.path / "cpuset.sched_load_balance", "0");
    group.cpus_fd = open((group.path / "cpuset.cpus").c_str(), O_WRONLY | O_CLOEXEC);
    const std::lock_guard lock(mutex_);
    groups_.push_back(std::move(group));
    if (const Result<void> written = write_place(groups_.back()); !written) return written.error();
    return groups_.size() - 1;
  }

  Result<void> write_place(Group& group) {
    const std::string list = list_of(place_of(group.home, allowed_));
    if (list == group.written) return {};
    if (pwrite(group.cpus_fd, list.data(), list.size(), 0) != static_cast<ssize_t>(list.size()))
      return refusal(group, "cpuset.cpus");
    group.written = list;
    return {};
  }

  // The process and its descendants. Children are born in their parent's group: what is elsewhere
  // is new, or was born before its parent came in, or has strayed.
  Result<int> move_in(pid_t process, const Group& group) {
    int strays = 0;
    std::vector<pid_t> tree = {process};
    for (const pid_t thread : threads_of(process)) {
      if (thread != process) tree.push_back(thread);
    }
    for (const pid_t one : tree) {
      const bool is_known = std::ranges::find(known_, one) != known_.end();
      if (!is_known) known_.push_back(one);
      if (inside(one, group)) continue;
      strays += is_known ? 1 : 0;
      // Into v2's leaves only whole processes go: a thread's id stands for its process there.
      if (!write_text(group.path / "cgroup.procs", std::to_string(one)) && errno != ESRCH)
        return refusal(group, "cgroup.procs");
    }
    return strays;
  }

  static bool inside(pid_t process, const Group& group) {
    std::ifstream groups(proc(process) / "cgroup");
    for (std::string line; std::getline(groups, line);) {
      if (line.ends_with("/" + group.path.filename().string())) return true;
    }
    return false;
  }

  static Error refusal(const Group& group, const char* file) {
    return Error{"control group " + (group.path / file).string() + ": " + std::strerror(errno)};
  }

  fs::path parent_;
  bool is_v1_;
  std::vector<pid_t> known_;
  InheritingMutex mutex_;      // of all that follows
  std::vector<Group> groups_;  // only adopt() adds to them
  std::vector<int> allowed_ = usable_processors();
  Standstill standstill_;
};

}  // namespace

Result<std::unique_ptr<Mechanism>> make_cpuset_mechanism(const std::string& groups) {
  const fs::path root(groups);
  const bool is_v1 = fs::exists(root / "cpuset" / "cpuset.cpus");
  const bool is_v2 = (" " + read_first_line(root / "cgroup.controllers") + " ").find(" cpuset ") !=
                     std::string::npos;
  if (!is_v1 && !is_v2) return Error{"no control groups with cpuset under " + groups};
  if (!is_v1 && !write_text(root / "cgroup.subtree_control", "+cpuset"))
    return Error{(root / "cgroup.subtree_control").string() + ": " + std::strerror(errno) +
                 way_out};
  auto cpuset = std::make_unique<Cpuset>(is_v1 ? root / "cpuset" : root, is_v1);
  if (const Result<void> tried = cpuset->try_out(); !tried) return tried.error();
  return std::unique_ptr<Mechanism>(std::move(cpuset));
}

}  // namespace noroshi::site
