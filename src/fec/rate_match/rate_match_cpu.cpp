#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/rate_match/rate_match_cpu.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>
#include <algorithm>
#include <cassert>
#include <cstring>

#include "fec/bits/bits.h"
#include "fec/rate_match/rate_match.h"
#include "fec/rate_match/stretches.h"

// The interleaver is a transposition of Qm rows of E / Qm bits: row i is a stretch of e, a symbol
// is a column. The rows are copied to byte borders, a tile at a time, and merged by perfect
// shuffles of bits: zip(a, b) = a0 b0 a1 b1 ... Three rounds of zips make bytes out of 8 rows; for
// Qm = 6 and 10 the missing rows are zero and the gaps are squeezed out afterwards.

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",gfni")
#else
HWY_BEFORE_NAMESPACE();
#endif
namespace noroshi::fec::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int tile_symbols = 2048;
constexpr int row_stride = tile_symbols / 8 + 32;  // bytes, with room for one vector too many

struct Tile {
  alignas(64) std::uint8_t rows[10][row_stride];
  alignas(64) std::uint8_t out[10 * row_stride + 64];
};

#if HWY_TARGET == HWY_SCALAR  // one lane a vector: no shuffles

void Merge(Tile& tile, int qm, int symbols) {
  for (int j = 0; j < symbols; ++j) {
    for (int i = 0; i < qm; ++i) {
      set_bit(tile.out, static_cast<std::size_t>(j * qm + i),
              bit_at(tile.rows[i], static_cast<std::size_t>(j)));
    }
  }
}

#else

using D8 = hn::CappedTag<std::uint8_t, 32>;
using V8 = hn::Vec<D8>;
constexpr std::size_t block_bytes = 16;

// Within each 128-bit block: lo, hi = the zipped bits of the first and the last 8 bytes.
HWY_INLINE void Zip(V8 a, V8 b, V8& lo, V8& hi) {
  const D8 d;
  const hn::Repartition<std::uint16_t, D8> d16;
  alignas(16) static constexpr std::uint8_t odd[16] = {// bits 3210 -> 3.2.1.0.
                                                       0x00, 0x02, 0x08, 0x0a, 0x20, 0x22,
                                                       0x28, 0x2a, 0x80, 0x82, 0x88, 0x8a,
                                                       0xa0, 0xa2, 0xa8, 0xaa};
  alignas(16) static constexpr std::uint8_t even[16] = {0x00, 0x01, 0x04, 0x05, 0x10, 0x11,
                                                        0x14, 0x15, 0x40, 0x41, 0x44, 0x45,
                                                        0x50, 0x51, 0x54, 0x55};
  const V8 spread_a = hn::LoadDup128(d, odd);
  const V8 spread_b = hn::LoadDup128(d, even);
  const V8 nibble = hn::Set(d, 0x0f);
  const auto high = [&](V8 v) HWY_ATTR {
    return hn::And(hn::BitCast(d, hn::ShiftRight<4>(hn::BitCast(d16, v))), nibble);
  };
  const V8 first =
      hn::Or(hn::TableLookupBytes(spread_a, high(a)), hn::TableLookupBytes(spread_b, high(b)));
  const V8 second = hn::Or(hn::TableLookupBytes(spread_a, hn::And(a, nibble)),
                           hn::TableLookupBytes(spread_b, hn::And(b, nibble)));
  lo = hn::InterleaveLower(d, first, second);
  hi = hn::InterleaveUpper(d, first, second);
}

