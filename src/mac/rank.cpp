// How many layers a handset gets, alone on its blocks or beside another one: those that the last
// reports say carry most.

#include <cmath>

#include "mac/state.h"

namespace noroshi::mac {
namespace {

// What a further layer, or another handset on the same blocks, is thought to cost beyond its share
// of the power until it was tried: as one hopes, to decide whether to try; and as one fears, to
// send what then still arrives.
constexpr double untried_db = 4;
constexpr double untried_worst_db = 9;

struct Expected {
  double sinr_db = 0;
  bool known = true;
};

double share_db(int layers) { return 10 * std::log10(layers); }

// What is known, else what the nearest link says that is, without what trying costs. More layers
// are tried one at a time: how they mix nobody knows, and what is sent too boldly not even HARQ
// saves. Nothing: not to be tried.
std::optional<Expected> expected_alone(const Direction& from, int layers, SlotCount slot) {
  const Link& own = from.link(layers, layers);
  if (known(own, slot)) return Expected{effective_sinr_db(own, slot), true};
  for (int distance = 1; distance < from.layers_max; ++distance)
    for (const int other : {layers - distance, layers + distance}) {
      if (other < 1 || other > from.layers_max || other < layers - 1) continue;
      const Link& link = from.link(other, other);
      if (known(link, slot))
        return Expected{effective_sinr_db(link, slot) + share_db(other) - share_db(layers),
                        other > layers};
    }
  // Where nothing is known: one layer.
  if (layers > 1) return std::nullopt;
  return Expected{effective_sinr_db(own, slot), true};
}

// The same beside another handset: with fewer layers in all, else alone.
std::optional<Expected> expected_paired(const Direction& from, int layers, int group_layers,
                                        SlotCount slot) {
  for (int group = group_layers; group > 1; --group) {
    const Link& link = from.paired_links[static_cast<std::size_t>(group - 1)];
    if (known(link, slot))
      return Expected{effective_sinr_db(link, slot) - share_db(layers), group == group_layers};
  }
  const Link& alone = from.link(layers, layers);
  if (!known(alone, slot)) return std::nullopt;
  return Expected{effective_sinr_db(alone, slot), false};
}

Choice choice_of(const Direction& from, int layers, int group_layers, SlotCount slot) {
  const McsLadder& ladder = *from.ladder;
  const bool paired = group_layers > layers;
  const bool plain = layers == 1 && !paired;  // always allowed: there is nothing else to do
  if (!plain && !has_room(from.link(layers, group_layers))) return {};
  const std::optional<Expected> expect = paired ? expected_paired(from, layers, group_layers, slot)
                                                : expected_alone(from, layers, slot);
  if (!expect) return {};
  const double hoped_db = expect->sinr_db - (expect->known ? 0 : untried_db);
  if (!plain && hoped_db < ladder.required_sinr_db[0]) return {};
  Choice choice{.layers = layers, .group_layers = group_layers, .known = expect->known};
  choice.mcs = choose_mcs(ladder, hoped_db);
  choice.rate = layers * ladder.spectral_efficiency[static_cast<std::size_t>(choice.mcs)];
  if (!choice.known) choice.mcs = choose_mcs(ladder, expect->sinr_db - untried_worst_db);
  return choice;
}

}  // namespace

double Mac::State::sinr_db(const Direction& from, int layers, SlotCount slot) const {
  const std::optional<Expected> expect = expected_alone(from, layers, slot);
  if (!expect) return from.ladder->required_sinr_db[0] - 1;
  return expect->sinr_db - (expect->known ? 0 : untried_db);
}

Choice Mac::State::choose(const Direction& from, int layers_max, SlotCount slot) const {
  Choice best;
  for (int layers = 1; layers <= std::min(from.layers_max, layers_max); ++layers) {
    const Choice choice = choice_of(from, layers, layers, slot);
    if (choice.layers > 0 && (best.layers == 0 || choice.rate > best.rate)) best = choice;
  }
  return best;
}

// Of the ways to share layers_max layers the one that carries most.
PairChoice Mac::State::choose_pair(const Direction& first, const Direction& second, int layers_max,
                                   SlotCount slot) const {
  PairChoice best;
  for (int a = 1; a <= std::min(first.layers_max, layers_max - 1); ++a)
    for (int b = 1; b <= std::min(second.layers_max, layers_max - a); ++b) {
      const Choice one = choice_of(first, a, a + b, slot);
      const Choice other = choice_of(second, b, a + b, slot);
      if (one.layers > 0 && other.layers > 0 && one.rate + other.rate > best.rate)
        best = {one, other, one.rate + other.rate};
    }
  return best;
}

// Before new data go by this choice. A link that was never used begins no higher than its neighbour
// stands.
void Mac::State::begin(Direction& from, const Choice& choice) {
  Link& link = from.link(choice.layers, choice.group_layers);
  ++link.in_flight;
  if (!link.starting || link.reports > 0) return;
  const int others = choice.group_layers - choice.layers;
  const Link& neighbour = others > 0          ? from.link(choice.layers, choice.layers)
                          : choice.layers > 1 ? from.link(choice.layers - 1, choice.layers - 1)
                                              : link;
  link.offset_db = std::min(link.offset_db, neighbour.offset_db);
}

}  // namespace noroshi::mac
