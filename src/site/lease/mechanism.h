#pragma once

// How the lease's decision reaches the engines' processes. Engines are below the radio in any case
// (SCHED_IDLE or SCHED_OTHER under SCHED_FIFO); a mechanism keeps them off a processor altogether.
//
//   affinity   sched_setaffinity of every thread. Always allowed for our own children, but an
//              engine may set its own again: adopt() finds and corrects that.
//   cpuset     control groups of ours, v1 or v2, one for each home. Nothing in one can leave. Needs
//              the right to make one (root, or a delegated group).
//   resctrl    beside either: engines fill only a share of the last-level cache and of the memory
//              bandwidth, where processor and kernel can divide them.
//
// Either stops the processes (SIGSTOP) when no processor is left to them.
//
// Two threads may use one, each always the same of adopt() and confine(): adopt() reads /proc for
// milliseconds, and confine() never waits for that.

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace noroshi::site {

// An engine's process, and where it runs as long as it may: one whose threads wait for one another
// has processors of its own (docs/decisions/0014-engines-by-processor.md). Empty: anywhere.
struct HeldProcess {
  pid_t process = 0;  // <= 0: not there now
  std::vector<int> home;
};

class Mechanism {
 public:
  virtual ~Mechanism() = default;
  virtual std::string name() const = 0;

  // From now on these processes and all their descendants are held; others no more. To be called
  // now and then: finds new threads. Returns how many threads were where they may not be and had
  // not been new. Slow: reads /proc. Processes that have ended are no error.
  virtual Result<int> adopt(const std::vector<HeldProcess>& processes) = 0;

  // When it returns, no thread that adopt() found runs on another processor. Each runs on those of
  // its home that are allowed, or, when none is, on any that is allowed. Empty: none runs at all.
  // Errors: what the system refused; threads that have ended are none.
  virtual Result<void> confine(const std::vector<int>& processors) = 0;
};

std::unique_ptr<Mechanism> make_affinity_mechanism();

// groups: where control groups are mounted, usually /sys/fs/cgroup. Errors: there are none, or we
// may not make one there; the message says how to allow it. The group is removed at the end.
Result<std::unique_ptr<Mechanism>> make_cpuset_mechanism(const std::string& groups);

// What of the cache and the memory bandwidth engines may have; 1: all.
struct ResctrlConfig {
  std::string root = "/sys/fs/resctrl";
  double cache_share = 0.5;
  double bandwidth_share = 1;
};

// Adds that to a mechanism. Errors: the system has none of it, or refuses; the mechanism is as
// before then.
Result<void> add_resctrl(std::unique_ptr<Mechanism>& mechanism, const ResctrlConfig& config);

// name: "affinity", "cpuset", or "auto": cpuset where it is allowed, else affinity. Errors: another
// name; cpuset that is not allowed.
Result<std::unique_ptr<Mechanism>> make_mechanism(const std::string& name,
                                                  const std::string& groups);

// Threads of a process and of its living descendants.
std::vector<pid_t> threads_of(pid_t process);

}  // namespace noroshi::site