// Stores `count` vectors so that block b of all of them comes before block b + 1; each block
// advances by `step` bytes and writes 16.
template <int count, std::size_t step>
HWY_INLINE void StoreBlocks(const V8* v, std::uint8_t* out) {
  const D8 d;
  if constexpr (HWY_MAX_BYTES >= 32) {
    const hn::Half<D8> dh;
    HWY_UNROLL(16)
    for (int i = 0; i < count; ++i) hn::StoreU(hn::LowerHalf(dh, v[i]), dh, out + step * i);
    out += step * count;
    HWY_UNROLL(16)
    for (int i = 0; i < count; ++i) hn::StoreU(hn::UpperHalf(dh, v[i]), dh, out + step * i);
  } else {
    HWY_UNROLL(16)
    for (int i = 0; i < count; ++i) hn::StoreU(v[i], d, out + step * i);
  }
}

template <int qm>
HWY_INLINE V8 LoadRow(const Tile& tile, int row, std::size_t at) {
  return row < qm ? hn::LoadU(D8(), tile.rows[row] + at) : hn::Zero(D8());
}

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
template <class T>
HWY_INLINE void ZipLanes(V8 a, V8 b, V8& lo, V8& hi) {
  const D8 d;
  const hn::Repartition<T, D8> dt;
  lo = hn::BitCast(d, hn::InterleaveLower(dt, hn::BitCast(dt, a), hn::BitCast(dt, b)));
  hi = hn::BitCast(d, hn::InterleaveUpper(dt, hn::BitCast(dt, a), hn::BitCast(dt, b)));
}

// As below. Zips of bytes bring a byte of each row together, and GF2P8AFFINEQB, for which Highway
// has no name, transposes 8 x 8 bits: 1.35 times as fast at Qm = 6 and 8, 1.24 at 10.
template <int qm, int first>
HWY_INLINE void ZipBytes(const Tile& tile, std::size_t at, V8* out) {
  V8 a[8];
  V8 b[8];
  HWY_UNROLL(16)
  for (int i = 0; i < 4; ++i) {
    ZipLanes<std::uint8_t>(LoadRow<qm>(tile, first + i, at), LoadRow<qm>(tile, first + i + 4, at),
                           a[i], a[4 + i]);  // rows i and i + 4, the first and last 8 bytes
  }
  HWY_UNROLL(16)
  for (int half = 0; half < 2; ++half) {
    HWY_UNROLL(16)
    for (int i = 0; i < 2; ++i) {
      ZipLanes<std::uint8_t>(a[4 * half + i], a[4 * half + i + 2], b[4 * half + i],
                             b[4 * half + i + 2]);  // rows i, i + 2, i + 4, i + 6
    }
    HWY_UNROLL(16)
    for (int q = 0; q < 2; ++q) {
      ZipLanes<std::uint8_t>(b[4 * half + 2 * q], b[4 * half + 2 * q + 1], a[4 * half + 2 * q],
                             a[4 * half + 2 * q + 1]);
    }
  }
  const __m256i top_down = _mm256_set1_epi64x(0x0102040810204080);  // byte t = 0x80 >> t
  HWY_UNROLL(16)
  for (int i = 0; i < 8; ++i) {
    out[i] = V8{_mm256_gf2p8affine_epi64_epi8(top_down, a[i].raw, 0)};
  }
}
#else
// Rows first ... first + 7 (those below qm; zeros beyond) as bytes, row `first` in the top bit.
template <int qm, int first>
HWY_INLINE void ZipBytes(const Tile& tile, std::size_t at, V8* out) {
  V8 pairs[4][2];
  HWY_UNROLL(16)
  for (int i = 0; i < 4; ++i) {
    Zip(LoadRow<qm>(tile, first + i, at), LoadRow<qm>(tile, first + i + 4, at), pairs[i][0],
        pairs[i][1]);
  }
  HWY_UNROLL(16)
  for (int half = 0; half < 2; ++half) {
    V8 even[2];
    V8 odd[2];
    Zip(pairs[0][half], pairs[2][half], even[0], even[1]);
    Zip(pairs[1][half], pairs[3][half], odd[0], odd[1]);
    HWY_UNROLL(16)
    for (int q = 0; q < 2; ++q) {
      Zip(even[q], odd[q], out[4 * half + 2 * q], out[4 * half + 2 * q + 1]);
    }
  }
}

