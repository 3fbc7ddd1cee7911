#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/rate_match/rate_recover_cpu.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>
#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "fec/rate_match/rate_match.h"
#include "fec/rate_match/stretches.h"

// De-interleaves a tile of symbols into Qm rows by byte shuffles and transpositions in registers,
// then adds the rows, which are stretches of e, to the buffer.

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int rows_bytes = 16 * 1024;  // half of a 32 KiB L1 data cache

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
// One VPERMB sorts 64 bytes at once. Highway shuffles bytes within blocks of 16 only: the variant
// below, which does with that, takes 1.1 to 1.3 times as long on Sapphire Rapids (bg1 z384, Qm 2
// to 10, everything included).

struct Order {
  alignas(64) std::array<std::uint8_t, 64> byte{};

  __m512i index() const { return _mm512_load_si512(byte.data()); }
};

// Row i, symbol j of `symbols` goes to byte i * symbols + j; the bytes begin at `base`.
constexpr Order make_order(int qm, int symbols, int base) {
  Order order;
  for (int i = 0; i < qm; ++i) {
    for (int j = 0; j < symbols && i * symbols + j < 64; ++j) {
      order.byte[static_cast<std::size_t>(i * symbols + j)] =
          static_cast<std::uint8_t>(qm * j + i - base);
    }
  }
  return order;
}

// Qm = 10 has rows 0 ... 7 of 8 symbols, 64 bytes out of 80, in one vector with the bytes from 16
// on loaded over those from 0 on: byte b lies in lane b, or in lane b - 16 where byte b + 16 has
// taken lane b. What that overwrites belongs to rows 8 and 9.
struct Overlay {
  Order order;
  std::uint64_t later = 0;  // lanes of bytes from 16 on

  constexpr Overlay() {
    for (int b = 79; b >= 0; --b) {
      const int i = b % 10;
      if (i >= 8) continue;
      const bool moved = b >= 64 || (later >> b & 1) != 0;
      const int lane = moved ? b - 16 : b;
      if (moved) later |= std::uint64_t{1} << lane;
      order.byte[static_cast<std::size_t>(8 * i + b / 10)] = static_cast<std::uint8_t>(lane);
    }
  }
};

// Rows 8 and 9 of 32 symbols, 64 bytes out of 320, in one of two ways: the loads of 64 bytes over
// one another, since no two of these bytes are a multiple of 64 apart; or, what takes shuffles
// instead of loads, 8 symbols at a time, out of the two loads of Overlay.
struct LastRows {
  Order order;
  std::uint64_t lanes[5] = {};  // of each 64 bytes

  constexpr LastRows() {
    for (int j = 0; j < 32; ++j) {
      for (int i = 0; i < 2; ++i) {
        const int b = 10 * j + 8 + i;
        lanes[b / 64] |= std::uint64_t{1} << b % 64;
        order.byte[static_cast<std::size_t>(32 * i + j)] = static_cast<std::uint8_t>(b % 64);
      }
    }
  }
};
struct LastRowsOfEight {
  Order order;
  std::uint64_t later = 0;        // lanes of bytes from 16 on
  std::uint64_t symbols[4] = {};  // lanes of symbols 8 p ... in the result

  constexpr LastRowsOfEight() {
    for (int j = 0; j < 32; ++j) {
      for (int i = 0; i < 2; ++i) {
        const int b = 10 * (j % 8) + 8 + i;
        const int lane = b < 16 ? b : b - 16;
        if (b >= 16) later |= std::uint64_t{1} << lane;
        order.byte[static_cast<std::size_t>(32 * i + j)] = static_cast<std::uint8_t>(lane);
        symbols[j / 8] |= std::uint64_t{1} << (32 * i + j);
      }
    }
  }
};

HWY_INLINE __m512i Sorted(const std::uint8_t* from, const Order& order) {
  return _mm512_permutexvar_epi8(order.index(), _mm512_loadu_si512(from));
}
// Block i of 16 bytes of all four, side by side: a cache line. Stores that go to another line than
// the one before cost about three times as much.
template <int i>
HWY_INLINE void StoreRow(const __m512i* v, std::uint8_t* row) {
  auto* to = reinterpret_cast<__m128i*>(row);
  _mm_storeu_si128(to, _mm512_extracti64x2_epi64(v[0], i));
  _mm_storeu_si128(to + 1, _mm512_extracti64x2_epi64(v[1], i));
  _mm_storeu_si128(to + 2, _mm512_extracti64x2_epi64(v[2], i));
  _mm_storeu_si128(to + 3, _mm512_extracti64x2_epi64(v[3], i));
}

