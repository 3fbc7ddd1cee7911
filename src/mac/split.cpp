#include "mac/split.h"

#include <algorithm>
#include <cassert>

namespace noroshi::mac {
namespace {

// Below 1 so that handsets of like merit share a slot (lower delay), high enough that one in a
// fade waits: a handset 3 dB above its own mean has a metric well above 1 / 0.8 of the others'.
constexpr double metric_share_min = 0.8;

// Fewer would spend more on DM-RS estimation edges and per-PDU work than they carry.
constexpr int rbs_min = 4;

}  // namespace

int split_rbs(View<Claim, 1> claims, int claims_max, int rbs) {
  assert(claims_max >= 1 && rbs >= 0);
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) {
    return a.metric != b.metric ? a.metric > b.metric : a.handset < b.handset;
  });

  // With a single place the probe has the slot to itself.
  if (claims_max == 1) {
    std::size_t alone = 0;
    while (alone < claims.size() && !claims[alone].probe) ++alone;
    if (alone < claims.size()) std::swap(claims[0], claims[alone]);
  }

  // Who takes part: those near the best, and more while there would be blocks left over.
  const std::size_t most = std::min({claims.size(), static_cast<std::size_t>(claims_max),
                                     static_cast<std::size_t>(std::max(1, rbs / rbs_min))});
  std::size_t count = 0;
  int wanted = 0;
  while (rbs > 0 && count < most &&
         (wanted < rbs || claims[count].metric >= metric_share_min * claims[0].metric)) {
    assert(claims[count].rbs_wanted > 0);
    claims[count].rbs = 0;
    wanted += claims[count].rbs_wanted;
    ++count;
  }

  // One probe more, in the place of the last one where all places are taken.
  int probe_rbs = 0;
  std::size_t probe = count;
  while (probe < claims.size() && !claims[probe].probe) ++probe;
  if (count > 0 && probe < claims.size() && most > 1) {
    if (count == most) wanted -= claims[--count].rbs_wanted;
    std::swap(claims[count], claims[probe]);
    probe_rbs = std::min(rbs_min, claims[count].rbs_wanted);
    claims[count].rbs = probe_rbs;
  }

  // Equal shares; what one does not want goes round again. Ends: each round gives at least one
  // block or satisfies everyone.
  int left = std::min(rbs - probe_rbs, wanted);
  while (left > 0) {
    int hungry = 0;
    for (std::size_t i = 0; i < count; ++i) hungry += claims[i].rbs < claims[i].rbs_wanted;
    const int share = std::max(1, left / hungry);
    for (std::size_t i = 0; i < count && left > 0; ++i) {
      const int more = std::min({share, claims[i].rbs_wanted - claims[i].rbs, left});
      claims[i].rbs += more;
      left -= more;
    }
  }
  return static_cast<int>(count) + (probe_rbs > 0 ? 1 : 0);
}

}  // namespace noroshi::mac
