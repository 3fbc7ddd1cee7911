#include "nr/carrier.h"

#include <algorithm>
#include <cassert>
#include <iterator>
#include <string>

#include "base/slot.h"

namespace noroshi::nr {
namespace {

// TS 38.104 table 5.3.2-1; 0: not applicable.
constexpr int bandwidths_mhz[] = {5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90, 100};
constexpr int rb_counts[2][15] = {
    {25, 52, 79, 106, 133, 160, 188, 216, 242, 270, 0, 0, 0, 0, 0},
    {11, 24, 38, 51, 65, 78, 92, 106, 119, 133, 162, 189, 217, 245, 273},
};

bool scs_supported(int scs_khz) { return scs_khz == 15 || scs_khz == 30; }

Error unsupported_scs(int scs_khz) {
  return Error{"subcarrier spacing " + std::to_string(scs_khz) + " kHz: use 15 or 30"};
}

}  // namespace

Result<Carrier> make_carrier(int scs_khz, int bandwidth_mhz) {
  if (!scs_supported(scs_khz)) return unsupported_scs(scs_khz);
  const auto& rbs = rb_counts[scs_khz == 15 ? 0 : 1];
  const auto* const column =
      std::find(std::begin(bandwidths_mhz), std::end(bandwidths_mhz), bandwidth_mhz);
  const int rb_count =
      column == std::end(bandwidths_mhz) ? 0 : rbs[column - std::begin(bandwidths_mhz)];
  if (rb_count == 0) {
    std::string allowed;
    for (std::size_t i = 0; i < std::size(bandwidths_mhz); ++i)
      if (rbs[i] != 0) allowed += (i == 0 ? "" : ", ") + std::to_string(bandwidths_mhz[i]);
    return Error{"bandwidth " + std::to_string(bandwidth_mhz) + " MHz at " +
                 std::to_string(scs_khz) + " kHz: TS 38.104 table 5.3.2-1 has " + allowed};
  }
  Carrier carrier;
  carrier.scs_khz = scs_khz;
  carrier.bandwidth_mhz = bandwidth_mhz;
  carrier.rb_count = rb_count;
  carrier.fft_size = 128;
  while (carrier.fft_size <= carrier.subcarriers()) carrier.fft_size *= 2;
  return carrier;
}

int cyclic_prefix_samples(const Carrier& carrier, int slot_in_subframe, int symbol) {
  const int mu_scale = slots_per_subframe(carrier.scs_khz);  // 2^mu
  assert(slot_in_subframe >= 0 && slot_in_subframe < mu_scale);
  assert(symbol >= 0 && symbol < symbols_per_slot);
  const int symbol_in_subframe = slot_in_subframe * symbols_per_slot + symbol;
  const bool longer = symbol_in_subframe % (7 * mu_scale) == 0;
  return (144 + (longer ? 16 * mu_scale : 0)) * carrier.fft_size / 2048;
}

int slot_samples(const Carrier& carrier, int slot_in_subframe) {
  int samples = symbols_per_slot * carrier.fft_size;
  for (int symbol = 0; symbol < symbols_per_slot; ++symbol)
    samples += cyclic_prefix_samples(carrier, slot_in_subframe, symbol);
  return samples;
}

int slot_samples_max(const Carrier& carrier) {
  int samples = 0;
  for (int slot = 0; slot < slots_per_subframe(carrier.scs_khz); ++slot)
    samples = std::max(samples, slot_samples(carrier, slot));
  return samples;
}

Result<DuplexPattern> make_duplex_pattern(const char* text, int scs_khz) {
  if (!scs_supported(scs_khz)) return unsupported_scs(scs_khz);
  DuplexPattern pattern;
  const std::string name = text;
  const std::string where = "duplex pattern \"" + name + "\": ";
  if (name == "FDD") {
    pattern.fdd = true;
    pattern.period_slots = 1;
    pattern.slots[0] = SlotKind::both;
    return pattern;
  }
  if (name.empty()) return Error{where + "is empty; write FDD or letters such as DDDSU"};
  if (name.size() > std::size(pattern.slots))
    return Error{where + "has " + std::to_string(name.size()) + " slots; at most 20"};
  std::fill(std::begin(pattern.slots), std::end(pattern.slots), SlotKind::downlink);
  bool downlink = false;
  for (std::size_t i = 0; i < name.size(); ++i) {
    switch (name[i]) {
      case 'D':
        pattern.slots[i] = SlotKind::downlink;
        break;
      case 'S':
        pattern.slots[i] = SlotKind::special;
        break;
      case 'U':
        pattern.slots[i] = SlotKind::uplink;
        break;
      default:
        return Error{where + "letter " + std::to_string(i + 1) +
                     " is none of D, S, U; write FDD or letters such as DDDSU"};
    }
    downlink = downlink || name[i] == 'D';
  }
  if (!downlink) return Error{where + "has no downlink slot; add a D"};
  pattern.period_slots = static_cast<int>(name.size());
  const int slots_in_20_ms = 20 * slots_per_subframe(scs_khz);
  if (slots_in_20_ms % pattern.period_slots != 0)
    return Error{where + "a period of " + std::to_string(pattern.period_slots) +
                 " slots does not divide 20 ms (" + std::to_string(slots_in_20_ms) + " slots)"};
  return pattern;
}

}  // namespace noroshi::nr
