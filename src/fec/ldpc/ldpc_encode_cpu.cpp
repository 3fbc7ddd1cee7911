// cpu:: encoder. With AVX-512 VBMI and GFNI: ldpc_encode_sliced-inl.h. Elsewhere a rotated sum of a
// row is a few XORs of unaligned loads, because every column is kept twice in a row (so a rotation
// never wraps) at each of the eight bit offsets (so it starts at a byte); lifting sizes below 64
// fit a machine word and use that instead, and all others are multiples of 8.

#define HWY_WANT_AVX3_DL
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/ldpc/ldpc_encode_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After foreach_target.h.
#include <algorithm>
#include <cassert>
#include <cstring>

#include <hwy/highway.h>
#include "fec/ldpc/ldpc.h"
#include "fec/ldpc/ldpc_bytes-inl.h"
#include "fec/ldpc/ldpc_encode_sliced-inl.h"
#include "fec/ldpc/ldpc_encode_words.h"
#include "fec/ldpc/ldpc_graph.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

constexpr std::size_t offset_stride = 128;  // two copies and a vector's overrun
constexpr std::size_t column_stride = 8 * offset_stride;

struct Encoder {
  LdpcGraph graph;
  std::size_t column_bytes;
  alignas(64) std::int8_t columns[ldpc_core_columns_max * column_stride];
};

// The column twice, at bit offset 0. x: column_bytes bytes, and readable for whole vectors.
template <std::size_t vectors>
HWY_INLINE void copy_column(Encoder& encoder, std::size_t column, const std::uint8_t* x) {
  const auto* from = reinterpret_cast<const std::int8_t*>(x);
  std::int8_t* y = encoder.columns + column * column_stride;
  for (std::size_t i = 0; i < vectors * lanes; i += lanes) {
    store_unaligned(load_unaligned(from + i), y + i);
  }
  y += encoder.column_bytes;
  for (std::size_t i = 0; i < vectors * lanes; i += lanes) {
    store_unaligned(load_unaligned(from + i), y + i);
  }
}

// The other seven bit offsets. A byte moves on by a bit when it is doubled and the next byte's top
// bit, the sign, comes in.
HWY_NOINLINE void shift_column(Encoder& encoder, std::size_t column) {
  std::int8_t* y = encoder.columns + column * column_stride;
  for (std::size_t i = 0; i < 2 * encoder.column_bytes; i += lanes) {
    Bytes here = load_unaligned(y + i);
    Bytes next = load_unaligned(y + i + 1);
    NOROSHI_UNROLL
    for (std::size_t offset = 1; offset < 8; ++offset) {
      here = subtracted(added(here, here), sign_mask(next));
      next = added(next, next);
      store_unaligned(here, y + offset * offset_stride + i);
    }
  }
}

template <std::size_t vectors>
HWY_INLINE void put_column(Encoder& encoder, std::size_t column, const std::uint8_t* x) {
  copy_column<vectors>(encoder, column, x);
  shift_column(encoder, column);
}

// sum = the XOR over the edges [first, end) of the rotated columns, in whole vectors.
template <std::size_t vectors>
HWY_INLINE void row_sum(const Encoder& encoder, int first, int end, std::uint8_t* sum) {
  Bytes acc0 = zero();
  Bytes acc1 = acc0;
  Bytes acc2 = acc0;
  for (int e = first; e < end; ++e) {
    const std::size_t shift = encoder.graph.shift_mod_zc[e];
    const std::int8_t* x = encoder.columns + encoder.graph.column[e] * column_stride +
                           (shift & 7) * offset_stride + (shift >> 3);
    acc0 = exclusive_or(acc0, load_unaligned(x));
    if (vectors > 1) acc1 = exclusive_or(acc1, load_unaligned(x + lanes));
    if (vectors > 2) acc2 = exclusive_or(acc2, load_unaligned(x + 2 * lanes));
  }
  auto* out = reinterpret_cast<std::int8_t*>(sum);
  store_unaligned(acc0, out);
  if (vectors > 1) store_unaligned(acc1, out + lanes);
  if (vectors > 2) store_unaligned(acc2, out + 2 * lanes);
}

// Edges of the row in columns before `column`; the columns ascend.
int edges_before(const LdpcGraph& graph, int row, int column) {
  int end = graph.row_begin[row + 1];
  while (graph.column[end - 1] >= column) --end;
  return end;
}

constexpr std::size_t sum_stride = 64;  // bytes: a column in whole vectors

template <std::size_t vectors>
HWY_INLINE void add(const std::uint8_t* x, std::uint8_t* sum) {
  const auto* from = reinterpret_cast<const std::int8_t*>(x);
  auto* to = reinterpret_cast<std::int8_t*>(sum);
  for (std::size_t i = 0; i < vectors * lanes; i += lanes) {
    store(exclusive_or(load(from + i), load(to + i)), to + i);
  }
}

