#include "site/lease/mechanism.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "site/realtime.h"

namespace noroshi::site {
namespace {

namespace fs = std::filesystem;

void add_threads(pid_t process, std::vector<pid_t>& threads) {
  const std::size_t first = threads.size();
  std::error_code error;
  const fs::path tasks = fs::path("/proc") / std::to_string(process) / "task";
  for (fs::directory_iterator it(tasks, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename();
    pid_t thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    if (thread > 0) threads.push_back(thread);
  }
  const std::size_t last = threads.size();
  for (std::size_t i = first; i < last; ++i) {
    std::ifstream children(tasks / std::to_string(threads[i]) / "children");
    for (pid_t child = 0; children >> child;) add_threads(child, threads);
  }
}

cpu_set_t set_of(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : processors) CPU_SET(processor, &set);
  return set;
}

std::string list_of(const std::vector<int>& processors) {
  std::string list;
  for (const int processor : processors)
    list += (list.empty() ? "" : ",") + std::to_string(processor);
  return list;
}

// Stops and continues process groups; an engine leads its own (engine/process.h).
class Standstill {
 public:
  void adopt(const std::vector<HeldProcess>& processes) {
    processes_.clear();
    for (const HeldProcess& held : processes) processes_.push_back(held.process);
    if (stopped_) signal_all(SIGSTOP);
  }
  void set(bool stopped) {
    if (stopped == stopped_) return;
    stopped_ = stopped;
    signal_all(stopped ? SIGSTOP : SIGCONT);
  }

 private:
  void signal_all(int number) const {
    for (const pid_t process : processes_) {
      if (process > 1 && kill(-process, number) != 0) kill(process, number);
    }
  }
  std::vector<pid_t> processes_;
  bool stopped_ = false;
};

// Where a process runs when these processors are allowed.
cpu_set_t place_of(const std::vector<int>& home, const cpu_set_t& allowed) {
  cpu_set_t place = set_of(home);
  CPU_AND(&place, &place, &allowed);
  return CPU_COUNT(&place) > 0 ? place : allowed;
}

class Affinity final : public Mechanism {
 public:
  ~Affinity() override { standstill_.set(false); }
  std::string name() const override { return "affinity"; }

  Result<int> adopt(const std::vector<HeldProcess>& processes) override {
    standstill_.adopt(processes);
    std::vector<Thread> threads;
    for (const HeldProcess& held : processes) {
      if (held.process <= 0) continue;
      std::vector<pid_t> found;
      add_threads(held.process, found);
      for (const pid_t id : found) threads.push_back({id, held.home});
    }
    std::ranges::sort(threads, {}, &Thread::id);
    int strays = 0;
    for (const Thread& thread : threads) {
      cpu_set_t is;
      if (!confined_ || sched_getaffinity(thread.id, sizeof is, &is) != 0) continue;
      const cpu_set_t place = place_of(thread.home, allowed_);
      if (CPU_EQUAL(&is, &place)) continue;
      strays += std::ranges::binary_search(threads_, thread.id, {}, &Thread::id) ? 1 : 0;
      if (sched_setaffinity(thread.id, sizeof place, &place) != 0 && errno != ESRCH)
        return refusal();
    }
    threads_ = std::move(threads);
    return strays;
  }

  Result<void> confine(const std::vector<int>& processors) override {
    if (processors.empty()) {
      standstill_.set(true);
      return {};
    }
    allowed_ = set_of(processors);
    confined_ = true;
    std::optional<Error> refused;
    for (const Thread& thread : threads_) {
      const cpu_set_t place = place_of(thread.home, allowed_);
      if (sched_setaffinity(thread.id, sizeof place, &place) != 0 && errno != ESRCH)
        refused = refusal();
    }
    standstill_.set(false);
    if (refused) return *refused;
    return {};
  }

