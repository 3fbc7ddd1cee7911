#include "engine/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace noroshi::engine {

Result<OutputLog> OutputLog::open(const std::string& path) {
  if (path.empty()) {
    const int fd = memfd_create("engine-output", MFD_CLOEXEC);
    if (fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0) return OutputLog(fd, 1 << 20);
    if (fd >= 0) close(fd);
    return Error{std::string("engine: no memory for its output: ") + std::strerror(errno)};
  }
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return Error{"engine log " + path + ": " + std::strerror(errno)};
  return OutputLog(fd, 64 << 20);
}

OutputLog::OutputLog(OutputLog&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), bytes_max_(other.bytes_max_) {}

OutputLog& OutputLog::operator=(OutputLog&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(bytes_max_, other.bytes_max_);
  return *this;
}

OutputLog::~OutputLog() {
  if (fd_ >= 0) close(fd_);
}

void OutputLog::limit() const {
  struct stat info {};
  if (fstat(fd_, &info) != 0 || info.st_size <= bytes_max_) return;
  if (ftruncate(fd_, 0) != 0) return;  // it grows on; nothing else depends on it
}

std::string OutputLog::tail(std::size_t bytes_max) const {
  struct stat info {};
  if (fstat(fd_, &info) != 0) return {};
  const off_t from = std::max<off_t>(0, info.st_size - static_cast<off_t>(bytes_max));
  std::string text(bytes_max, '\0');
  const ssize_t count = pread(fd_, text.data(), text.size(), from);
  text.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
  if (from > 0) text.erase(0, std::min(text.find('\n'), text.size() - 1) + 1);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

namespace {

// What the child does between vfork and exec: system calls only. It has our memory but its own
// signal handlers, descriptors and scheduling.
[[noreturn]] void run_child(const SpawnOptions& options, char* const* argv, char* const* envp,
                            const cpu_set_t& processors, pid_t parent, int null_fd, int fault_fd) {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) sigaction(number, &standard, nullptr);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // we died before prctl
  const sched_param priority{};
  sched_setscheduler(0, options.idle_class ? SCHED_IDLE : SCHED_OTHER, &priority);
  int fault = 0;
  if (options.memory_bytes_max > 0) {
    const rlimit limit{options.memory_bytes_max, options.memory_bytes_max};
    if (setrlimit(RLIMIT_DATA, &limit) != 0) fault = errno;
  }
  if (!options.processors.empty() && sched_setaffinity(0, sizeof processors, &processors) != 0) {
    fault = errno;
  }
  if (fault == 0 &&
      (dup2(null_fd, STDIN_FILENO) < 0 || dup2(options.output_fd, STDOUT_FILENO) < 0 ||
       dup2(options.output_fd, STDERR_FILENO) < 0)) {
    fault = errno;
  }
  if (fault == 0) {
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    execve(argv[0], argv, envp);
    fault = errno;
  }
  // The parent reads it; if the pipe is gone, so is the parent.
  if (write(fault_fd, &fault, sizeof fault) < 0) _exit(126);
  _exit(127);
}

std::vector<char*> pointers(const std::vector<std::string>& texts) {
  std::vector<char*> out;
  for (const std::string& text : texts) out.push_back(const_cast<char*>(text.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> merged_environment(const std::vector<std::string>& added) {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) out.emplace_back(*entry);
  for (const std::string& entry : added) {
    const std::string name = entry.substr(0, entry.find('=') + 1);
    const bool known = std::any_of(out.begin(), out.end(),
                                   [&name](const std::string& e) { return e.starts_with(name); });
    if (!known) out.push_back(entry);
  }
  return out;
}

}  // namespace

Result<pid_t> spawn(const SpawnOptions& options) {
  const std::vector<std::string> environment = merged_environment(options.environment);
  const std::vector<char*> argv = pointers(options.arguments);
  const std::vector<char*> envp = pointers(environment);
  cpu_set_t processors;
  CPU_ZERO(&processors);
  for (const int processor : options.processors) {
    if (processor < 0 || processor >= CPU_SETSIZE) {
      return Error{"engine: there is no processor " + std::to_string(processor)};
    }
    CPU_SET(processor, &processors);
  }
  int faults[2];
  if (pipe2(faults, O_CLOEXEC) != 0) return Error{std::string("pipe: ") + std::strerror(errno)};
  const int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  const pid_t parent = getpid();

  // No handler of ours may run in the child while it has our memory.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = vfork();  // not fork: copy-on-write would page-fault the radio's threads
  if (pid == 0) {
    run_child(options, argv.data(), envp.data(), processors, parent, null_fd, faults[1]);
  }
  const int fork_fault = errno;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  close(faults[1]);
  if (null_fd >= 0) close(null_fd);
  int fault = pid < 0 ? fork_fault : 0;
  if (pid > 0) {
    int exec_fault = 0;
    if (read(faults[0], &exec_fault, sizeof exec_fault) == sizeof exec_fault) fault = exec_fault;
  }
  close(faults[0]);
  if (fault == 0) return pid;
  if (pid > 0) waitpid(pid, nullptr, 0);
  return Error{"cannot run " + options.arguments[0] + ": " + std::strerror(fault)};
}

ExitStatus reap(pid_t pid) {
  // The group first: as long as the child is not waited for, its number is nobody else's.
  kill(-pid, SIGKILL);
  kill(pid, SIGKILL);
  int status = 0;
  rusage usage{};
  while (wait4(pid, &status, 0, &usage) < 0 && errno == EINTR) {
  }
  ExitStatus out;
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    out.text = "was killed by signal " + std::to_string(number) + " (" + strsignal(number) + ")";
  } else {
    out.text = "exited with status " + std::to_string(WEXITSTATUS(status));
  }
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  out.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  return out;
}

double cpu_seconds_of(pid_t pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  std::ifstream file(folder + "/stat");
  std::string line;
  if (!std::getline(file, line)) return 0;
  const std::size_t name_end = line.rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return 0;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 14; ++field) fields >> skipped;
  double ticks = 0;
  for (int field = 14; field <= 17; ++field) {  // utime, stime, cutime, cstime (proc(5))
    double value = 0;
    fields >> value;
    ticks += value;
  }
  double seconds = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));

  std::error_code error;
  for (const auto& task : std::filesystem::directory_iterator(folder + "/task", error)) {
    std::ifstream children(task.path() / "children");
    for (pid_t child = 0; children >> child;) seconds += cpu_seconds_of(child);
  }
  return seconds;
}

Result<std::filesystem::path> find_llama_server(
    const std::string& path_variable, const std::vector<std::filesystem::path>& prefixes) {
  constexpr const char* name = "llama-server";
  std::istringstream folders(path_variable);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::filesystem::path path = std::filesystem::path(folder) / name;
    if (!folder.empty() && access(path.c_str(), X_OK) == 0) return path;
  }
  for (const std::filesystem::path& prefix : prefixes) {
    const std::filesystem::path path = prefix / "bin" / name;
    if (access(path.c_str(), X_OK) == 0) return path;
  }
  return Error{
      "no llama-server on PATH and none in a private prefix: run scripts/get_llama.sh, or name a "
      "server's file (engine.executable) or its address (engine.url) in the configuration"};
}

}  // namespace noroshi::engine
