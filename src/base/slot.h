#pragma once

// Radio time: slots counted from the start of the run, and their names in the 1024-frame cycle.

#include <cstdint>

namespace noroshi {

using SlotCount = std::int64_t;  // slots since the cell started; never wraps in practice

struct SlotName {
  int sfn = 0;   // system frame number, 0..1023
  int slot = 0;  // slot in the frame, 0 .. 10 * 2^mu - 1
  bool operator==(const SlotName&) const = default;
};

constexpr int slots_per_subframe(int scs_khz) { return scs_khz / 15; }
constexpr int slots_per_frame(int scs_khz) { return 10 * slots_per_subframe(scs_khz); }

constexpr SlotName slot_name(SlotCount count, int scs_khz) {
  const int per_frame = slots_per_frame(scs_khz);
  return {static_cast<int>((count / per_frame) % 1024), static_cast<int>(count % per_frame)};
}

constexpr std::int64_t slot_duration_ns(int scs_khz) {
  return 1'000'000 / slots_per_subframe(scs_khz);
}

}  // namespace noroshi
