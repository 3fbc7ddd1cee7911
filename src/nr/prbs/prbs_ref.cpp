#include <cassert>
#include <cmath>

#include "nr/prbs/prbs.h"

namespace noroshi::nr::ref {
namespace {

constexpr std::size_t nc = 1600;

// One bit a step, registers as in the clause: bit i of a register is x(n + i).
struct Gold {
  std::uint32_t x1 = 1;
  std::uint32_t x2;

  Gold(std::uint32_t c_init, std::size_t first) : x2(c_init) {
    assert(c_init < (1u << 31));
    for (std::size_t n = 0; n < nc + first; ++n) next();
  }

  bool next() {
    const bool c = ((x1 ^ x2) & 1) != 0;
    const std::uint32_t new1 = (x1 ^ (x1 >> 3)) & 1;
    const std::uint32_t new2 = (x2 ^ (x2 >> 1) ^ (x2 >> 2) ^ (x2 >> 3)) & 1;
    x1 = (x1 >> 1) | (new1 << 30);
    x2 = (x2 >> 1) | (new2 << 30);
    return c;
  }
};

}  // namespace

void prbs_packed(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed) {
  Gold gold(c_init, first);
  for (std::size_t i = 0; i < 8 * packed.size(); ++i) set_bit(packed.data(), i, gold.next());
}

void prbs_masks(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> masks) {
  Gold gold(c_init, first);
  for (std::uint8_t& byte : masks) {
    byte = 0;
    for (int bit = 0; bit < 8; ++bit)
      byte = static_cast<std::uint8_t>(byte | static_cast<int>(gold.next()) << bit);
  }
}

void scramble(std::uint32_t c_init, std::size_t first, View<std::uint8_t, 1> packed,
              std::size_t bits) {
  assert(bytes_for_bits(bits) <= packed.size());
  Gold gold(c_init, first);
  for (std::size_t i = 0; i < bits; ++i) {
    set_bit(packed.data(), i, bit_at(packed.data(), i) != gold.next());
  }
}

void descramble(std::uint32_t c_init, std::size_t first, View<SoftBit, 1> soft_bits) {
  Gold gold(c_init, first);
  for (SoftBit& soft_bit : soft_bits) {
    if (!gold.next()) continue;
    soft_bit = static_cast<SoftBit>(soft_bit == -128 ? soft_bit_max : -soft_bit);
  }
}

void dmrs_qpsk(std::uint32_t c_init, std::size_t first_symbol, View<cf32, 1> symbols) {
  Gold gold(c_init, 2 * first_symbol);
  const double amplitude = 1 / std::sqrt(2.0);
  for (cf32& symbol : symbols) {
    const double re = gold.next() ? -amplitude : amplitude;
    const double im = gold.next() ? -amplitude : amplitude;
    symbol = cf32(static_cast<float>(re), static_cast<float>(im));
  }
}

}  // namespace noroshi::nr::ref