// The same with half i of two.
template <int i>
HWY_INLINE void StoreHalves(__m512i a, __m512i b, std::uint8_t* row) {
  auto* to = reinterpret_cast<__m256i*>(row);
  _mm256_storeu_si256(to, _mm512_extracti64x4_epi64(a, i));
  _mm256_storeu_si256(to + 1, _mm512_extracti64x4_epi64(b, i));
}

// sorted(p): a lane of 64 bits for each of up to 8 rows, symbols 8 p ... 8 p + 7.
template <int count, class F>
HWY_INLINE void StoreRows(F sorted, std::uint8_t* rows, std::size_t stride) {
  __m512i even[4];
  __m512i odd[4];
  HWY_UNROLL(4)
  for (int p = 0; p < 4; ++p) {
    const __m512i a = sorted(2 * p);
    const __m512i b = sorted(2 * p + 1);
    even[p] = _mm512_unpacklo_epi64(a, b);
    odd[p] = _mm512_unpackhi_epi64(a, b);
  }
  StoreRow<0>(even, rows);
  StoreRow<0>(odd, rows + stride);
  StoreRow<1>(even, rows + 2 * stride);
  StoreRow<1>(odd, rows + 3 * stride);
  StoreRow<2>(even, rows + 4 * stride);
  StoreRow<2>(odd, rows + 5 * stride);
  if constexpr (count == 8) {
    StoreRow<3>(even, rows + 6 * stride);
    StoreRow<3>(odd, rows + 7 * stride);
  }
}

constexpr int step = 64;
constexpr int spare(int) { return 0; }

// `step` symbols; row i goes to rows + i * stride.
template <int qm>
HWY_INLINE void SplitAt(const std::uint8_t* from, std::uint8_t* rows, std::size_t stride) {
  if constexpr (qm == 2) {
    static constexpr Order order = make_order(2, 32, 0);
    const __m512i a = Sorted(from, order);
    const __m512i b = Sorted(from + 64, order);
    StoreHalves<0>(a, b, rows);
    StoreHalves<1>(a, b, rows + stride);
  } else if constexpr (qm == 4) {
    static constexpr Order order = make_order(4, 16, 0);
    const __m512i v[4] = {Sorted(from, order), Sorted(from + 64, order), Sorted(from + 128, order),
                          Sorted(from + 192, order)};
    StoreRow<0>(v, rows);
    StoreRow<1>(v, rows + stride);
    StoreRow<2>(v, rows + 2 * stride);
    StoreRow<3>(v, rows + 3 * stride);
  } else if constexpr (qm == 6 || qm == 8) {
    static constexpr Order order = make_order(qm, 8, 0);
    static constexpr Order last = make_order(qm, 8, 8 * qm - 64);  // reads no further
    StoreRows<qm>(
        [&](int p) HWY_ATTR {
          return p < 7 ? Sorted(from + 8 * qm * p, order) : Sorted(from + 64 * qm - 64, last);
        },
        rows, stride);
  } else {
    static constexpr Overlay overlay;
    static constexpr LastRows last;
    static constexpr LastRowsOfEight last8;
    __m512i b = _mm512_setzero_si512();
    StoreRows<8>(
        [&](int p) HWY_ATTR {
          const __m512i head = _mm512_loadu_si512(from + 80 * p);
          const __m512i tail = _mm512_loadu_si512(from + 80 * p + 16);
          if (p >= 4) {
            b = _mm512_mask_permutexvar_epi8(b, last8.symbols[p % 4], last8.order.index(),
                                             _mm512_mask_blend_epi8(last8.later, head, tail));
          }
          return _mm512_permutexvar_epi8(overlay.order.index(),
                                         _mm512_mask_blend_epi8(overlay.later, head, tail));
        },
        rows, stride);
    __m512i a = _mm512_loadu_si512(from);
    HWY_UNROLL(4)
    for (int i = 1; i < 5; ++i) a = _mm512_mask_loadu_epi8(a, last.lanes[i], from + 64 * i);
    a = _mm512_permutexvar_epi8(last.order.index(), a);
    StoreHalves<0>(a, b, rows + 8 * stride);
    StoreHalves<1>(a, b, rows + 9 * stride);
  }
}

