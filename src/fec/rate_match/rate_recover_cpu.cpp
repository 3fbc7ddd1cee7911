#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/rate_match/rate_recover_cpu.cpp"
#include <hwy/foreach_target.h>

#include <hwy/highway.h>
#include <algorithm>
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

#if HWY_TARGET != HWY_SCALAR  // one lane a vector: no shuffles
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
#endif  // HWY_SCALAR

// f of `symbols` symbols -> row i at rows + i * stride. Rows are written up to the next multiple of
// a vector, which is within the stride.
template <int qm>
void Split(const SoftBit* soft_bits, int symbols, SoftBit* rows, std::size_t stride) {
  int j = 0;
#if HWY_TARGET != HWY_SCALAR
  constexpr int step = static_cast<int>(hn::MaxLanes(D8()));
  const auto* from = reinterpret_cast<const std::uint8_t*>(soft_bits);
  auto* to = reinterpret_cast<std::uint8_t*>(rows);
  // For Qm = 6 and 10 the last load reads up to 16 bytes past its symbols: they must exist.
  constexpr int spare = qm == 6 || qm == 10 ? 16 / qm + 1 : 0;
  for (; j + step + spare <= symbols; j += step) SplitAt<qm>(from + qm * j, to + j, stride);
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

void SplitAny(int qm, const SoftBit* soft_bits, int symbols, SoftBit* rows, std::size_t stride) {
  switch (qm) {
    case 2:
      return Split<2>(soft_bits, symbols, rows, stride);
    case 4:
      return Split<4>(soft_bits, symbols, rows, stride);
    case 6:
      return Split<6>(soft_bits, symbols, rows, stride);
    case 8:
      return Split<8>(soft_bits, symbols, rows, stride);
    default:
      return Split<10>(soft_bits, symbols, rows, stride);
  }
}

inline SoftBit Bounded(int value) {
  return static_cast<SoftBit>(std::clamp(value, -soft_bit_max, soft_bit_max));
}

void Copy(SoftBit* to, const SoftBit* from, int count) {
  const hn::CappedTag<std::int8_t, 64> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto least = hn::Set(d, -soft_bit_max);
  const auto copy = [&](int i)
                        HWY_ATTR { hn::StoreU(hn::Max(hn::LoadU(d, from + i), least), d, to + i); };
  if (count < lanes) {
    for (int i = 0; i < count; ++i) to[i] = Bounded(from[i]);
    return;
  }
  for (int i = 0; i + lanes <= count; i += lanes) copy(i);
  copy(count - lanes);
}

void Add(SoftBit* to, const SoftBit* from, int count) {
  const hn::CappedTag<std::int8_t, 64> d;
  const int lanes = static_cast<int>(hn::Lanes(d));
  const auto least = hn::Set(d, -soft_bit_max);
  const auto sum = [&](int i) HWY_ATTR {
    return hn::Max(hn::SaturatedAdd(hn::LoadU(d, to + i), hn::LoadU(d, from + i)), least);
  };
  if (count < lanes) {
    for (int i = 0; i < count; ++i) to[i] = Bounded(to[i] + from[i]);
    return;
  }
  // The last vector overlaps the one before: it is summed from the old values.
  const auto last = sum(count - lanes);
  for (int i = 0; i + lanes <= count; i += lanes) hn::StoreU(sum(i), d, to + i);
  hn::StoreU(last, d, to + count - lanes);
}

int RateRecover(const RateMatch& match, const SoftBit* soft_bits, SoftBit* buffer, int valid) {
  const Selection selection(match);
  // Beyond `valid` the buffer is zero by convention only: there a stretch is stored, not added.
  const auto combine = [&](const SoftBit* from, int position, int count) {
    const int added = std::clamp(valid - position, 0, count);
    Add(buffer + position, from, added);
    if (added == count) return;
    if (position > valid)
      std::memset(buffer + valid, 0, static_cast<std::size_t>(position - valid));
    Copy(buffer + position + added, from + added, count - added);
    valid = position + count;
  };
  const int qm = match.bits_per_symbol;
  if (qm == 1) {
    for_stretches(selection, 0, match.coded_bits, [&](int position, int done, int count) {
      combine(soft_bits + done, position, count);
    });
    return valid;
  }
  alignas(64) SoftBit rows[rows_bytes];
  const int symbols_all = match.coded_bits / qm;
  // An odd number of cache lines: rows a power of two apart would fight for the same cache sets.
  const int stride = ((rows_bytes / qm / 64 - 1) | 1) * 64;
  for (int at = 0; at < symbols_all; at += stride) {
    const int symbols = std::min(stride, symbols_all - at);
    SplitAny(qm, soft_bits + static_cast<std::ptrdiff_t>(at) * qm, symbols, rows,
             static_cast<std::size_t>(stride));
    HWY_UNROLL(16)
    for (int i = 0; i < qm; ++i) {
      const SoftBit* row = rows + static_cast<std::ptrdiff_t>(i) * stride;
      for_stretches(
          selection, i * symbols_all + at, symbols,
          [&](int position, int done, int count) { combine(row + done, position, count); });
    }
  }
  return valid;
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
