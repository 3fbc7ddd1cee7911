#include <array>
#include <cassert>
#include <cstring>

#include "phy/modulation/modulation.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/modulation/modulation_cpu.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

// What all targets share.
#ifndef NOROSHI_PHY_MODULATION_CPU_TABLES
#define NOROSHI_PHY_MODULATION_CPU_TABLES
namespace noroshi::phy::cpu {

// Level of axis `axis` (0: I, 1: Q) of a symbol of 2 m bits in an integer, first bit highest.
constexpr int axis_level(unsigned symbol, int m, int axis) {
  int level = 0;
  for (int j = m - 1; j >= 0; --j) {
    const int sign = (symbol >> (2 * (m - 1 - j) + 1 - axis) & 1) != 0 ? -1 : 1;
    level = sign * ((1 << (m - 1 - j)) - level);
  }
  return level;
}

// QPSK and 16QAM: a byte holds whole symbols; the levels of all its axes.
template <int m>
constexpr auto make_byte_levels() {
  constexpr int symbols = 4 / m;
  std::array<std::array<float, 2 * symbols>, 256> table{};
  for (unsigned byte = 0; byte < 256; ++byte)
    for (int s = 0; s < symbols; ++s)
      for (int axis = 0; axis < 2; ++axis)
        table[byte][2 * s + axis] =
            static_cast<float>(axis_level(byte >> (8 - 2 * m * (s + 1)), m, axis));
  return table;
}
alignas(64) inline constexpr auto qpsk_levels = make_byte_levels<1>();
alignas(64) inline constexpr auto qam16_levels = make_byte_levels<2>();

// 64QAM and 256QAM: a symbol is a byte; its high and low nibble each give some bits of the axis
// number, and that gives the level.
struct AxisTables {
  alignas(16) std::uint8_t high[2][16] = {};  // [axis][nibble]
  alignas(16) std::uint8_t low[2][16] = {};
  alignas(16) std::int8_t level[16] = {};
};
constexpr AxisTables make_axis_tables(int m) {
  AxisTables tables;
  for (unsigned nibble = 0; nibble < 16; ++nibble)
    for (int axis = 0; axis < 2; ++axis) {
      const unsigned first = nibble >> (3 - axis) & 1;
      const unsigned second = nibble >> (1 - axis) & 1;
      tables.high[axis][nibble] = static_cast<std::uint8_t>((first << 1 | second) << 2);
      tables.low[axis][nibble] = static_cast<std::uint8_t>(first << 1 | second);
    }
  for (unsigned number = 0; number < (1u << m); ++number) {
    unsigned symbol = 0;  // the axis number's bits on the I positions
    for (int j = 0; j < m; ++j) symbol |= (number >> j & 1) << (2 * j + 1);
    tables.level[number] = static_cast<std::int8_t>(axis_level(symbol, m, 0));
  }
  return tables;
}
inline constexpr AxisTables qam64_axes = make_axis_tables(3);
inline constexpr AxisTables qam256_axes = make_axis_tables(4);

// Symbols first .. count - 1, one by one: the tails, and the modulations that no data channel of
// ours uses.
inline void modulate_plain(nr::Modulation modulation, const std::uint8_t* bits, std::size_t first,
                           std::size_t count, float unit, float* out) {
  const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  for (std::size_t i = first; i < count; ++i) {
    unsigned symbol = 0;
    for (std::size_t j = 0; j < qm; ++j) symbol = symbol << 1 | bit_at(bits, i * qm + j);
    if (qm == 1) {
      const float d = symbol != 0 ? -unit : unit;
      const bool turned = modulation == nr::Modulation::pi2_bpsk && i % 2 == 1;
      out[2 * i] = turned ? -d : d;
      out[2 * i + 1] = d;
    } else {
      const int m = static_cast<int>(qm / 2);
      for (int axis = 0; axis < 2; ++axis)
        out[2 * i + static_cast<std::size_t>(axis)] =
            unit * static_cast<float>(axis_level(symbol, m, axis));
    }
  }
}

}  // namespace noroshi::phy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR  // one lane a vector: no shuffles

void modulate_qpsk(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  modulate_plain(nr::Modulation::qpsk, bits, 0, count, unit, out);
}
void modulate_qam16(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  modulate_plain(nr::Modulation::qam16, bits, 0, count, unit, out);
}
void modulate_qam64(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  modulate_plain(nr::Modulation::qam64, bits, 0, count, unit, out);
}
void modulate_qam256(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  modulate_plain(nr::Modulation::qam256, bits, 0, count, unit, out);
}

#else

using Bytes = hn::FixedTag<std::uint8_t, 16>;
using Pairs = hn::CappedTag<float, 16>;

// Whole bytes through a table of levels.
template <std::size_t floats>
void bytes_to_symbols(const std::array<std::array<float, floats>, 256>& table,
                      const std::uint8_t* HWY_RESTRICT bits, std::size_t bytes, float unit,
                      float* HWY_RESTRICT out) {
  const hn::CappedTag<float, floats> d;
  const auto scale = hn::Set(d, unit);
  for (std::size_t i = 0; i < bytes; ++i) {
    const float* const levels = table[bits[i]].data();
    for (std::size_t k = 0; k < floats; k += hn::Lanes(d))
      hn::StoreU(hn::Mul(hn::Load(d, levels + k), scale), d, out + floats * i + k);
  }
}