// The four core parity columns [4, sum_stride] (ref: first_parity explains the first).
template <std::size_t vectors>
void core_parity(Encoder& encoder, std::uint8_t* parity) {
  const LdpcGraph& graph = encoder.graph;
  const int first = graph.information_columns;
  const auto first_column = static_cast<std::size_t>(first);
  const std::size_t zc = 8 * encoder.column_bytes;
  alignas(64) std::uint8_t sums[ldpc_core_rows * sum_stride];
  alignas(64) std::uint8_t total[sum_stride] = {};
  std::size_t shifts[ldpc_core_rows];
  int found = 0;
  for (int row = 0; row < ldpc_core_rows; ++row) {
    const int end = edges_before(graph, row, first);
    std::uint8_t* sum = sums + static_cast<std::size_t>(row) * sum_stride;
    row_sum<vectors>(encoder, graph.row_begin[row], end, sum);
    add<vectors>(sum, total);
    if (graph.column[end] == first) shifts[found++] = graph.shift_mod_zc[end];
  }
  assert(found == 3);
  const std::size_t left = shifts[0] == shifts[1]   ? shifts[2]
                           : shifts[0] == shifts[2] ? shifts[1]
                                                    : shifts[0];
  // Rotating back by `left` is rotating on by zc - left: read it from the eight offsets.
  put_column<vectors>(encoder, first_column, total);
  const std::size_t back = (zc - left) % zc;
  std::memcpy(
      parity,
      encoder.columns + first_column * column_stride + (back & 7) * offset_stride + (back >> 3),
      encoder.column_bytes);
  put_column<vectors>(encoder, first_column, parity);
  for (int row = 0; row < ldpc_core_rows - 1; ++row) {
    std::uint8_t* next = parity + static_cast<std::size_t>(row + 1) * sum_stride;
    row_sum<vectors>(encoder, edges_before(graph, row, first),
                     edges_before(graph, row, first + 1 + row), next);
    add<vectors>(sums + static_cast<std::size_t>(row) * sum_stride, next);
    put_column<vectors>(encoder, first_column + 1 + static_cast<std::size_t>(row), next);
  }
}

template <std::size_t vectors>
void encode_bytes(Encoder& encoder, const std::uint8_t* bits, std::uint8_t* codeword,
                  std::size_t codeword_bytes, int rows) {
  const LdpcGraph& graph = encoder.graph;
  const std::size_t bytes = encoder.column_bytes;
  const auto information = static_cast<std::size_t>(graph.information_columns);
  const std::size_t systematic = (information - 2) * bytes;
  std::memcpy(codeword, bits + 2 * bytes, std::min(systematic, codeword_bytes));
  if (codeword_bytes <= systematic) return;

  alignas(64) std::uint8_t padded[ldpc_information_bits_max / 8 + sum_stride];
  std::memcpy(padded, bits, information * bytes);
  // All copies before the first shift: loads that span fresh stores would wait for them.
  for (std::size_t c = 0; c < information; ++c) {
    copy_column<vectors>(encoder, c, padded + c * bytes);
  }
  for (std::size_t c = 0; c < information; ++c) shift_column(encoder, c);
  alignas(64) std::uint8_t parity[ldpc_core_rows * sum_stride];
  core_parity<vectors>(encoder, parity);
  std::size_t at = systematic;
  for (int row = 0; row < rows && at < codeword_bytes; ++row, at += bytes) {
    const std::size_t count = std::min(bytes, codeword_bytes - at);
    if (row < ldpc_core_rows) {
      std::memcpy(codeword + at, parity + static_cast<std::size_t>(row) * sum_stride, count);
    } else if (at + vectors * lanes <= codeword_bytes) {
      // The overrun is overwritten by the next row.
      row_sum<vectors>(encoder, graph.row_begin[row], graph.row_begin[row + 1] - 1, codeword + at);
    } else {
      std::uint8_t sum[sum_stride];
      row_sum<vectors>(encoder, graph.row_begin[row], graph.row_begin[row + 1] - 1, sum);
      std::memcpy(codeword + at, sum, count);
    }
  }
}

void encode(int base_graph, int zc, const std::uint8_t* bits, std::uint8_t* codeword,
            int codeword_bits) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX3_DL
  if (__builtin_cpu_supports("gfni")) {  // every such processor has it, but Highway does not ask
    sliced::encode(base_graph, zc, bits, codeword, codeword_bits);
    return;
  }
#endif
  if (zc < 64) {
    ldpc_encode_words(base_graph, zc, bits, codeword, codeword_bits);
    return;
  }
  Encoder encoder;
  encoder.graph = ldpc_graph(base_graph, zc);
  encoder.column_bytes = static_cast<std::size_t>(zc) / 8;
  const int rows = ldpc_rows_needed(base_graph, zc, codeword_bits);
  const std::size_t bytes = bytes_for_bits(static_cast<std::size_t>(codeword_bits));
  // A column has at most 48 bytes: one to three vectors of the target's width.
  if (encoder.column_bytes <= lanes) {
    encode_bytes<1>(encoder, bits, codeword, bytes, rows);
  } else if constexpr (lanes < 48) {
    if (encoder.column_bytes <= 2 * lanes) {
      encode_bytes<2>(encoder, bits, codeword, bytes, rows);
    } else if constexpr (lanes < 24) {
      encode_bytes<3>(encoder, bits, codeword, bytes, rows);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec {
HWY_EXPORT(encode);

namespace cpu {

void ldpc_encode(int base_graph, int zc, View<const std::uint8_t, 1> bits,
                 View<std::uint8_t, 1> codeword, int codeword_bits) {
  assert(base_graph == 1 || base_graph == 2);
  assert(ldpc_is_lifting_size(zc));
  assert(codeword_bits > 0 && codeword_bits <= ldpc_codeword_bits(base_graph, zc));
  assert(bits.size() >=
         bytes_for_bits(static_cast<std::size_t>(ldpc_information_bits(base_graph, zc))));
  assert(codeword.size() >= bytes_for_bits(static_cast<std::size_t>(codeword_bits)));
  HWY_DYNAMIC_DISPATCH(encode)(base_graph, zc, bits.data(), codeword.data(), codeword_bits);
  if (codeword_bits % 8 != 0) {
    codeword.data()[codeword_bits / 8] &= static_cast<std::uint8_t>(0xff00 >> (codeword_bits % 8));
  }
}

}  // namespace cpu
}  // namespace noroshi::fec
#endif  // HWY_ONCE