#elif HWY_TARGET != HWY_SCALAR  // one lane a vector: no shuffles
using D8 = hn::CappedTag<std::uint8_t, 32>;
using V8 = hn::Vec<D8>;

// Block b from the address advanced by b * step.
HWY_INLINE V8 LoadBlocks(const std::uint8_t* from, std::size_t step) {
  const D8 d;
  if constexpr (HWY_MAX_BYTES >= 32) {
    const hn::Half<D8> dh;
    return hn::Combine(d, hn::LoadU(dh, from + step), hn::LoadU(dh, from));
  } else {
    return hn::LoadU(d, from);
  }
}

template <class T>
HWY_INLINE V8 Lower(V8 a, V8 b) {
  const D8 d;
  const hn::Repartition<T, D8> dt;
  return hn::BitCast(d, hn::InterleaveLower(dt, hn::BitCast(dt, a), hn::BitCast(dt, b)));
}

template <class T>
HWY_INLINE V8 Upper(V8 a, V8 b) {
  const D8 d;
  const hn::Repartition<T, D8> dt;
  return hn::BitCast(d, hn::InterleaveUpper(dt, hn::BitCast(dt, a), hn::BitCast(dt, b)));
}

// v[p], u16 lane i of a block: two symbols' soft bits of row i. row[i]: 16 symbols in a block.
HWY_INLINE void Transpose8(const V8* v, V8* row) {
  V8 a[8];
  V8 b[8];
  HWY_UNROLL(16)
  for (int p = 0; p < 4; ++p) {
    a[2 * p] = Lower<std::uint16_t>(v[2 * p], v[2 * p + 1]);      // rows 0..3, symbols 4p..4p+3
    a[2 * p + 1] = Upper<std::uint16_t>(v[2 * p], v[2 * p + 1]);  // rows 4..7
  }
  HWY_UNROLL(16)
  for (int h = 0; h < 2; ++h) {
    HWY_UNROLL(16)
    for (int r = 0; r < 2; ++r) {  // 8 symbols: rows 4r, 4r+1 and 4r+2, 4r+3
      b[4 * h + 2 * r] = Lower<std::uint32_t>(a[4 * h + r], a[4 * h + 2 + r]);
      b[4 * h + 2 * r + 1] = Upper<std::uint32_t>(a[4 * h + r], a[4 * h + 2 + r]);
    }
  }
  HWY_UNROLL(16)
  for (int r = 0; r < 4; ++r) {
    row[2 * r] = Lower<std::uint64_t>(b[r], b[4 + r]);
    row[2 * r + 1] = Upper<std::uint64_t>(b[r], b[4 + r]);
  }
}

constexpr int step = static_cast<int>(hn::MaxLanes(D8()));
// For Qm = 6 and 10 the last load reads up to 16 bytes past its symbols: they must exist.
constexpr int spare(int qm) { return qm == 6 || qm == 10 ? 16 / qm + 1 : 0; }

