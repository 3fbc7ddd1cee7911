#pragma once

// Outer-loop link adaptation of one handset and direction: reported SINR plus a learnt offset to
// an MCS (TS 38.214 5.1.3.1, 6.1.4.1).
//
//   mcs = highest with required_sinr_db[mcs] <= predicted_db + offset_db
//   offset_db -= step                            first transmission failed
//   offset_db += step * target / (1 - target)    first transmission passed
//
// so the offset rests where the first transmissions' block error ratio is the target. A link starts
// below that and, until a failure was followed by a success, takes longer steps: from below few
// fail, whereas every dB from above costs two failures, times the blocks in flight. Of a link that
// starts only few blocks are to be in flight: the allowance doubles with each success. The
// prediction starts from the lower of the last two reports, less something for each slot without a
// report, and shrinks towards the mean by as much as such expectations have missed what was then
// measured (the regression of a Wiener predictor): where the channel turns faster than feedback
// comes back, chasing its peaks would only choose schemes that the mean cannot carry, and HARQ
// could not save.

#include <array>
#include <optional>

#include "base/slot.h"
#include "nr/mcs.h"

namespace noroshi::mac {

inline constexpr int mcs_count_max = 29;

struct McsLadder {
  int count = 0;
  std::array<double, mcs_count_max> required_sinr_db{};     // for about 10 % block errors in AWGN
  std::array<double, mcs_count_max> spectral_efficiency{};  // information bits a resource element
};

McsLadder mcs_ladder(nr::McsTable table);

// What a report and the ladder miss is thought to have a deviation of 2 dB: the lower the target,
// the further below a link starts.
double start_offset_db(double target_bler);

struct Link {
  static constexpr int window = 2;  // reports
  static constexpr int allowance_max = 64;

  double offset_db = -3;
  bool starting = true;
  bool failed = false;  // the last outcome
  int allowance = 1;    // first transmissions in flight, while it starts
  int in_flight = 0;    // the same, those that are
  std::array<double, window> reports_db{};
  int reports = 0;  // valid ones
  int next = 0;
  SlotCount last_report_slot = 0;

  // Regression of what was measured on what had been expected, over some hundred reports.
  double weight = 0;  // of the past so far, for an unbiased start
  double expected_mean_db = 0;
  double measured_mean_db = 0;
  double expected_variance = 0;
  double covariance = 0;
};

// A link that was not used for so long is unknown again.
inline constexpr SlotCount remembered_slots = 1000;
bool known(const Link& link, SlotCount slot);

// slot: of the transmission that was measured. expected_db: recent_sinr_db when it was scheduled;
// nothing where the link was not known.
void on_sinr_report(Link& link, SlotCount slot, std::optional<double> expected_db, double sinr_db);

// The lowest of the last reports, less their age.
double recent_sinr_db(const Link& link, SlotCount slot);

// mcs_limited: the ladder's end chose the MCS, not the estimate; its outcome then says nothing
// about the offset in that direction.
struct FirstOutcome {
  bool ok = false;
  bool at_lowest = false;
  bool at_highest = false;
};
void on_first_outcome(Link& link, double target_bler, FirstOutcome outcome);

// False where its blocks in flight are to be waited for first.
inline bool has_room(const Link& link) { return !link.starting || link.in_flight < link.allowance; }

// Estimate plus offset.
double effective_sinr_db(const Link& link, SlotCount slot);

// Never below 0: a handset out of range is served as robustly as the table can.
int choose_mcs(const McsLadder& ladder, double sinr_db);

}  // namespace noroshi::mac
