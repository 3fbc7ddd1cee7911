#pragma once

// A carrier: bandwidth, numerology, OFDM sizes, duplex pattern (TS 38.104 5.3.2, TS 38.211 4, 5.3).

#include <cstdint>

#include "base/result.h"

namespace noroshi::nr {

inline constexpr int symbols_per_slot = 14;  // normal cyclic prefix
inline constexpr int subcarriers_per_rb = 12;
inline constexpr int rb_max = 275;  // TS 38.211 4.4.4.1
inline constexpr int receive_antennas_max = 8;

struct Carrier {
  int scs_khz = 30;        // 15 or 30
  int bandwidth_mhz = 20;  // 5..100, TS 38.104 table 5.3.2-1
  int rb_count = 51;       // N_RB of that table
  int fft_size = 1024;     // smallest power of two that holds 12 N_RB subcarriers with a guard
  int cell_id = 1;         // N_ID^cell, 0..1007
  double center_frequency_hz = 3.5e9;  // f0 of TS 38.211 5.4

  int subcarriers() const { return rb_count * subcarriers_per_rb; }
  int sample_rate_hz() const { return fft_size * scs_khz * 1000; }
};

// Errors: a subcarrier spacing other than 15 or 30 kHz; a bandwidth not in the table for it.
Result<Carrier> make_carrier(int scs_khz, int bandwidth_mhz);

// Samples of the cyclic prefix of a symbol; slot_in_subframe chooses the longer one at each half
// subframe's start (TS 38.211 5.3.1).
int cyclic_prefix_samples(const Carrier& carrier, int slot_in_subframe, int symbol);
// Samples of a whole slot.
int slot_samples(const Carrier& carrier, int slot_in_subframe);
// The largest value of slot_samples.
int slot_samples_max(const Carrier& carrier);

// TDD pattern (TS 38.213 11.1, one pattern): D, S and U slots. FDD: every slot is both.
enum class SlotKind : std::uint8_t { downlink, special, uplink, both };

struct DuplexPattern {
  bool fdd = false;
  int period_slots = 5;
  SlotKind slots[20] = {SlotKind::downlink, SlotKind::downlink, SlotKind::downlink,
                        SlotKind::special, SlotKind::uplink};
  // Within a special slot: downlink symbols first, uplink symbols last, the rest is guard.
  int special_downlink_symbols = 10;
  int special_uplink_symbols = 2;

  SlotKind kind(std::int64_t slot) const {
    return fdd ? SlotKind::both : slots[slot % period_slots];
  }
};

// "FDD", or letters D, S, U such as "DDDSU" (period at most 20 slots). Errors: another letter, an
// empty or too long pattern, no downlink slot, a period that does not divide 20 ms.
Result<DuplexPattern> make_duplex_pattern(const char* text, int scs_khz);

}  // namespace noroshi::nr
