#pragma once

// Who may use which processor until the next tick: the decision, and nothing else. Pure: no clock,
// no system call, no allocation.
//
// The radio's processors are lent to the engines whenever the radio leaves them time worth having,
// and are the radio's again before it needs them. Every tick, for each radio processor, from all
// work whose requests are known (the MAC plans two slots ahead), of this cell and of the cells that
// share the processor, done in order from now on:
//
//   next   processor time of this cell's work at the next tick, at p50
//   risk   the share of such slots that finish in time without an engine and, margin later, would
//          not: P(deadline - margin < finish <= deadline), of the piece with the largest
//   left   the share of the time to the end of the known slots that all of it leaves, at p50
//
//   early <=>  next >= early_min
//   lent  <=>  the budget covers the risk  and  left >= left_min
//
// Early: the worker is up `early` before the tick, and brings what its work needs back into the
// caches that an engine has washed. A thread of the radio's priority that runs is the fastest way
// to free a processor: nothing has to be moved, the engine stands still. That is what a priority
// alone cannot do, for it does not know which slots will be heavy (docs/decisions/0016-early.md).
//
// Taken: the engines are kept off the processor altogether, by the keeper, for as long as that
// holds. The budget grows by risk_max a slot, up to that of budget_slots slots, and pays the risk
// of every slot that is lent: in the long run an engine makes no more than risk_max of all slots
// late. The margin is what an engine on the processor can cost the radio: the switch, its cache, a
// kernel section that cannot be preempted. Slots that are late without an engine too say nothing
// against lending: only those count that the engine would make late. An engine's threads wait for
// one another at every layer of the model, so a processor that the radio leaves a sliver of slows
// the engine more than it helps: left_min. A taken processor is given back as soon as both hold by
// a little more.
//
// Each cell of a site decides for itself what it wants, by the sum of all cells' work; a processor
// is taken while any cell wants it (board.h).

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
  std::int64_t early_ns = 60'000;  // 0: never
  std::int64_t early_min_ns = 100'000;
  std::int64_t margin_ns = 60'000;
  double risk_max = 1e-4;
  int budget_slots = 2000;
  double left_min = 0.3;
};

// A piece of radio work that is known to come.
struct RadioWork {
  int processor = 0;  // of the radio's, 0 the first
  std::int64_t release_ns = 0, deadline_ns = 0;
  std::int64_t p50_ns = 0;
  const CostModel* model = nullptr;  // of what `work` costs; nullptr: another cell's piece, whose
  const SlotWork* work = nullptr;    // risk is its own affair
};

struct LeaseDecision {
  std::uint64_t taken = 0;  // bit p: radio processor p is the radio's alone
  std::uint64_t early = 0;  // bit p: its worker is to be up early_ns before the next tick
  // Of the processor that is worst off.
  double risk = 0;
  double left = 1;
};

class Lease {
 public:
  static constexpr int processors_max = 64;

  // 0 < processors <= processors_max.
  Lease(const LeaseConfig& config, int processors);

  // work: all that is known, in the order in which each processor does it. next_tick_ns: when this
  // cell's next work is released. until_ns: the end of the last slot whose requests are known.
  LeaseDecision decide(std::int64_t now_ns, std::int64_t next_tick_ns, std::int64_t until_ns,
                       View<const RadioWork, 1> work);

 private:
  // Of one processor.
  struct Outlook {
    std::int64_t next_ns = 0;
    double risk = 0;
    double left = 1;
  };
  Outlook look(std::size_t processor, std::int64_t now_ns, std::int64_t next_tick_ns,
               std::int64_t until_ns, View<const RadioWork, 1> work) const;
  bool lends(std::size_t processor, const Outlook& outlook);

  LeaseConfig config_;
  std::size_t processors_;
  std::uint64_t taken_;
  std::array<double, processors_max> budget_;  // of each, in slots that an engine may make late
};

}  // namespace noroshi::site
