// Bits become bytes of one symbol each, bytes are dealt to the layers, nibbles of a byte look up
// the numbers of its levels, numbers look up levels. A matrix is fused multiply-adds on interleaved
// complex values: y += re(w) x + (-im(w), im(w)) swap(x).

#include "phy/precode/precode.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/precode/precode_cpu.cpp"
#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL
#endif
#include <hwy/foreach_target.h>  // must come before highway.h
#include <hwy/highway.h>

// What all targets share.
#ifndef NOROSHI_PHY_PRECODE_CPU_TABLES
#define NOROSHI_PHY_PRECODE_CPU_TABLES
namespace noroshi::phy::cpu {

inline constexpr std::size_t chunk_elements = 256;
inline constexpr std::size_t chunk_symbols = chunk_elements * nr::codeword_layers_max;
// Bytes that whole vectors may touch behind a chunk.
inline constexpr std::size_t chunk_slack = 4 * 64;

// The number of an axis is its bits of the symbol, first bit highest. A nibble of a symbol holds
// two bits of each axis.
struct NibbleNumbers {
  alignas(16) std::uint8_t of[2][16] = {};  // [axis: I, Q][nibble]
};
constexpr NibbleNumbers make_nibble_numbers() {
  NibbleNumbers numbers;
  for (unsigned nibble = 0; nibble < 16; ++nibble)
    for (unsigned axis = 0; axis < 2; ++axis)
      numbers.of[axis][nibble] =
          static_cast<std::uint8_t>((nibble >> (3 - axis) & 1) << 1 | (nibble >> (1 - axis) & 1));
  return numbers;
}
inline constexpr NibbleNumbers nibble_numbers = make_nibble_numbers();

// level_m of phy/modulation/modulation.h by number; m bits.
constexpr int level_of_number(unsigned number, int m) {
  int level = 0;
  for (int bit = 0; bit < m; ++bit) {  // the last bit first
    const int sign = (number >> bit & 1) != 0 ? -1 : 1;
    level = sign * ((1 << bit) - level);
  }
  return level;
}
struct LevelTable {
  alignas(16) std::int8_t of[32] = {};
};
constexpr LevelTable make_level_table(int m) {
  LevelTable table;
  for (unsigned number = 0; number < 1u << m; ++number)
    table.of[number] = static_cast<std::int8_t>(level_of_number(number, m));
  return table;
}
inline constexpr LevelTable level_tables[] = {make_level_table(1), make_level_table(2),
                                              make_level_table(3), make_level_table(4),
                                              make_level_table(5)};

// Symbols of a chunk as bytes. 1024QAM has 6 bits in `high` and the last 4 in `low`.
struct SymbolBytes {
  alignas(64) std::uint8_t high[chunk_symbols + chunk_slack];
  alignas(64) std::uint8_t low[chunk_symbols + chunk_slack];
};

}  // namespace noroshi::phy::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::cpu {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

#if HWY_TARGET == HWY_SCALAR  // one lane a vector: no shuffles

void levels_of(int qm, const std::uint8_t* bits, std::size_t elements, std::size_t layers,
               std::int8_t* levels, std::size_t stride) {
  const int m = qm / 2;
  for (std::size_t i = 0; i < elements * layers; ++i)
    for (int axis = 0; axis < 2; ++axis) {
      unsigned number = 0;
      for (int j = 0; j < m; ++j)
        number = number << 1 | bit_at(bits, i * static_cast<std::size_t>(qm) +
                                                static_cast<std::size_t>(2 * j + axis));
      levels[i % layers * stride + 2 * (i / layers) + static_cast<std::size_t>(axis)] =
          level_tables[m - 1].of[number];
    }
}

void scale(const std::int8_t* levels, std::size_t count, float unit, float* out) {
  for (std::size_t i = 0; i < 2 * count; ++i) out[i] = unit * levels[i];
}

