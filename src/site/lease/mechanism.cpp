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
  void adopt(const std::vector<pid_t>& processes) {
    processes_ = processes;
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

class Affinity final : public Mechanism {
 public:
  ~Affinity() override { standstill_.set(false); }
  std::string name() const override { return "affinity"; }

  Result<int> adopt(const std::vector<pid_t>& processes) override {
    standstill_.adopt(processes);
    std::vector<pid_t> threads;
    for (const pid_t process : processes) {
      if (process > 0) add_threads(process, threads);
    }
    int strays = 0;
    std::ranges::sort(threads);
    for (const pid_t thread : threads) {
      cpu_set_t is;
      if (!confined_ || sched_getaffinity(thread, sizeof is, &is) != 0) continue;
      if (CPU_EQUAL(&is, &wanted_)) continue;
      strays += std::ranges::binary_search(threads_, thread) ? 1 : 0;
      if (sched_setaffinity(thread, sizeof wanted_, &wanted_) != 0 && errno != ESRCH)
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
    wanted_ = set_of(processors);
    confined_ = true;
    bool refused = false;
    for (const pid_t thread : threads_) {
      if (sched_setaffinity(thread, sizeof wanted_, &wanted_) != 0 && errno != ESRCH)
        refused = true;
    }
    const Error error = refusal();
    standstill_.set(false);
    if (refused) return error;
    return {};
  }

 private:
  static Error refusal() {
    return Error{std::string("cannot move an engine's thread: sched_setaffinity: ") +
                 std::strerror(errno)};
  }
  Standstill standstill_;
  std::vector<pid_t> threads_;  // ascending
  cpu_set_t wanted_{};
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

  Result<int> adopt(const std::vector<pid_t>& processes) override {
    standstill_.adopt(processes);
    for (const pid_t process : processes) {
      if (process <= 0) continue;
      // Descendants that were born before their parent came in.
      std::vector<pid_t> tree = {process};
      add_threads(process, tree);
      for (const pid_t one : tree) {
        if (inside(one)) continue;
        if (!write_text(group_ / "cgroup.procs", std::to_string(one)) && errno != ESRCH)
          return refusal("cgroup.procs");
      }
    }
    return 0;
  }

  Result<void> confine(const std::vector<int>& processors) override {
    if (processors.empty()) {
      standstill_.set(true);
      return {};
    }
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