// 16 symbols, a byte each, in the low 6 or 8 bits.
HWY_INLINE void symbols_16(hn::Vec<Bytes> symbols, const AxisTables& axes, float unit,
                           float* HWY_RESTRICT out) {
  const Bytes d;
  const auto high = hn::ShiftRight<4>(symbols);
  const auto low = hn::And(symbols, hn::Set(d, std::uint8_t{15}));
  const auto levels = hn::Load(hn::FixedTag<std::int8_t, 16>(), axes.level);
  hn::Vec<hn::FixedTag<std::int8_t, 16>> axis[2];
  for (int a = 0; a < 2; ++a) {
    const auto number = hn::Or(hn::TableLookupBytes(hn::Load(d, axes.high[a]), high),
                               hn::TableLookupBytes(hn::Load(d, axes.low[a]), low));
    axis[a] = hn::TableLookupBytes(levels, hn::BitCast(hn::FixedTag<std::int8_t, 16>(), number));
  }
  alignas(32) std::int8_t interleaved[32];
  hn::StoreInterleaved2(axis[0], axis[1], hn::FixedTag<std::int8_t, 16>(), interleaved);
  const Pairs df;
  const hn::Rebind<std::int32_t, Pairs> di32;
  const hn::Rebind<std::int8_t, Pairs> di8;
  const auto scale = hn::Set(df, unit);
  for (std::size_t k = 0; k < 32; k += hn::Lanes(df)) {
    const auto integer = hn::PromoteTo(di32, hn::LoadU(di8, interleaved + k));
    hn::StoreU(hn::Mul(hn::ConvertTo(df, integer), scale), df, out + k);
  }
}

// 12 bytes at bits (16 readable) to 16 numbers of 6 bits.
HWY_INLINE hn::Vec<Bytes> unpack_6(const std::uint8_t* bits) {
  const Bytes d;
  const hn::FixedTag<std::uint32_t, 4> d32;
  // Three bytes, first highest, into each 32-bit lane.
  alignas(16) static constexpr std::uint8_t spread[16] = {2, 1, 0, 0x80, 5,  4,  3, 0x80,
                                                          8, 7, 6, 0x80, 11, 10, 9, 0x80};
  const auto x = hn::BitCast(d32, hn::TableLookupBytesOr0(hn::LoadU(d, bits), hn::Load(d, spread)));
  const auto part = [&](auto shifted, std::uint32_t mask) {
    return hn::And(shifted, hn::Set(d32, mask));
  };
  const auto s01 = hn::Or(part(hn::ShiftRight<18>(x), 0x3f), part(hn::ShiftRight<4>(x), 0x3f00));
  const auto s23 =
      hn::Or(part(hn::ShiftLeft<10>(x), 0x3f0000), part(hn::ShiftLeft<24>(x), 0x3f000000));
  return hn::BitCast(d, hn::Or(s01, s23));
}

template <int qm>
void wide_symbols(const AxisTables& axes, const std::uint8_t* HWY_RESTRICT bits, std::size_t count,
                  float unit, float* HWY_RESTRICT out) {
  const auto sixteen = [&](const std::uint8_t* from, float* to) HWY_ATTR {
    if constexpr (qm == 6)
      symbols_16(unpack_6(from), axes, unit, to);
    else
      symbols_16(hn::LoadU(Bytes(), from), axes, unit, to);
  };
  const std::size_t bytes = bytes_for_bits(count * qm);
  std::size_t i = 0;
  for (; i + 16 <= count && i * qm / 8 + 16 <= bytes; i += 16)
    sixteen(bits + i * qm / 8, out + 2 * i);
  for (; i < count; i += 16) {
    std::uint8_t padded[16] = {};
    float symbols[32];
    const std::size_t rest = count - i < 16 ? count - i : 16;
    std::memcpy(padded, bits + i * qm / 8, bytes_for_bits(rest * qm));
    sixteen(padded, symbols);
    std::memcpy(out + 2 * i, symbols, 2 * rest * sizeof(float));
  }
}

void modulate_qpsk(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  bytes_to_symbols(qpsk_levels, bits, count / 4, unit, out);
  modulate_plain(nr::Modulation::qpsk, bits, count / 4 * 4, count, unit, out);
}
void modulate_qam16(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  bytes_to_symbols(qam16_levels, bits, count / 2, unit, out);
  modulate_plain(nr::Modulation::qam16, bits, count / 2 * 2, count, unit, out);
}
void modulate_qam64(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  wide_symbols<6>(qam64_axes, bits, count, unit, out);
}
void modulate_qam256(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  wide_symbols<8>(qam256_axes, bits, count, unit, out);
}

#endif  // HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(modulate_qpsk);
HWY_EXPORT(modulate_qam16);
HWY_EXPORT(modulate_qam64);
HWY_EXPORT(modulate_qam256);

void modulate(nr::Modulation modulation, View<const std::uint8_t, 1> bits, float amplitude,
              View<cf32, 1> symbols) {
  const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  const std::size_t count = symbols.size();
  assert(bits.size() == bytes_for_bits(count * qm));
  const float unit = static_cast<float>(amplitude * constellation_unit(modulation));
  float* const out = reinterpret_cast<float*>(symbols.data());
  switch (modulation) {
    case nr::Modulation::qpsk:
      return HWY_DYNAMIC_DISPATCH(modulate_qpsk)(bits.data(), count, unit, out);
    case nr::Modulation::qam16:
      return HWY_DYNAMIC_DISPATCH(modulate_qam16)(bits.data(), count, unit, out);
    case nr::Modulation::qam64:
      return HWY_DYNAMIC_DISPATCH(modulate_qam64)(bits.data(), count, unit, out);
    case nr::Modulation::qam256:
      return HWY_DYNAMIC_DISPATCH(modulate_qam256)(bits.data(), count, unit, out);
    default:
      return modulate_plain(modulation, bits.data(), 0, count, unit, out);
  }
}

}  // namespace noroshi::phy::cpu
#endif