void precode(const std::int8_t* levels, std::size_t stride, std::size_t layers, std::size_t count,
             const LayerUnits& units, const SpreadWeight* weights, std::size_t ports,
             const PortRows& rows) {
  for (std::size_t port = 0; port < ports; ++port)
    for (std::size_t i = 0; i < count; ++i) {
      float re = 0, im = 0;
      for (std::size_t layer = 0; layer < layers; ++layer) {
        const SpreadWeight& w = weights[port * layers + layer];
        const float x = units[layer] * levels[layer * stride + 2 * i];
        const float y = units[layer] * levels[layer * stride + 2 * i + 1];
        re += w[0] * x + w[2] * y;
        im += w[1] * y + w[3] * x;
      }
      rows[port][i] = {re, im};
    }
}

void weigh(const cf32* sequence, const cf32* weights, std::size_t blocks, cf32* row) {
  for (std::size_t k = 0; k < 12 * blocks; ++k) {
    const cf32 a = sequence[k], w = weights[k % 12];
    row[k] = {a.real() * w.real() - a.imag() * w.imag(), a.real() * w.imag() + a.imag() * w.real()};
  }
}

#else

using Bytes = hn::ScalableTag<std::uint8_t>;
using SignedBytes = hn::ScalableTag<std::int8_t>;

// 6 bits a symbol: each 128-bit lane takes 12 bytes, of which three go to each 32-bit lane.
void unpack_6(const std::uint8_t* HWY_RESTRICT bits, std::size_t symbols,
              std::uint8_t* HWY_RESTRICT out) {
  const Bytes d;
  const hn::Repartition<std::uint32_t, Bytes> d32;
  alignas(16) static constexpr std::uint8_t spread[16] = {2, 1, 0, 0x80, 5,  4,  3, 0x80,
                                                          8, 7, 6, 0x80, 11, 10, 9, 0x80};
  alignas(64) static constexpr std::uint32_t lanes[16] = {0, 1, 2, 2, 3, 4,  5,  5,
                                                          6, 7, 8, 8, 9, 10, 11, 11};
  const auto to_bytes = hn::LoadDup128(d, spread);
  const auto to_lanes = hn::SetTableIndices(d32, lanes);
  const auto part = [&](auto shifted, std::uint32_t mask)
                        HWY_ATTR { return hn::And(shifted, hn::Set(d32, mask)); };
  for (std::size_t i = 0; i < symbols; i += hn::Lanes(d)) {
    const auto raw = hn::BitCast(d32, hn::LoadU(d, bits + i / 4 * 3));
    const auto x = hn::BitCast(
        d32,
        hn::TableLookupBytesOr0(hn::BitCast(d, hn::TableLookupLanes(raw, to_lanes)), to_bytes));
    const auto s01 = hn::Or(part(hn::ShiftRight<18>(x), 0x3f), part(hn::ShiftRight<4>(x), 0x3f00));
    const auto s23 =
        hn::Or(part(hn::ShiftLeft<10>(x), 0x3f0000), part(hn::ShiftLeft<24>(x), 0x3f000000));
    hn::Store(hn::BitCast(d, hn::Or(s01, s23)), d, out + i);
  }
}

void unpack_4(const std::uint8_t* HWY_RESTRICT bits, std::size_t symbols,
              std::uint8_t* HWY_RESTRICT out) {
  const Bytes d;
  const hn::Repartition<std::uint16_t, Bytes> d16;
  const hn::Rebind<std::uint8_t, decltype(d16)> half;
  for (std::size_t i = 0; i < symbols; i += hn::Lanes(d)) {
    const auto x = hn::PromoteTo(d16, hn::LoadU(half, bits + i / 2));
    const auto second = hn::ShiftLeft<8>(hn::And(x, hn::Set(d16, std::uint16_t{15})));
    hn::Store(hn::BitCast(d, hn::Or(hn::ShiftRight<4>(x), second)), d, out + i);
  }
}

