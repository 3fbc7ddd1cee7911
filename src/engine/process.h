#pragma once

// A child process that cannot outlive us or get in the radio's way.

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"

namespace noroshi::engine {

// The file that a child writes to: one on disk, or (empty path) one in memory. Kept below a size,
// by starting over when it gets larger.
class OutputLog {
 public:
  static Result<OutputLog> open(const std::string& path);
  OutputLog(OutputLog&& other) noexcept;
  OutputLog& operator=(OutputLog&& other) noexcept;
  ~OutputLog();

  int fd() const { return fd_; }
  void limit() const;                                   // to be called now and then
  std::string tail(std::size_t bytes_max = 400) const;  // the last whole lines

 private:
  OutputLog(int fd, off_t bytes_max) : fd_(fd), bytes_max_(bytes_max) {}
  int fd_ = -1;
  off_t bytes_max_ = 0;
};

struct SpawnOptions {
  std::vector<std::string> arguments;    // the first is the file to execute
  std::vector<std::string> environment;  // NAME=value, added to ours where ours has no NAME
  std::vector<int> processors;           // affinity; empty: as ours
  bool idle_class = false;               // SCHED_IDLE; else SCHED_OTHER
  std::uint64_t memory_bytes_max = 0;    // that it may allocate (RLIMIT_DATA); 0: no limit
  int output_fd = -1;                    // stdout and stderr
};

// Starts it in its own process group. It dies with the calling thread (PR_SET_PDEATHSIG), so the
// thread must live as long as the child should. Errors: what exec or the system refused.
Result<pid_t> spawn(const SpawnOptions& options);

struct ExitStatus {
  std::string text;  // "exited with status 1", "was killed by signal 9 (Killed)"
  double cpu_seconds = 0;
};

// Kills what is left of the group, waits for the child and releases its pid.
ExitStatus reap(pid_t pid);

// User and system time of a process and its living descendants, and of those it has waited for.
double cpu_seconds_of(pid_t pid);

// The llama-server to start: the first on PATH (path_variable, as the environment has it), else the
// first of the private prefixes' bin/llama-server. Errors say how to get one.
Result<std::filesystem::path> find_llama_server(const std::string& path_variable,
                                                const std::vector<std::filesystem::path>& prefixes);

}  // namespace noroshi::engine