// 16 symbols a block from `from`; row i goes to rows + i * stride.
template <int qm>
HWY_INLINE void SplitAt(const std::uint8_t* from, std::uint8_t* rows, std::size_t stride) {
  const D8 d;
  alignas(16) static constexpr std::uint8_t order2[16] = {0, 2, 4, 6, 8, 10, 12, 14,
                                                          1, 3, 5, 7, 9, 11, 13, 15};
  alignas(16) static constexpr std::uint8_t order4[16] = {0, 4, 8,  12, 1, 5, 9,  13,
                                                          2, 6, 10, 14, 3, 7, 11, 15};
  alignas(16) static constexpr std::uint8_t order6[16] = {0, 6,  1, 7,  2,  8,  3,  9,
                                                          4, 10, 5, 11, 12, 13, 14, 15};
  alignas(16) static constexpr std::uint8_t order8[16] = {0, 8,  1, 9,  2, 10, 3, 11,
                                                          4, 12, 5, 13, 6, 14, 7, 15};
  constexpr std::size_t block = 16 * qm;
  V8 row[16];
  if constexpr (qm == 2) {
    const V8 order = hn::LoadDup128(d, order2);
    const V8 v0 = hn::TableLookupBytes(LoadBlocks(from, block), order);
    const V8 v1 = hn::TableLookupBytes(LoadBlocks(from + 16, block), order);
    row[0] = Lower<std::uint64_t>(v0, v1);
    row[1] = Upper<std::uint64_t>(v0, v1);
  } else if constexpr (qm == 4) {
    const V8 order = hn::LoadDup128(d, order4);
    V8 v[4];
    HWY_UNROLL(16)
    for (int p = 0; p < 4; ++p) {
      v[p] = hn::TableLookupBytes(LoadBlocks(from + 16 * p, block), order);
    }
    HWY_UNROLL(16)
    for (int r = 0; r < 2; ++r) {
      const V8 a = r == 0 ? Lower<std::uint32_t>(v[0], v[1]) : Upper<std::uint32_t>(v[0], v[1]);
      const V8 b = r == 0 ? Lower<std::uint32_t>(v[2], v[3]) : Upper<std::uint32_t>(v[2], v[3]);
      row[2 * r] = Lower<std::uint64_t>(a, b);
      row[2 * r + 1] = Upper<std::uint64_t>(a, b);
    }
  } else if constexpr (qm == 6 || qm == 8) {
    const V8 order = hn::LoadDup128(d, qm == 6 ? order6 : order8);
    V8 v[8];
    HWY_UNROLL(16)
    for (int p = 0; p < 8; ++p) {
      v[p] = hn::TableLookupBytes(LoadBlocks(from + 2 * qm * p, block), order);
    }
    Transpose8(v, row);
  } else {
    V8 v[8];
    V8 last[8];
    HWY_UNROLL(16)
    for (int p = 0; p < 8; ++p) {
      const V8 a = LoadBlocks(from + 20 * p, block);
      const V8 b = LoadBlocks(from + 20 * p + 10, block);
      v[p] = Lower<std::uint8_t>(a, b);
      last[p] = Upper<std::uint8_t>(a, b);
    }
    Transpose8(v, row);
    Transpose8(last, row + 8);
  }
  HWY_UNROLL(16)
  for (int i = 0; i < qm; ++i) hn::StoreU(row[i], d, rows + stride * static_cast<std::size_t>(i));
}
#endif                          // HWY_SCALAR

// f of `symbols` symbols -> row i at rows + i * stride. Rows are written up to the next multiple of
// a vector, which is within the stride.
template <int qm>
void Split(const SoftBit* soft_bits, int symbols, SoftBit* rows, std::size_t stride) {
  int j = 0;
#if HWY_TARGET != HWY_SCALAR
  const auto* from = reinterpret_cast<const std::uint8_t*>(soft_bits);
  auto* to = reinterpret_cast<std::uint8_t*>(rows);
  for (; j + step + spare(qm) <= symbols; j += step) SplitAt<qm>(from + qm * j, to + j, stride);
  if (spare(qm) == 0 && j < symbols && symbols >= step) {  // some for the second time
    SplitAt<qm>(from + qm * (symbols - step), to + symbols - step, stride);
    return;
  }
  for (; j < symbols; j += step) {
    std::uint8_t last[qm * step + 16];
    std::memcpy(last, from + qm * j, static_cast<std::size_t>(qm * std::min(step, symbols - j)));
    SplitAt<qm>(last, to + j, stride);
  }
#endif
  for (; j < symbols; ++j) {
    for (int i = 0; i < qm; ++i)
      rows[stride * static_cast<std::size_t>(i) + j] = soft_bits[qm * j + i];
  }
}

// to[i] = f(to[i], from[i]). Vectors that begin where `to` does and end where it ends may overlap
// others: theirs is computed before anything is written. The others are aligned in `to`, since a
// store across cache lines costs more than two.
template <class F>
HWY_INLINE void Fill(SoftBit* to, const SoftBit* from, int count, F f) {
  const hn::CappedTag<std::int8_t, 64> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  if (count < lanes) {
    const hn::CappedTag<std::int8_t, 1> d1;
    for (int i = 0; i < count; ++i) {
      hn::StoreU(f(hn::LoadU(d1, to + i), hn::LoadU(d1, from + i)), d1, to + i);
    }
    return;
  }
  const auto at = [&](int i) HWY_ATTR { return f(hn::LoadU(d, to + i), hn::LoadU(d, from + i)); };
  const auto first = at(0);
  const auto last = at(count - lanes);
  int i = static_cast<int>(-reinterpret_cast<std::uintptr_t>(to) % static_cast<unsigned>(lanes));
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    const auto v0 = at(i);
    const auto v1 = at(i + lanes);
    hn::Store(v0, d, to + i);
    hn::Store(v1, d, to + i + lanes);
  }
  if (i + lanes <= count) hn::Store(at(i), d, to + i);
  hn::StoreU(first, d, to);
  hn::StoreU(last, d, to + count - lanes);
}

