// cpu:: encoder for AVX-512 with VBMI and GFNI: columns in the form of ldpc_slices.h, whose
// transpositions of 8 x 8 bits are one GF2P8AFFINEQB. Highway has no name for that instruction;
// encoding without it (ldpc_encode_cpu.cpp) takes 2 to 2.7 times as long (bg1 z384 on Sapphire
// Rapids: 14.6 Gb/s with AVX2, 11.1 with AVX-512BW, 29.4 so).

#if defined(NOROSHI_FEC_LDPC_ENCODE_SLICED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_FEC_LDPC_ENCODE_SLICED_INL_H_
#undef NOROSHI_FEC_LDPC_ENCODE_SLICED_INL_H_
#else
#define NOROSHI_FEC_LDPC_ENCODE_SLICED_INL_H_
#endif

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include <hwy/highway.h>
#include "base/units.h"
#include "fec/bits/bits.h"
#include "fec/ldpc/ldpc_bytes-inl.h"
#include "fec/ldpc/ldpc_graph.h"
#include "fec/ldpc/ldpc_slices-inl.h"
#include "fec/ldpc/ldpc_slices.h"
#include "fec/ldpc/ldpc_tables.h"

#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL

HWY_PUSH_ATTRIBUTES(HWY_TARGET_STR ",gfni")
namespace noroshi::fec {
namespace HWY_NAMESPACE {
namespace sliced {

// The rows and columns of a base graph as constants. Loops over rows of 3 to 19 edges would be left
// by a mispredicted branch each, which costs more than their sums.
template <int base_graph>
struct StaticGraph {
  static constexpr int information = ldpc_information_columns(base_graph);
  static constexpr int rows = base_graph == 1 ? 46 : 42;
  static constexpr int edges = base_graph == 1 ? 316 : 197;

  static constexpr LdpcTableEntry entry(int e) {
    return base_graph == 1 ? ldpc_base_graph_1[e] : ldpc_base_graph_2[e];
  }
  // column[e], of all edges.
  static constexpr std::array<std::uint8_t, edges> column = [] {
    std::array<std::uint8_t, edges> list{};
    for (int e = 0; e < edges; ++e) list[static_cast<std::size_t>(e)] = entry(e).column;
    return list;
  }();
  // Row r is [begin[r], begin[r + 1]), and has its first edge to a parity column at
  // parity_begin[r].
  static constexpr std::array<int, rows + 1> begin = [] {
    std::array<int, rows + 1> list{};
    for (int e = 0; e < edges; ++e) list[entry(e).row + 1u] = e + 1;
    return list;
  }();
  static constexpr std::array<int, rows> parity_begin = [] {
    std::array<int, rows> list{};
    for (int e = edges - 1; e >= 0; --e) {
      if (entry(e).column >= information) list[entry(e).row] = e;
    }
    return list;
  }();
};

// A sum of `width` bytes, and how far apart the columns lie: every rotation reads `width` bytes.
// An odd number of cache lines, so that equal rotations do not share cache sets.
template <int width>
struct Shape;
template <>
struct Shape<16> {
  using Sum = __m128i;
  static constexpr std::size_t stride = 192;
  static HWY_INLINE Sum load(const std::uint8_t* p) {
    return _mm_loadu_si128(reinterpret_cast<const Sum*>(p));
  }
  static HWY_INLINE void store(Sum v, std::uint8_t* p) {
    _mm_storeu_si128(reinterpret_cast<Sum*>(p), v);
  }
  static HWY_INLINE Sum exclusive_or(Sum a, Sum b) { return _mm_xor_si128(a, b); }
  static HWY_INLINE Sum zero() { return _mm_setzero_si128(); }
  static HWY_INLINE Sum narrowed(__m512i v) { return _mm512_castsi512_si128(v); }
  static HWY_INLINE __m512i widened(Sum v) { return _mm512_castsi128_si512(v); }
};
template <>
struct Shape<32> {
  using Sum = __m256i;
  static constexpr std::size_t stride = 320;
  static HWY_INLINE Sum load(const std::uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const Sum*>(p));
  }
  static HWY_INLINE void store(Sum v, std::uint8_t* p) {
    _mm256_storeu_si256(reinterpret_cast<Sum*>(p), v);
  }
  static HWY_INLINE Sum exclusive_or(Sum a, Sum b) { return _mm256_xor_si256(a, b); }
  static HWY_INLINE Sum zero() { return _mm256_setzero_si256(); }
  static HWY_INLINE Sum narrowed(__m512i v) { return _mm512_castsi512_si256(v); }
  static HWY_INLINE __m512i widened(Sum v) { return _mm512_castsi256_si512(v); }
};
template <>
struct Shape<64> {
  using Sum = __m512i;
  static constexpr std::size_t stride = 576;
  static HWY_INLINE Sum load(const std::uint8_t* p) { return _mm512_loadu_si512(p); }
  static HWY_INLINE void store(Sum v, std::uint8_t* p) { _mm512_storeu_si512(p, v); }
  static HWY_INLINE Sum exclusive_or(Sum a, Sum b) { return _mm512_xor_si512(a, b); }
  static HWY_INLINE Sum zero() { return _mm512_setzero_si512(); }
  static HWY_INLINE Sum narrowed(__m512i v) { return v; }
  static HWY_INLINE __m512i widened(Sum v) { return v; }
};

// Columns one behind the other at any bit. The last one may be cut.
struct Writer {
  std::uint8_t* to;  // the next byte to write
  std::size_t bits_left;
  std::size_t zc;
  bool whole_bytes;
  __mmask64 mask;
  std::uint64_t pending = 0;  // bits of the next bytes, at the top
  std::size_t pending_bits = 0;