void unpack_2(const std::uint8_t* HWY_RESTRICT bits, std::size_t symbols,
              std::uint8_t* HWY_RESTRICT out) {
  const Bytes d;
  const hn::Repartition<std::uint32_t, Bytes> d32;
  const hn::Rebind<std::uint8_t, decltype(d32)> quarter;
  for (std::size_t i = 0; i < symbols; i += hn::Lanes(d)) {
    const auto x = hn::PromoteTo(d32, hn::LoadU(quarter, bits + i / 4));
    const auto part = [&](auto shifted, std::uint32_t mask)
                          HWY_ATTR { return hn::And(shifted, hn::Set(d32, mask)); };
    const auto s01 = hn::Or(hn::ShiftRight<6>(x), part(hn::ShiftLeft<4>(x), 0x300));
    const auto s23 =
        hn::Or(part(hn::ShiftLeft<14>(x), 0x30000), part(hn::ShiftLeft<24>(x), 0x3000000));
    hn::Store(hn::BitCast(d, hn::Or(s01, s23)), d, out + i);
  }
}

// 10 bits a symbol: 8 symbols are 10 bytes, and each lies in two bytes of them.
void unpack_10(const std::uint8_t* HWY_RESTRICT bits, std::size_t symbols, SymbolBytes& out) {
  const hn::FixedTag<std::uint8_t, 16> d;
  const hn::FixedTag<std::uint16_t, 8> d16;
  const hn::FixedTag<std::uint8_t, 8> half;
  alignas(16) static constexpr std::uint8_t pairs[16] = {1, 0, 2, 1, 3, 2, 4, 3,
                                                         6, 5, 7, 6, 8, 7, 9, 8};
  alignas(16) static constexpr std::uint16_t to_top[8] = {1, 4, 16, 64, 1, 4, 16, 64};
  const auto lanes = hn::Load(d, pairs);
  const auto factors = hn::Load(d16, to_top);
  for (std::size_t i = 0; i < symbols; i += 8) {
    const auto raw = hn::TableLookupBytes(hn::LoadU(d, bits + i / 8 * 10), lanes);
    const auto top = hn::Mul(hn::BitCast(d16, raw), factors);  // in the upper 10 bits
    const auto low = hn::And(hn::ShiftRight<6>(top), hn::Set(d16, std::uint16_t{15}));
    const hn::RebindToSigned<decltype(d16)> di16;
    hn::Store(hn::DemoteTo(half, hn::BitCast(di16, hn::ShiftRight<10>(top))), half, out.high + i);
    hn::Store(hn::DemoteTo(half, hn::BitCast(di16, low)), half, out.low + i);
  }
}

// Numbers of an axis from bytes of up to 8 bits.
HWY_INLINE hn::Vec<Bytes> numbers_of(hn::Vec<Bytes> symbols, int axis) {
  const Bytes d;
  const auto table = hn::LoadDup128(d, nibble_numbers.of[axis]);
  const auto low = hn::And(symbols, hn::Set(d, std::uint8_t{15}));
  return hn::Or(hn::ShiftLeft<2>(hn::TableLookupBytes(table, hn::ShiftRight<4>(symbols))),
                hn::TableLookupBytes(table, low));
}