#endif

// The upper 6 bits of every byte: 12 bytes out of each block.
HWY_INLINE V8 Squeeze6(V8 v) {
  const D8 d;
  const hn::Repartition<std::uint16_t, D8> d16;
  const hn::Repartition<std::uint32_t, D8> d32;
  alignas(16) static constexpr std::uint8_t order[16] = {2, 1,  0,  6,  5,  4,  10, 9,
                                                         8, 14, 13, 12, 15, 15, 15, 15};
  const auto v16 = hn::BitCast(d16, v);
  const auto twelve = hn::BitCast(
      d32, hn::Or(hn::ShiftLeft<4>(hn::And(v16, hn::Set(d16, 0x00fc))), hn::ShiftRight<10>(v16)));
  const auto all =
      hn::Or(hn::ShiftLeft<12>(hn::And(twelve, hn::Set(d32, 0xffff))), hn::ShiftRight<16>(twelve));
  return hn::TableLookupBytes(hn::BitCast(d, all), hn::LoadDup128(d, order));
}

// The 8 bits of every first and the upper 2 bits of every second byte: 10 bytes out of each block.
HWY_INLINE V8 Squeeze10(V8 v) {
  const D8 d;
  const hn::Repartition<std::uint16_t, D8> d16;
  const hn::Repartition<std::uint32_t, D8> d32;
  const hn::Repartition<std::uint64_t, D8> d64;
  alignas(16) static constexpr std::uint8_t order[16] = {4, 3, 2,  1,  0,  12, 11, 10,
                                                         9, 8, 15, 15, 15, 15, 15, 15};
  const auto v16 = hn::BitCast(d16, v);
  const auto ten = hn::BitCast(
      d32, hn::Or(hn::ShiftLeft<2>(hn::And(v16, hn::Set(d16, 0x00ff))), hn::ShiftRight<14>(v16)));
  const auto twenty = hn::BitCast(
      d64, hn::Or(hn::ShiftLeft<10>(hn::And(ten, hn::Set(d32, 0xffff))), hn::ShiftRight<16>(ten)));
  const auto all = hn::Or(hn::ShiftLeft<20>(hn::And(twenty, hn::Set(d64, 0xffffffff))),
                          hn::ShiftRight<32>(twenty));
  return hn::TableLookupBytes(hn::BitCast(d, all), hn::LoadDup128(d, order));
}

// One vector of every row.
template <int qm>
HWY_INLINE void MergeAt(const Tile& tile, std::size_t at, std::uint8_t* out) {
  const D8 d;
  V8 v[16];
  if constexpr (qm == 2) {
    Zip(LoadRow<qm>(tile, 0, at), LoadRow<qm>(tile, 1, at), v[0], v[1]);
    StoreBlocks<2, block_bytes>(v, out);
  } else if constexpr (qm == 4) {
    V8 even[2];
    V8 odd[2];
    Zip(LoadRow<qm>(tile, 0, at), LoadRow<qm>(tile, 2, at), even[0], even[1]);
    Zip(LoadRow<qm>(tile, 1, at), LoadRow<qm>(tile, 3, at), odd[0], odd[1]);
    HWY_UNROLL(16)
    for (int q = 0; q < 2; ++q) Zip(even[q], odd[q], v[2 * q], v[2 * q + 1]);
    StoreBlocks<4, block_bytes>(v, out);
  } else {
    ZipBytes<qm, 0>(tile, at, v);
    if constexpr (qm == 6) {
      HWY_UNROLL(16)
      for (int i = 0; i < 8; ++i) v[i] = Squeeze6(v[i]);
      StoreBlocks<8, 12>(v, out);
    } else if constexpr (qm == 8) {
      StoreBlocks<8, block_bytes>(v, out);
    } else {
      V8 low[8];
      V8 both[16];
      ZipBytes<qm, 8>(tile, at, low);
      HWY_UNROLL(16)
      for (int i = 0; i < 8; ++i) {
        both[2 * i] = Squeeze10(hn::InterleaveLower(d, v[i], low[i]));
        both[2 * i + 1] = Squeeze10(hn::InterleaveUpper(d, v[i], low[i]));
      }
      StoreBlocks<16, 10>(both, out);
    }
  }
}

