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

// BPSK and pi/2-BPSK: four symbols a nibble.
constexpr auto make_nibble_levels(bool turns) {
  std::array<std::array<float, 8>, 16> table{};
  for (unsigned nibble = 0; nibble < 16; ++nibble)
    for (unsigned s = 0; s < 4; ++s) {
      const float level = (nibble >> (3 - s) & 1) != 0 ? -1.0f : 1.0f;
      table[nibble][2 * s] = turns && s % 2 == 1 ? -level : level;
      table[nibble][2 * s + 1] = level;
    }
  return table;
}
alignas(64) inline constexpr auto bpsk_levels = make_nibble_levels(false);
alignas(64) inline constexpr auto pi2_bpsk_levels = make_nibble_levels(true);

// 1024QAM: both levels of a symbol.
constexpr auto make_qam1024_levels() {
  std::array<std::array<std::int8_t, 2>, 1024> table{};
  for (unsigned symbol = 0; symbol < 1024; ++symbol)
    for (int axis = 0; axis < 2; ++axis)
      table[symbol][axis] = static_cast<std::int8_t>(axis_level(symbol, 5, axis));
  return table;
}
inline constexpr auto qam1024_levels = make_qam1024_levels();

// Symbols first .. count - 1, one by one: the tails.
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

void modulate_bpsk(bool turns, const std::uint8_t* bits, std::size_t count, float unit,
                   float* out) {
  modulate_plain(turns ? nr::Modulation::pi2_bpsk : nr::Modulation::bpsk, bits, 0, count, unit,
                 out);
}
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
void modulate_qam1024(const std::uint8_t* bits, std::size_t count, float unit, float* out) {
  modulate_plain(nr::Modulation::qam1024, bits, 0, count, unit, out);
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

HWY_INLINE hn::Vec<Pairs> floats_of(const std::int8_t* levels) {
  const hn::Rebind<std::int8_t, Pairs> bytes;
  const hn::Rebind<std::int32_t, Pairs> words;
  return hn::ConvertTo(Pairs(), hn::PromoteTo(words, hn::LoadU(bytes, levels)));
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
  const auto scale = hn::Set(df, unit);
  for (std::size_t k = 0; k < 32; k += hn::Lanes(df))
    hn::StoreU(hn::Mul(floats_of(interleaved + k), scale), df, out + k);
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

void modulate_bpsk(bool turns, const std::uint8_t* HWY_RESTRICT bits, std::size_t count, float unit,
                   float* HWY_RESTRICT out) {
  const hn::CappedTag<float, 8> d;
  const auto& table = turns ? pi2_bpsk_levels : bpsk_levels;
  const auto scale = hn::Set(d, unit);
  for (std::size_t i = 0; i < count / 8; ++i) {
    const float* const halves[2] = {table[bits[i] >> 4].data(), table[bits[i] & 15].data()};
    for (std::size_t half = 0; half < 2; ++half)
      for (std::size_t k = 0; k < 8; k += hn::Lanes(d))
        hn::StoreU(hn::Mul(hn::Load(d, halves[half] + k), scale), d, out + 16 * i + 8 * half + k);
  }
  modulate_plain(turns ? nr::Modulation::pi2_bpsk : nr::Modulation::bpsk, bits, count / 8 * 8,
                 count, unit, out);
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

// Levels by table, 5 bytes for 4 symbols, and then to floats: many at a time, since a vector loaded
// from what narrower stores have just written waits for them.
void modulate_qam1024(const std::uint8_t* HWY_RESTRICT bits, std::size_t count, float unit,
                      float* HWY_RESTRICT out) {
  constexpr std::size_t chunk = 128;
  const Pairs d;
  const auto scale = hn::Set(d, unit);
  std::int8_t levels[2 * chunk];
  std::size_t i = 0;
  for (; i + chunk <= count; i += chunk) {
    const std::uint8_t* from = bits + i / 4 * 5;
    for (std::size_t k = 0; k < chunk; k += 4, from += 5) {
      const std::uint64_t five = std::uint64_t{from[0]} << 32 | std::uint64_t{from[1]} << 24 |
                                 std::uint64_t{from[2]} << 16 | std::uint64_t{from[3]} << 8 |
                                 from[4];
      for (std::size_t s = 0; s < 4; ++s)
        std::memcpy(levels + 2 * (k + s), qam1024_levels[five >> (30 - 10 * s) & 1023].data(), 2);
    }
    for (std::size_t k = 0; k < 2 * chunk; k += hn::Lanes(d))
      hn::StoreU(hn::Mul(floats_of(levels + k), scale), d, out + 2 * i + k);
  }
  modulate_plain(nr::Modulation::qam1024, bits, i, count, unit, out);
}

#endif  // HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(modulate_bpsk);
HWY_EXPORT(modulate_qpsk);
HWY_EXPORT(modulate_qam16);
HWY_EXPORT(modulate_qam64);
HWY_EXPORT(modulate_qam256);
HWY_EXPORT(modulate_qam1024);

void modulate(nr::Modulation modulation, View<const std::uint8_t, 1> bits, float amplitude,
              View<cf32, 1> symbols) {
  const std::size_t qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
  const std::size_t count = symbols.size();
  assert(bits.size() == bytes_for_bits(count * qm));
  const float unit = static_cast<float>(amplitude * constellation_unit(modulation));
  float* const out = reinterpret_cast<float*>(symbols.data());
  switch (modulation) {
    case nr::Modulation::bpsk:
    case nr::Modulation::pi2_bpsk:
      return HWY_DYNAMIC_DISPATCH(modulate_bpsk)(modulation == nr::Modulation::pi2_bpsk,
                                                 bits.data(), count, unit, out);
    case nr::Modulation::qpsk:
      return HWY_DYNAMIC_DISPATCH(modulate_qpsk)(bits.data(), count, unit, out);
    case nr::Modulation::qam16:
      return HWY_DYNAMIC_DISPATCH(modulate_qam16)(bits.data(), count, unit, out);
    case nr::Modulation::qam64:
      return HWY_DYNAMIC_DISPATCH(modulate_qam64)(bits.data(), count, unit, out);
    case nr::Modulation::qam256:
      return HWY_DYNAMIC_DISPATCH(modulate_qam256)(bits.data(), count, unit, out);
    case nr::Modulation::qam1024:
      return HWY_DYNAMIC_DISPATCH(modulate_qam1024)(bits.data(), count, unit, out);
  }
}

}  // namespace noroshi::phy::cpu
#endif