  HWY_INLINE Writer(std::uint8_t* out, std::size_t bits, std::size_t the_zc)
      : to(out), bits_left(bits), zc(the_zc), whole_bytes(zc % 8 == 0), mask(first_bytes(zc / 8)) {}

  // column: its bits at the top of the lowest 64-bit lane, or bytes when zc is a multiple of 8.
  HWY_INLINE void put(__m512i column) {
    if (HWY_UNLIKELY(bits_left < zc)) return put_last(column);
    bits_left -= zc;
    if (whole_bytes) {
      _mm512_mask_storeu_epi8(to, mask, column);
      to += zc / 8;
    } else {
      put_word(column, zc);
    }
  }
  HWY_NOINLINE void put_last(__m512i column) {
    if (whole_bytes) {
      _mm512_mask_storeu_epi8(to, first_bytes(bytes_for_bits(bits_left)), column);
    } else {
      put_word(column, bits_left);
    }
    bits_left = 0;
  }
  HWY_INLINE void put_word(__m512i column, std::size_t count) {
    const auto low = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm512_castsi512_si128(column)));
    const std::uint64_t word = low & (~std::uint64_t{0} << (64 - zc));
    pending |= word >> pending_bits;
    pending_bits += count;
    if (pending_bits >= 64) {
      flush(8);
      pending_bits -= 64;
      pending = pending_bits == 0 ? 0 : word << (count - pending_bits);
    }
  }
  HWY_INLINE void flush(std::size_t bytes) {
    const std::uint64_t stored = __builtin_bswap64(pending);
    std::memcpy(to, &stored, bytes);
    to += bytes;
  }
};

template <int base_graph, int width>
struct Encoder {
  using G = StaticGraph<base_graph>;
  using S = Shape<width>;
  using Sum = typename S::Sum;

  const std::uint16_t* shift;  // [edge], mod zc
  std::size_t zc;
  Spreader spreader;
  alignas(64) std::uint8_t y[static_cast<std::size_t>(G::information + ldpc_core_rows) * S::stride];

  HWY_INLINE Encoder(const LdpcGraph& graph, const LdpcSlices& slices, std::size_t the_zc)
      : shift(graph.shift_mod_zc),
        zc(the_zc),
        spreader(static_cast<std::size_t>(slices.slice_bits)) {}

  HWY_INLINE void put(std::size_t column, __m512i v) {
    spreader.template spread<width>(v, y + column * S::stride);
  }

  HWY_INLINE Sum rotated_column(int e) const {
    return S::load(y + G::column[e] * S::stride + shift[e]);
  }
  template <int first, int end>
  HWY_INLINE Sum sum() const {
    Sum total = rotated_column(first);
    NOROSHI_UNROLL
    for (int e = first + 1; e < end; ++e) total = S::exclusive_or(total, rotated_column(e));
    return total;
  }

  // What parity columns that are known by then add to a core row. Only the first is rotated.
  template <int row>
  HWY_INLINE __m512i known_parity(__m512i total, const __m512i* parity) const {
    NOROSHI_UNROLL
    for (int e = G::parity_begin[row]; e < G::begin[row + 1]; ++e) {
      const int c = G::column[e] - G::information;
      if (c == 0) {
        total = _mm512_xor_si512(total, spreader.column_rotated(parity[0], shift[e]));
      } else if (c > 0 && c <= row) {
        total = _mm512_xor_si512(total, parity[c]);
      }
    }
    return total;
  }