struct Bounded {
  template <class V>
  HWY_INLINE V operator()(V, V more) const {
    return hn::Max(more, hn::Set(hn::DFromV<V>(), -soft_bit_max));
  }
};
struct BoundedSum {
  template <class V>
  HWY_INLINE V operator()(V old, V more) const {
    return hn::Max(hn::SaturatedAdd(old, more), hn::Set(hn::DFromV<V>(), -soft_bit_max));
  }
};

void Copy(SoftBit* to, const SoftBit* from, int count) { Fill(to, from, count, Bounded()); }
void Add(SoftBit* to, const SoftBit* from, int count) { Fill(to, from, count, BoundedSum()); }

// Adds stretches of e to the buffer. Beyond `valid` it is zero by convention only: there a stretch
// is stored.
struct Combiner {
  SoftBit* buffer;
  int valid;

  HWY_INLINE void operator()(const SoftBit* from, int position, int count) {
    const int added = std::clamp(valid - position, 0, count);
    if (added != 0) Add(buffer + position, from, added);
    if (added == count) return;
    if (position > valid)
      std::memset(buffer + valid, 0, static_cast<std::size_t>(position - valid));
    Copy(buffer + position + added, from + added, count - added);
    valid = position + count;
  }
};

template <int qm>
void RecoverRows(const RateMatch& match, const Selection& selection, const SoftBit* soft_bits,
                 Combiner& combine) {
  // An odd number of cache lines: rows a power of two apart would fight for the same cache sets.
  constexpr int stride = ((rows_bytes / qm / 64 - 1) | 1) * 64;
  alignas(64) SoftBit rows[rows_bytes];
  const int symbols_all = match.coded_bits / qm;
  for (int at = 0; at < symbols_all; at += stride) {
    const int symbols = std::min(stride, symbols_all - at);
    Split<qm>(soft_bits + static_cast<std::ptrdiff_t>(at) * qm, symbols, rows, stride);
    for (int i = 0; i < qm; ++i) {
      for_stretches(selection, i * symbols_all + at, symbols,
                    [&](int position, int done, int count) {
                      combine(rows + i * stride + done, position, count);
                    });
    }
  }
}

int RateRecover(const RateMatch& match, const SoftBit* soft_bits, SoftBit* buffer, int valid) {
  const Selection selection(match);
  Combiner combine{buffer, valid};
  switch (match.bits_per_symbol) {
    case 1:
      for_stretches(selection, 0, match.coded_bits, [&](int position, int done, int count) {
        combine(soft_bits + done, position, count);
      });
      break;
    case 2:
      RecoverRows<2>(match, selection, soft_bits, combine);
      break;
    case 4:
      RecoverRows<4>(match, selection, soft_bits, combine);
      break;
    case 6:
      RecoverRows<6>(match, selection, soft_bits, combine);
      break;
    case 8:
      RecoverRows<8>(match, selection, soft_bits, combine);
      break;
    default:
      RecoverRows<10>(match, selection, soft_bits, combine);
  }
  return combine.valid;
}

}  // namespace noroshi::fec::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec::cpu {

HWY_EXPORT(RateRecover);

int rate_recover(const RateMatch& match, View<const SoftBit, 1> soft_bits, View<SoftBit, 1> buffer,
                 int valid) {
  assert(match.bits_per_symbol == 1 ||
         (match.bits_per_symbol % 2 == 0 && match.bits_per_symbol <= 10));
  assert(match.coded_bits >= 0 && match.coded_bits % match.bits_per_symbol == 0);
  assert(soft_bits.size() == static_cast<std::size_t>(match.coded_bits));
  assert(static_cast<std::size_t>(match.buffer_bits) <= buffer.size());
  assert(valid >= 0 && valid <= match.buffer_bits);
  return HWY_DYNAMIC_DISPATCH(RateRecover)(match, soft_bits.data(), buffer.data(), valid);
}

}  // namespace noroshi::fec::cpu
#endif  // HWY_ONCE
