#include <cassert>

#include "nr/low_papr/low_papr.h"
#include "nr/prbs/prbs.h"
#include "phy/dmrs/dmrs.h"

namespace noroshi::phy {

LowPaprNumber dmrs_low_papr_number(const nr::Dmrs& dmrs, int slot, int symbol, int length) {
  const int first = symbol - dmrs_l_prime(dmrs, symbol);
  const auto time = static_cast<std::size_t>(14 * slot + first);
  LowPaprNumber number;
  int f_gh = 0;
  std::uint8_t c = 0;
  const View<std::uint8_t, 1> byte(&c, 1);
  if (dmrs.hopping == nr::SequenceHopping::group) {
    nr::cpu::prbs_packed(dmrs.scrambling_id / 30u, 8 * time, byte);
    int sum = 0;
    for (int m = 0; m < 8; ++m) sum += bit_at(&c, static_cast<std::size_t>(m)) ? 1 << m : 0;
    f_gh = sum % 30;
  } else if (dmrs.hopping == nr::SequenceHopping::sequence && length >= 72) {
    nr::cpu::prbs_packed(dmrs.scrambling_id, time, byte);
    number.v = bit_at(&c, 0) ? 1 : 0;
  }
  number.u = (f_gh + dmrs.scrambling_id) % 30;
  return number;
}

void dmrs_low_papr(const nr::Dmrs& dmrs, int slot, int symbol, View<cf32, 1> sequence) {
  const auto [u, v] = dmrs_low_papr_number(dmrs, slot, symbol, static_cast<int>(sequence.size()));
  nr::low_papr_type1(u, v, 0, sequence);
}

}  // namespace noroshi::phy
