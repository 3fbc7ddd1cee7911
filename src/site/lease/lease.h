#pragma once

// Who may use which processor until the next tick: the decision, and nothing else. Pure: no clock,
// no system call, no allocation.
//
// The radio's processors are lent to the engines whenever it leaves them time worth having, and
// taken back before it needs them. Every tick, for each radio processor, from all work whose
// requests are known (the MAC plans two slots ahead), done in order from now on:
//
//   risk   the share of such slots that finish in time without an engine and, margin later, would
//          not: P(deadline - margin < finish <= deadline), of the piece with the largest
//   left   the share of the time to the end of the known slots that all of it leaves, at p50
//
//   lent  <=>  the budget covers the risk  and  left >= left_min
//
// The budget grows by risk_max a slot, up to that of budget_slots slots, and pays the risk of every
// slot that is lent: in the long run an engine makes no more than risk_max of all slots late.
//
// The margin is what an engine on the processor can cost the radio: the switch, its cache, a kernel
// section that cannot be preempted. Slots that are late without an engine too (a host that stalls)
// say nothing against lending: only those count that the engine would make late. An engine's
// threads wait for one another at every layer of the model, so a processor that the radio leaves a
// sliver of slows the engine more than it helps: left_min. A taken processor is given back as soon
// as both hold by a little more.

#include <array>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "base/view.h"
#include "site/lease/cost_model.h"

namespace noroshi::site {

enum class LeasePolicy : std::uint8_t {
  off,          // no engine runs
  fixed_split,  // engines never run on the radio's processors ("static")
  os,           // engines run everywhere; priorities alone decide
  lease,        // as above
};
// "off", "static", "os", "lease". Errors: another word, with these four.
Result<LeasePolicy> lease_policy(std::string_view name);
std::string_view name_of(LeasePolicy policy);

struct LeaseConfig {
  LeasePolicy policy = LeasePolicy::lease;
  std::int64_t margin_ns = 60'000;
  double risk_max = 1e-4;
  int budget_slots = 2000;
  double left_min = 0.3;
};

// A piece of radio work that is known to come.
struct RadioWork {
  int worker = 0;  // which radio processor, 0 the first
  std::int64_t release_ns = 0, deadline_ns = 0;
  std::int64_t p50_ns = 0;
  const CostModel* model = nullptr;  // of what `work` costs
  const SlotWork* work = nullptr;
};

struct LeaseDecision {
  std::uint64_t taken = 0;  // bit w: the processor of radio worker w is the radio's alone
  // Of the worker that is worst off.
  double risk = 0;
  double left = 1;
};

class Lease {
 public:
  static constexpr int workers_max = 64;

  // 0 < workers <= workers_max.
  Lease(const LeaseConfig& config, int workers);

  // work: all that is known, in the order in which each worker does it. until_ns: the end of the
  // last slot whose requests are known.
  LeaseDecision decide(std::int64_t now_ns, std::int64_t until_ns, View<const RadioWork, 1> work);

 private:
  bool keep(std::size_t worker, std::int64_t now_ns, std::int64_t until_ns,
            View<const RadioWork, 1> work, LeaseDecision& decision);

  LeaseConfig config_;
  std::size_t workers_;
  std::uint64_t taken_;
  std::array<double, workers_max> budget_;  // of each worker, in slots
};

}  // namespace noroshi::site