template <int qm>
HWY_INLINE void store_levels(hn::Vec<Bytes> high, hn::Vec<Bytes> low, std::int8_t* out) {
  const Bytes d;
  const SignedBytes ds;
  const LevelTable& table = level_tables[qm / 2 - 1];
  const auto first = hn::LoadDup128(ds, table.of);
  hn::Vec<SignedBytes> axis[2];
  for (int a = 0; a < 2; ++a) {
    if constexpr (qm == 10) {
      const auto tail = hn::TableLookupBytes(hn::LoadDup128(d, nibble_numbers.of[a]), low);
      const auto number = hn::BitCast(ds, hn::Or(hn::ShiftLeft<2>(numbers_of(high, a)), tail));
      const auto second = hn::LoadDup128(ds, table.of + 16);
      const auto nibble = hn::And(number, hn::Set(ds, std::int8_t{15}));
      axis[a] =
          hn::IfThenElse(hn::Gt(number, hn::Set(ds, std::int8_t{15})),
                         hn::TableLookupBytes(second, nibble), hn::TableLookupBytes(first, nibble));
    } else if constexpr (qm <= 4) {
      const auto numbers = hn::LoadDup128(d, nibble_numbers.of[a]);
      axis[a] = hn::TableLookupBytes(first, hn::BitCast(ds, hn::TableLookupBytes(numbers, high)));
    } else {
      axis[a] = hn::TableLookupBytes(first, hn::BitCast(ds, numbers_of(high, a)));
    }
  }
  hn::StoreInterleaved2(axis[0], axis[1], ds, out);
}

template <int qm, std::size_t layers>
void deal(const SymbolBytes& symbols, std::size_t elements, std::int8_t* levels,
          std::size_t stride) {
  const Bytes d;
  for (std::size_t e = 0; e < elements; e += hn::Lanes(d)) {
    hn::Vec<Bytes> high[4], low[4];
    const auto load = [&](const std::uint8_t* from, hn::Vec<Bytes>* to) HWY_ATTR {
      from += layers * e;
      if constexpr (layers == 1) to[0] = hn::LoadU(d, from);
      if constexpr (layers == 2) hn::LoadInterleaved2(d, from, to[0], to[1]);
      if constexpr (layers == 3) hn::LoadInterleaved3(d, from, to[0], to[1], to[2]);
      if constexpr (layers == 4) hn::LoadInterleaved4(d, from, to[0], to[1], to[2], to[3]);
    };
    load(symbols.high, high);
    if constexpr (qm == 10) load(symbols.low, low);
    for (std::size_t layer = 0; layer < layers; ++layer)
      store_levels<qm>(high[layer], qm == 10 ? low[layer] : high[layer],
                       levels + layer * stride + 2 * e);
  }
}

template <int qm>
void levels_of_order(const std::uint8_t* bits, std::size_t elements, std::size_t layers,
                     std::int8_t* levels, std::size_t stride) {
  SymbolBytes symbols;
  std::uint8_t padded[chunk_symbols * 10 / 8 + chunk_slack];
  for (std::size_t e = 0; e < elements; e += chunk_elements) {
    const std::size_t part = std::min(chunk_elements, elements - e), count = part * layers;
    const std::size_t bytes = bytes_for_bits(count * qm);
    // Vectors may read further than the bits go.
    const std::uint8_t* from = bits + e * layers * qm / 8;
    if constexpr (qm == 8) {
      std::memcpy(symbols.high, from, bytes);
    } else {
      std::memcpy(padded, from, bytes);
      std::memset(padded + bytes, 0, 64);
      if constexpr (qm == 10) unpack_10(padded, count, symbols);
      if constexpr (qm == 6) unpack_6(padded, count, symbols.high);
      if constexpr (qm == 4) unpack_4(padded, count, symbols.high);
      if constexpr (qm == 2) unpack_2(padded, count, symbols.high);
    }
    std::int8_t* const to = levels + 2 * e;
    if (layers == 1) deal<qm, 1>(symbols, part, to, stride);
    if (layers == 2) deal<qm, 2>(symbols, part, to, stride);
    if (layers == 3) deal<qm, 3>(symbols, part, to, stride);
    if (layers == 4) deal<qm, 4>(symbols, part, to, stride);
  }
}

void levels_of(int qm, const std::uint8_t* bits, std::size_t elements, std::size_t layers,
               std::int8_t* levels, std::size_t stride) {
  if (qm == 2) return levels_of_order<2>(bits, elements, layers, levels, stride);
  if (qm == 4) return levels_of_order<4>(bits, elements, layers, levels, stride);
  if (qm == 6) return levels_of_order<6>(bits, elements, layers, levels, stride);
  if (qm == 8) return levels_of_order<8>(bits, elements, layers, levels, stride);
  return levels_of_order<10>(bits, elements, layers, levels, stride);
}