  // The four core parity columns (ref: first_parity explains the first), in registers, where a
  // rotation takes longer than from memory but does not wait for stores.
  HWY_INLINE void core_parity() {
    const __m512i s0 = S::widened(sum<G::begin[0], G::parity_begin[0]>());
    const __m512i s1 = S::widened(sum<G::begin[1], G::parity_begin[1]>());
    const __m512i s2 = S::widened(sum<G::begin[2], G::parity_begin[2]>());
    const __m512i s3 = S::widened(sum<G::begin[3], G::parity_begin[3]>());
    const __m512i total = _mm512_xor_si512(_mm512_xor_si512(s0, s1), _mm512_xor_si512(s2, s3));
    std::size_t shifts[ldpc_core_rows];
    int found = 0;
    NOROSHI_UNROLL
    for (int row = 0; row < ldpc_core_rows; ++row) {
      const int e = G::parity_begin[row];
      if (G::column[e] == G::information) shifts[found++] = shift[e];
    }
    assert(found == 3);
    const std::size_t left = shifts[0] == shifts[1]   ? shifts[2]
                             : shifts[0] == shifts[2] ? shifts[1]
                                                      : shifts[0];
    __m512i parity[ldpc_core_rows];
    parity[0] = spreader.column_rotated(total, left == 0 ? 0 : zc - left);
    parity[1] = known_parity<0>(s0, parity);
    parity[2] = known_parity<1>(s1, parity);
    parity[3] = known_parity<2>(s2, parity);
    NOROSHI_UNROLL
    for (std::size_t i = 0; i < ldpc_core_rows; ++i) {
      put(static_cast<std::size_t>(G::information) + i, parity[i]);
    }
  }

  // From memory, where the bytes behind a slice are right too.
  HWY_INLINE void put_core(const Packer& packer, Writer& writer) const {
    NOROSHI_UNROLL
    for (std::size_t i = 0; i < ldpc_core_rows; ++i) {
      const auto column = static_cast<std::size_t>(G::information) + i;
      writer.put(packer.packed(S::widened(S::load(y + column * S::stride))));
    }
  }

  template <int row>
  HWY_INLINE void put_row(int rows, const Packer& packer, Writer& writer) const {
    if constexpr (row < G::rows) {
      if (row >= rows) return;
      writer.put(packer.packed(S::widened(sum<G::begin[row], G::begin[row + 1] - 1>())));
      put_row<row + 1>(rows, packer, writer);
    }
  }
};

template <int base_graph, int width>
void encode_columns(const LdpcGraph& graph, const LdpcSlices& slices, std::size_t zc,
                    const std::uint8_t* bits, Writer& writer, int rows) {
  using E = Encoder<base_graph, width>;
  constexpr auto information = static_cast<std::size_t>(E::G::information);
  E encoder(graph, slices, zc);
  Slicer slicer(slices, bits, bytes_for_bits(information * zc));
  for (std::size_t c = 0; c < information; ++c) encoder.put(c, slicer.column(c * zc));
  encoder.core_parity();
  const Packer packer(slices);
  encoder.put_core(packer, writer);
  encoder.template put_row<ldpc_core_rows>(rows, packer, writer);
}

template <int base_graph>
void encode_graph(int zc, const std::uint8_t* bits, Writer& writer, int rows) {
  const LdpcGraph graph = ldpc_graph(base_graph, zc);
  const LdpcSlices& slices = ldpc_slices(zc);
  const auto z = static_cast<std::size_t>(zc);
  if (slices.sum_bytes <= 16) {
    encode_columns<base_graph, 16>(graph, slices, z, bits, writer, rows);
  } else if (slices.sum_bytes <= 32) {
    encode_columns<base_graph, 32>(graph, slices, z, bits, writer, rows);
  } else {
    encode_columns<base_graph, 64>(graph, slices, z, bits, writer, rows);
  }
}

inline void encode(int base_graph, int zc, const std::uint8_t* bits, std::uint8_t* codeword,
                   int codeword_bits) {
  const auto z = static_cast<std::size_t>(zc);
  const auto count = static_cast<std::size_t>(codeword_bits);
  const std::size_t systematic =
      std::min((static_cast<std::size_t>(ldpc_information_columns(base_graph)) - 2) * z, count);
  if (systematic % 8 != 0) codeword[systematic / 8] = 0;
  copy_bits(codeword, 0, bits, 2 * z, systematic);
  if (systematic == count) return;
  Writer writer(codeword + systematic / 8, count - systematic, z);
  if (writer.pending_bits = systematic % 8; writer.pending_bits != 0) {
    writer.pending = std::uint64_t{*writer.to} << 56;
  }
  const int rows = ldpc_rows_needed(base_graph, zc, codeword_bits);
  if (base_graph == 1) {
    encode_graph<1>(zc, bits, writer, rows);
  } else {
    encode_graph<2>(zc, bits, writer, rows);
  }
  writer.flush(bytes_for_bits(writer.pending_bits));
}

}  // namespace sliced
}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#endif  // AVX3_DL
#endif  // per-target include guard