 private:
  struct Thread {
    pid_t id;
    std::vector<int> home;
  };
  static Error refusal() {
    return Error{std::string("cannot move an engine's thread: sched_setaffinity: ") +
                 std::strerror(errno)};
  }
  Standstill standstill_;
  std::vector<Thread> threads_;  // ascending
  cpu_set_t allowed_{};
  bool confined_ = false;
};

bool write_text(const fs::path& file, const std::string& text) {
  const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

std::string read_line(const fs::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

class Cpuset final : public Mechanism {
 public:
  Cpuset(fs::path group, std::string version)
      : group_(std::move(group)), version_(std::move(version)) {
    file_ = open((group_ / "cpuset.cpus").c_str(), O_WRONLY | O_CLOEXEC);
  }
  ~Cpuset() override {
    standstill_.set(false);
    if (file_ >= 0) close(file_);
    // What still lives goes back to the parent; an empty group can be removed.
    std::ifstream inside(group_ / "cgroup.procs");
    for (std::string process; inside >> process;)
      write_text(group_.parent_path() / "cgroup.procs", process);
    rmdir(group_.c_str());
  }
  std::string name() const override { return "cpuset (control groups " + version_ + ")"; }

  Result<int> adopt(const std::vector<HeldProcess>& processes) override {
    standstill_.adopt(processes);
    for (const HeldProcess& held : processes) {
      if (held.process <= 0) continue;
      // Descendants that were born before their parent came in.
      std::vector<pid_t> tree = {held.process};
      add_threads(held.process, tree);
      for (const pid_t one : tree) {
        if (!inside(one) && !write_text(group_ / "cgroup.procs", std::to_string(one)) &&
            errno != ESRCH)
          return refusal("cgroup.procs");
        // A thread's own affinity says where in the group it runs. Linux before 6.2 forgets it when
        // the group shrinks.
        cpu_set_t is;
        const cpu_set_t place = place_of(held.home, allowed_);
        if (held.home.empty() || sched_getaffinity(one, sizeof is, &is) != 0 ||
            CPU_EQUAL(&is, &place))
          continue;
        sched_setaffinity(one, sizeof place, &place);  // refused or ended: the group holds it
      }
    }
    return 0;
  }

  Result<void> confine(const std::vector<int>& processors) override {
    if (processors.empty()) {
      standstill_.set(true);
      return {};
    }
    allowed_ = set_of(processors);
    const std::string list = list_of(processors);
    if (pwrite(file_, list.data(), list.size(), 0) != static_cast<ssize_t>(list.size()))
      return refusal("cpuset.cpus");
    standstill_.set(false);
    return {};
  }

 private:
  bool inside(pid_t process) const {
    std::ifstream groups("/proc/" + std::to_string(process) + "/cgroup");
    for (std::string line; std::getline(groups, line);) {
      if (line.ends_with("/" + group_.filename().string())) return true;
    }
    return false;
  }
  Error refusal(const char* file) const {
    return Error{"control group " + (group_ / file).string() + ": " + std::strerror(errno)};
  }

  fs::path group_;
  std::string version_;
  int file_ = -1;
  cpu_set_t allowed_ = set_of(usable_processors());
  Standstill standstill_;
};

std::string new_group_name() {
  static int count = 0;
  return "noroshi-" + std::to_string(getpid()) + "-" + std::to_string(count++);
}

}  // namespace

std::vector<pid_t> threads_of(pid_t process) {
  std::vector<pid_t> threads;
  add_threads(process, threads);
  return threads;
}

std::unique_ptr<Mechanism> make_affinity_mechanism() { return std::make_unique<Affinity>(); }

Result<std::unique_ptr<Mechanism>> make_cpuset_mechanism(const std::string& groups) {
  const fs::path root(groups);
  const std::string way_out =
      "; run as root, or have a group with cpuset delegated (systemd: "
      "Delegate=cpuset)";
  const bool is_v1 = fs::exists(root / "cpuset" / "cpuset.cpus");
  const bool is_v2 =
      (" " + read_line(root / "cgroup.controllers") + " ").find(" cpuset ") != std::string::npos;
  if (!is_v1 && !is_v2) return Error{"no control groups with cpuset under " + groups};
  const fs::path parent = is_v1 ? root / "cpuset" : root;
  if (!is_v1 && !write_text(root / "cgroup.subtree_control", "+cpuset"))
    return Error{(root / "cgroup.subtree_control").string() + ": " + std::strerror(errno) +
                 way_out};
  const fs::path group = parent / new_group_name();
  std::error_code error;
  if (!fs::create_directory(group, error))
    return Error{"cannot make control group " + group.string() + ": " + error.message() + way_out};
  // v1 starts empty and takes no process before both are set.
  const char* cpus = is_v1 ? "cpuset.cpus" : "cpuset.cpus.effective";
  const char* mems = is_v1 ? "cpuset.mems" : "cpuset.mems.effective";
  if (!write_text(group / "cpuset.cpus", read_line(parent / cpus)) ||
      !write_text(group / "cpuset.mems", read_line(parent / mems))) {
    const std::string why = std::strerror(errno);
    rmdir(group.c_str());
    return Error{"control group " + group.string() + ": " + why + way_out};
  }
  return std::unique_ptr<Mechanism>(std::make_unique<Cpuset>(group, is_v1 ? "v1" : "v2"));
}

Result<std::unique_ptr<Mechanism>> make_mechanism(const std::string& name,
                                                  const std::string& groups) {
  if (name == "affinity") return make_affinity_mechanism();
  if (name != "cpuset" && name != "auto")
    return Error{"no lease mechanism '" + name + "': auto, affinity or cpuset"};
  Result<std::unique_ptr<Mechanism>> cpuset = make_cpuset_mechanism(groups);
  if (cpuset || name == "cpuset") return cpuset;
  return make_affinity_mechanism();
}

}  // namespace noroshi::site
