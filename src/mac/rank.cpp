// How many layers a handset gets: those that the last reports say carry most.

#include <cmath>

#include "mac/state.h"

namespace noroshi::mac {
namespace {

// A number of layers that was not used for so long is unknown again.
constexpr SlotCount remembered_slots = 1000;

// What a further layer is thought to cost beyond its share of the power, until it was tried.
constexpr double untried_db = 4;

bool known(const Link& link, SlotCount slot) {
  return link.reports > 0 && slot - link.last_report_slot <= remembered_slots;
}

}  // namespace

// What is known, else what the nearest number of layers says that is. More layers are tried one at
// a time: how they mix nobody knows, and what is sent too boldly not even HARQ saves.
double Mac::State::sinr_db(const Direction& from, int layers, SlotCount slot) const {
  const Link& own = from.links[static_cast<std::size_t>(layers - 1)];
  if (from.layers_max == 1 || known(own, slot)) return effective_sinr_db(own, slot);
  for (int distance = 1; distance < from.layers_max; ++distance) {
    for (const int other : {layers - distance, layers + distance}) {
      if (other < 1 || other > from.layers_max) continue;
      const Link& link = from.links[static_cast<std::size_t>(other - 1)];
      if (!known(link, slot) || other < layers - 1) continue;
      const double share_db = 10 * std::log10(static_cast<double>(other) / layers);
      return effective_sinr_db(link, slot) + share_db - (layers > other ? untried_db : 0);
    }
  }
  // Nothing is known: one layer as ever, more not yet.
  return layers == 1 ? effective_sinr_db(own, slot) : ladder.required_sinr_db[0] - 1;
}

Choice Mac::State::choose(const Direction& from, int layers_max, SlotCount slot) const {
  Choice best;
  double best_rate = -1;
  for (int layers = 1; layers <= std::min(from.layers_max, layers_max); ++layers) {
    const double sinr = sinr_db(from, layers, slot);
    const int mcs = choose_mcs(ladder, sinr);
    if (layers > 1 && sinr < ladder.required_sinr_db[0]) continue;
    const double rate = layers * ladder.spectral_efficiency[static_cast<std::size_t>(mcs)];
    if (rate <= best_rate) continue;
    best_rate = rate;
    best = {layers, mcs};
  }
  return best;
}

}  // namespace noroshi::mac