using Floats = hn::ScalableTag<float>;

HWY_INLINE hn::Vec<Floats> load_levels(const std::int8_t* from) {
  const Floats d;
  const hn::RebindToSigned<Floats> di32;
  const hn::Rebind<std::int8_t, Floats> di8;
  return hn::ConvertTo(d, hn::PromoteTo(di32, hn::LoadU(di8, from)));
}

void scale(const std::int8_t* HWY_RESTRICT levels, std::size_t count, float unit,
           float* HWY_RESTRICT out) {
  const Floats d;
  const std::size_t floats = 2 * count, lanes = hn::Lanes(d);
  const auto factor = hn::Set(d, unit);
  std::size_t i = 0;
  for (; i + lanes <= floats; i += lanes)
    hn::StoreU(hn::Mul(load_levels(levels + i), factor), d, out + i);
  for (; i < floats; ++i) out[i] = unit * levels[i];
}

// (a, b, a, b, ...)
HWY_INLINE hn::Vec<Floats> load_pair(const float* pair) {
  const Floats d;
  const hn::Repartition<double, Floats> d64;
  double both;
  std::memcpy(&both, pair, sizeof both);
  return hn::BitCast(d, hn::Set(d64, both));
}

template <std::size_t layers>
void precode_layers(const std::int8_t* HWY_RESTRICT levels, std::size_t stride, std::size_t count,
                    const LayerUnits& units, const SpreadWeight* HWY_RESTRICT weights,
                    std::size_t ports, const PortRows& rows) {
  const Floats d;
  const std::size_t lanes = hn::Lanes(d), floats = 2 * count;
  for (std::size_t i = 0; i < floats; i += lanes) {
    hn::Vec<Floats> x[layers], swapped[layers];
    HWY_UNROLL(8)  // so that they stay in registers
    for (std::size_t layer = 0; layer < layers; ++layer) {
      // Behind the end: slack.
      x[layer] = hn::Mul(load_levels(levels + layer * stride + i), hn::Set(d, units[layer]));
      swapped[layer] = hn::Reverse2(d, x[layer]);
    }
    for (std::size_t port = 0; port < ports; ++port) {
      const SpreadWeight* w = weights + layers * port;
      auto sum = hn::Mul(load_pair(w[0].data()), x[0]);
      auto turned = hn::Mul(load_pair(w[0].data() + 2), swapped[0]);
      HWY_UNROLL(8)
      for (std::size_t layer = 1; layer < layers; ++layer) {
        sum = hn::MulAdd(load_pair(w[layer].data()), x[layer], sum);
        turned = hn::MulAdd(load_pair(w[layer].data() + 2), swapped[layer], turned);
      }
      float* const out = reinterpret_cast<float*>(rows[port]) + i;
      if (i + lanes <= floats) {
        hn::StoreU(hn::Add(sum, turned), d, out);
      } else {
        float rest[HWY_MAX_BYTES / sizeof(float)];
        hn::StoreU(hn::Add(sum, turned), d, rest);
        std::memcpy(out, rest, (floats - i) * sizeof(float));
      }
    }
  }
}

void precode(const std::int8_t* levels, std::size_t stride, std::size_t layers, std::size_t count,
             const LayerUnits& units, const SpreadWeight* weights, std::size_t ports,
             const PortRows& rows) {
  const auto run = [&](auto kernel) { kernel(levels, stride, count, units, weights, ports, rows); };
  switch (layers) {
    case 1:
      return run(precode_layers<1>);
    case 2:
      return run(precode_layers<2>);
    case 3:
      return run(precode_layers<3>);
    case 4:
      return run(precode_layers<4>);
    case 5:
      return run(precode_layers<5>);
    case 6:
      return run(precode_layers<6>);
    case 7:
      return run(precode_layers<7>);
    default:
      return run(precode_layers<8>);
  }
}

