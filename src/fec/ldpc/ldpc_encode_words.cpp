#include "fec/ldpc/ldpc_encode_words.h"

#include <algorithm>
#include <cassert>
#include <cstddef>

#include "fec/bits/bits.h"
#include "fec/ldpc/ldpc_graph.h"

namespace noroshi::fec {
namespace {

using Word = std::uint64_t;  // a column: bit l at 63 - l, the rest 0

Word read_bits(const std::uint8_t* packed, std::size_t first, int count) {
  Word word = 0;
  for (int i = 0; i < count; i += 8) {
    const auto part = static_cast<std::size_t>(std::min(8, count - i));
    word |= static_cast<Word>(read_bits8(packed, first + static_cast<std::size_t>(i), part))
            << (static_cast<std::size_t>(64 - i) - part);
  }
  return word;
}

Word rotate(Word x, int shift, int zc) {
  return ((x << shift) | (x >> (zc - shift))) & (~Word{0} << (64 - zc));
}

Word row_sum(const LdpcGraph& graph, int row, int before, const Word* columns, int zc) {
  Word sum = 0;
  for (int e = graph.row_begin[row]; e < graph.row_begin[row + 1]; ++e) {
    if (graph.column[e] >= before) break;
    sum ^= rotate(columns[graph.column[e]], graph.shift_mod_zc[e], zc);
  }
  return sum;
}

// The first core parity column (ref: first_parity).
Word first_parity(const LdpcGraph& graph, const Word* columns, int zc) {
  const int first = graph.information_columns;
  Word total = 0;
  int shifts[ldpc_core_rows];
  int found = 0;
  for (int row = 0; row < ldpc_core_rows; ++row) {
    total ^= row_sum(graph, row, first, columns, zc);
    for (int e = graph.row_begin[row]; e < graph.row_begin[row + 1]; ++e) {
      if (graph.column[e] == first) shifts[found++] = graph.shift_mod_zc[e];
    }
  }
  assert(found == 3);
  const int left = shifts[0] == shifts[1]   ? shifts[2]
                   : shifts[0] == shifts[2] ? shifts[1]
                                            : shifts[0];
  return rotate(total, (zc - left) % zc, zc);
}

}  // namespace

void ldpc_encode_words(int base_graph, int zc, const std::uint8_t* bits, std::uint8_t* codeword,
                       int codeword_bits) {
  const LdpcGraph graph = ldpc_graph(base_graph, zc);
  const int first = graph.information_columns;
  const int rows = ldpc_rows_needed(base_graph, zc, codeword_bits);
  Word columns[22 + ldpc_rows_max];
  for (int c = 0; c < first; ++c) {
    columns[c] = read_bits(bits, static_cast<std::size_t>(c * zc), zc);
  }
  columns[first] = first_parity(graph, columns, zc);
  for (int row = 0; row < rows; ++row) {
    if (row == ldpc_core_rows - 1) continue;
    const int unknown = row < ldpc_core_rows - 1 ? first + 1 + row : first + row;
    columns[unknown] = row_sum(graph, row, unknown, columns, zc);
  }

  Word pending = 0;  // bits not yet written, at the top
  int pending_bits = 0;
  int written = 0;
  for (int c = 2; written < codeword_bits; ++c) {
    const int count = std::min(zc, codeword_bits - (c - 2) * zc);
    // A column goes in by halves of at most 32 bits, so that fewer than 8 pending always leave
    // room.
    for (int done = 0; done < count; done += 32) {
      const int part = std::min(32, count - done);
      const Word top = (columns[c] << done) & (~Word{0} << (64 - part));
      pending |= top >> pending_bits;
      for (pending_bits += part; pending_bits >= 8; pending_bits -= 8, pending <<= 8) {
        *codeword++ = static_cast<std::uint8_t>(pending >> 56);
      }
    }
    written += count;
  }
  if (pending_bits > 0) *codeword = static_cast<std::uint8_t>(pending >> 56);
}

}  // namespace noroshi::fec
