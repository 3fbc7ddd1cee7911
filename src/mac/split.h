#pragma once

// Shares the resource blocks of one slot among the handsets that proportional fairness put first.

#include "base/view.h"

namespace noroshi::mac {

struct Claim {
  int handset = 0;
  double metric = 0;   // achievable rate / average rate; > 0
  bool probe = false;  // nothing was sent lately: its link is unknown
  int rbs_wanted = 0;  // that empty the handset's queue, at most the carrier's
  int rbs = 0;         // out
};

// Puts the best claims first and gives them `rbs` resource blocks; returns how many claims got any.
// At most claims_max do, and none whose metric is below a share of the best one's, as long as the
// better ones can use what there is: dividing further would spend the slot on handsets in a fade.
// The best probe among the others gets a few blocks, however poor its metric: the report that comes
// back keeps its estimate true, or a handset once seen in a fade would wait long for its peak.
// With claims_max = 1 it gets the slot.
// A claim that wants less than its share leaves the rest to the others.
int split_rbs(View<Claim, 1> claims, int claims_max, int rbs);

}  // namespace noroshi::mac