// The weights of two blocks are 48 floats: whole vectors of any length up to 16.
void weigh(const cf32* HWY_RESTRICT sequence, const cf32* HWY_RESTRICT weights, std::size_t blocks,
           cf32* HWY_RESTRICT row) {
  constexpr std::size_t period = 48;
  alignas(64) float re[period], im[period];
  for (std::size_t k = 0; k < period; ++k) {
    const cf32 w = weights[k / 2 % 12];
    re[k] = w.real();
    im[k] = k % 2 == 0 ? -w.imag() : w.imag();
  }
  const hn::CappedTag<float, 16> d;
  const float* const in = reinterpret_cast<const float*>(sequence);
  float* const out = reinterpret_cast<float*>(row);
  const std::size_t floats = 24 * blocks;
  std::size_t i = 0;
  for (; i + period <= floats; i += period)
    for (std::size_t k = 0; k < period; k += hn::Lanes(d)) {
      const auto x = hn::LoadU(d, in + i + k);
      hn::StoreU(
          hn::MulAdd(hn::Load(d, im + k), hn::Reverse2(d, x), hn::Mul(hn::Load(d, re + k), x)), d,
          out + i + k);
    }
  for (; i < floats; i += 2) {
    const std::size_t k = i % period;
    out[i] = re[k] * in[i] + im[k] * in[i + 1];
    out[i + 1] = re[k + 1] * in[i + 1] + im[k + 1] * in[i];
  }
}

#endif  // HWY_SCALAR

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::phy::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(levels_of);
HWY_EXPORT(scale);
HWY_EXPORT(precode);
HWY_EXPORT(weigh);

void layer_levels(nr::Modulation modulation, View<const std::uint8_t, 1> bits, std::size_t elements,
                  View<std::int8_t, 2> levels) {
  const int qm = nr::bits_per_symbol(modulation);
  const std::size_t layers = levels.extent(0);
  assert(qm >= 2 && layers >= 1 && layers <= nr::codeword_layers_max);
  assert(bits.size() >= bytes_for_bits(elements * layers * static_cast<std::size_t>(qm)));
  assert(levels.extent(1) >= 2 * elements + levels_slack);
  HWY_DYNAMIC_DISPATCH(levels_of)
  (qm, bits.data(), elements, layers, levels.data(), levels.extent(1));
}

void scale_levels(View<const std::int8_t, 1> levels, std::size_t first, std::size_t count,
                  float unit, cf32* row) {
  assert(levels.size() >= 2 * (first + count));
  HWY_DYNAMIC_DISPATCH(scale)
  (levels.data() + 2 * first, count, unit, reinterpret_cast<float*>(row));
}

void precode_levels(View<const std::int8_t, 2> levels, std::size_t first, std::size_t count,
                    const LayerUnits& units, View<const SpreadWeight, 2> weights,
                    const PortRows& rows) {
  const std::size_t ports = weights.extent(0), layers = weights.extent(1);
  assert(ports >= 1 && ports <= ports_max && layers >= 1 && layers <= nr::layers_max);
  assert(levels.extent(0) == layers && levels.extent(1) >= 2 * (first + count) + levels_slack);
  HWY_DYNAMIC_DISPATCH(precode)
  (levels.data() + 2 * first, levels.extent(1), layers, count, units, weights.data(), ports, rows);
}

void weigh_blocks(const cf32* sequence, const std::array<cf32, nr::subcarriers_per_rb>& weights,
                  std::size_t blocks, cf32* row) {
  HWY_DYNAMIC_DISPATCH(weigh)(sequence, weights.data(), blocks, row);
}

}  // namespace noroshi::phy::cpu
#endif