template <int qm>
void MergeTile(Tile& tile, int symbols) {
  const std::size_t lanes = hn::Lanes(D8());
  const std::size_t row_bytes = bytes_for_bits(static_cast<std::size_t>(symbols));
  for (std::size_t at = 0; at < row_bytes; at += lanes) {
    MergeAt<qm>(tile, at, tile.out + at * qm);
  }
}

void Merge(Tile& tile, int qm, int symbols) {
  switch (qm) {
    case 2:
      return MergeTile<2>(tile, symbols);
    case 4:
      return MergeTile<4>(tile, symbols);
    case 6:
      return MergeTile<6>(tile, symbols);
    case 8:
      return MergeTile<8>(tile, symbols);
    default:
      return MergeTile<10>(tile, symbols);
  }
}

#endif  // HWY_SCALAR

void RateMatchBits(const RateMatch& match, const std::uint8_t* codeword, std::uint8_t* out,
                   std::size_t out_bit) {
  const Selection selection(match);
  const int qm = match.bits_per_symbol;
  if (qm == 1) {
    for_stretches(selection, 0, match.coded_bits, [&](int position, int done, int count) {
      copy_bits(out, out_bit + static_cast<std::size_t>(done), codeword,
                static_cast<std::size_t>(position), static_cast<std::size_t>(count));
    });
    return;
  }
  const int symbols_all = match.coded_bits / qm;
  Tile tile;
  for (int at = 0; at < symbols_all; at += tile_symbols) {
    const int symbols = std::min(tile_symbols, symbols_all - at);
    for (int i = 0; i < qm; ++i) {
      std::uint8_t* row = tile.rows[i];
      for_stretches(
          selection, i * symbols_all + at, symbols, [&](int position, int done, int count) {
            copy_bits(row, static_cast<std::size_t>(done), codeword,
                      static_cast<std::size_t>(position), static_cast<std::size_t>(count));
          });
    }
    Merge(tile, qm, symbols);
    copy_bits(out, out_bit + static_cast<std::size_t>(at * qm), tile.out, 0,
              static_cast<std::size_t>(symbols * qm));
  }
}

}  // namespace noroshi::fec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec::cpu {

HWY_EXPORT(RateMatchBits);

void rate_match(const RateMatch& match, View<const std::uint8_t, 1> codeword,
                View<std::uint8_t, 1> out, std::size_t out_bit) {
  assert(match.bits_per_symbol == 1 ||
         (match.bits_per_symbol % 2 == 0 && match.bits_per_symbol <= 10));
  assert(match.coded_bits >= 0 && match.coded_bits % match.bits_per_symbol == 0);
  assert(bytes_for_bits(static_cast<std::size_t>(match.buffer_bits)) <= codeword.size());
  assert(bytes_for_bits(out_bit + static_cast<std::size_t>(match.coded_bits)) <= out.size());
#if HWY_ARCH_X86 && (HWY_TARGETS & HWY_AVX3_DL) && (HWY_TARGETS & HWY_AVX3)
  // Every processor of that target has GFNI, but Highway does not ask for it.
  if (!__builtin_cpu_supports("gfni") && (hwy::SupportedTargets() & HWY_AVX3_DL) != 0) {
    N_AVX3::RateMatchBits(match, codeword.data(), out.data(), out_bit);
    return;
  }
#endif
  HWY_DYNAMIC_DISPATCH(RateMatchBits)(match, codeword.data(), out.data(), out_bit);
}

}  // namespace noroshi::fec::cpu
#endif  // HWY_ONCE
