// Where blocks of a transmission lie: the scheduler counts blocks from 0 on and hands them out one
// behind the other; here they become those of the carrier, and here stands which counts are lawful.

#include <algorithm>

#include "mac/state.h"
#include "nr/resource_allocation.h"

namespace noroshi::mac {
namespace {

// Type 0: of resource block groups every other one first, then those between; in odd slots the
// other way round. visit(first block, blocks) in this order, until it returns false.
template <class Visit>
void for_each_group(int rb_count, bool odd, Visit visit) {
  const int size = nr::rbg_size(rb_count, 1);
  const int groups = nr::rbg_count(0, rb_count, 1);
  for (const int from : {odd ? 1 : 0, odd ? 0 : 1})
    for (int g = from; g < groups; g += 2)
      if (!visit(g * size, std::min(size, rb_count - g * size))) return;
}

// Transform precoding: 2^a 3^b 5^c blocks (TS 38.211 6.3.1.4).
bool is_dft_size(int rbs) {
  for (const int factor : {2, 3, 5})
    while (rbs % factor == 0) rbs /= factor;
  return rbs == 1;
}

}  // namespace

int Mac::State::hop_offset() const {
  return config.hopping_offset_rbs > 0 ? config.hopping_offset_rbs : config.carrier.rb_count / 2;
}

// With hopping: no allocation lies on both sides of it, so that none is torn by the modulo of
// TS 38.214 6.3.
int Mac::State::hop_border(SlotCount slot) const {
  const int border = config.carrier.rb_count - hop_offset();
  const bool mirrored = config.hopping == Hopping::intra_slot && slot % 2 != 0;
  return mirrored ? config.carrier.rb_count - border : border;
}

int Mac::State::first_block(bool is_uplink, int rb_first, int rbs, SlotCount slot) const {
  if (!is_uplink || config.hopping == Hopping::none) return rb_first;
  const int border = hop_border(slot);
  return rb_first < border && rb_first + rbs > border ? border : rb_first;
}

int Mac::State::lawful_rbs(bool is_uplink, int rb_first, int rbs, SlotCount slot) const {
  const int rb_count = config.carrier.rb_count;
  if (config.allocation_type == 0) {
    int end = 0;
    for_each_group(rb_count, slot % 2 != 0, [&](int, int size) {
      end += size;
      return end < rb_first + rbs;
    });
    return end - rb_first;
  }
  if (is_uplink && config.hopping != Hopping::none && rb_first < hop_border(slot))
    rbs = std::min(rbs, hop_border(slot) - rb_first);
  if (is_uplink && config.transform_precoding)
    while (!is_dft_size(rbs)) --rbs;
  return rbs;
}

void Mac::State::fill_blocks(bool is_uplink, const Place& place, SlotCount slot,
                             fapi::Allocation& allocation) const {
  const int rb_count = config.carrier.rb_count;
  allocation.rb_size = static_cast<std::uint16_t>(place.rbs);
  allocation.resource_alloc = static_cast<std::uint8_t>(config.allocation_type);
  if (config.allocation_type == 0) {
    allocation.rb_size = 0;
    int at = 0;
    for_each_group(rb_count, slot % 2 != 0, [&](int first, int size) {
      for (int rb = first; rb < first + size; ++rb, ++at)
        if (at >= place.rb_start && at < place.rb_start + place.rbs) {
          std::uint8_t& byte = allocation.rb_bitmap[static_cast<std::size_t>(rb / 8)];
          byte = static_cast<std::uint8_t>(byte | 1 << rb % 8);
        }
      return at < place.rb_start + place.rbs;
    });
    return;
  }
  int first = place.rb_start;
  if (is_uplink && config.hopping == Hopping::inter_slot) {
    first = nr::hopped_first_block(rb_count, first, hop_offset(), static_cast<int>(slot % 2));
  } else if (slot % 2 != 0) {
    // Every other slot is filled from the top, so that a retransmission rarely meets the same fade.
    first = rb_count - first - place.rbs;
  }
  allocation.rb_start = static_cast<std::uint16_t>(first);
}

// The share of a transmission's elements that PT-RS take.
double Mac::State::taken_by_ptrs(bool is_uplink, int rbs) const {
  if (!(is_uplink ? config.uplink_ptrs : config.downlink_ptrs)) return 0;
  constexpr double dft_samples = 4;  // two groups of two
  const int density = config.ptrs_frequency_density;
  const double elements = is_uplink && config.transform_precoding
                              ? dft_samples
                              : static_cast<double>((rbs + density - 1) / density);
  return elements / (12.0 * rbs * config.ptrs_time_density);
}

Refusal refuse_combination(const MacConfig& config) {
  const bool up = config.uplink_layers_max > 1, group = config.uplink_group_layers > 1;
  if (config.allocation_type != 0 && config.allocation_type != 1)
    return {"allocation_type", double(config.allocation_type), "0, 1"};
  if (config.hopping != Hopping::none && config.allocation_type == 0)
    return {"frequency_hopping", double(static_cast<int>(config.hopping)),
            "none with allocation_type 0 (TS 38.214 6.3)"};
  if (config.hopping_offset_rbs < 0 || config.hopping_offset_rbs >= config.carrier.rb_count)
    return {"hopping_offset_rbs", double(config.hopping_offset_rbs),
            "0 (half of the carrier) to one block less than the carrier has"};
  if (config.transform_precoding && config.allocation_type == 0)
    return {"transform_precoding", 1, "false with allocation_type 0 (TS 38.214 6.1.2.2)"};
  if (config.transform_precoding && up)
    return {"transform_precoding", 1, "false with uplink_layers_max above 1 (TS 38.214 6.1.1)"};
  if (config.transform_precoding && group)
    return {"transform_precoding", 1, "false with uplink_group_layers above 1: pairs are CP-OFDM"};
  if (config.uplink_ptrs && group)
    return {"ptrs", 1, "none, downlink with uplink_group_layers above 1: pairs have no PT-RS"};
  if (config.downlink_ptrs && config.downlink_layers_max > codeword_layers_max)
    return {"ptrs", 1,
            "none, uplink with downlink_layers_max above 4: DM-RS ports from 4 on have none "
            "(TS 38.214 5.1.6.2)"};
  const int l = config.ptrs_time_density, k = config.ptrs_frequency_density;
  if (l != 1 && l != 2 && l != 4) return {"ptrs_time_density", double(l), "1, 2, 4"};
  if (l == 4 && config.uplink_ptrs && config.transform_precoding)
    return {"ptrs_time_density", 4, "1, 2 with transform_precoding (TS 38.214 6.2.3.2)"};
  if (k != 2 && k != 4) return {"ptrs_frequency_density", double(k), "2, 4"};
  return {};
}

}  // namespace noroshi::mac
