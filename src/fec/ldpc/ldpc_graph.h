#pragma once

// The parity-check matrix as rows of edges, with V_ij already taken mod Zc for every lifting size.

#include <cstdint>

#include "fec/ldpc/ldpc.h"

namespace noroshi::fec {

inline constexpr int ldpc_core_rows = 4;  // the rows whose parity bits are solved together
inline constexpr int ldpc_rows_max = 46;
inline constexpr int ldpc_core_columns_max = 26;
inline constexpr int ldpc_edges_max = 316;
inline constexpr int ldpc_row_degree_max = 19;

// Row i >= 4 ends with the only edge of column core_columns + i - 4, whose shift is 0: an
// extension row. All other edges lie in the first core_columns columns.
struct LdpcGraph {
  int rows = 0;
  int information_columns = 0;
  int core_columns = 0;               // information_columns + 4
  const std::uint16_t* row_begin;     // [rows + 1] into the two below
  const std::uint8_t* column;         // [edge]
  const std::uint16_t* shift_mod_zc;  // [edge]
};

// Precondition: base_graph is 1 or 2 and ldpc_is_lifting_size(zc).
LdpcGraph ldpc_graph(int base_graph, int zc);

// The row that a layered decoder updates as number `step`. Rows 0, 2 and 3 of base graph 1 have
// both columns that are never sent, so the first of them to come learns nothing; row 1 has one of
// them, and before the others it makes both known in one iteration.
constexpr int ldpc_scheduled_row(int step) { return step < 2 ? 1 - step : step; }

// Parity rows whose parity column is among the columns of d_0 .. d_(codeword_bits - 1); at least
// the core.
int ldpc_rows_needed(int base_graph, int zc, int codeword_bits);

// Up to so many rows (code rates from 0.79 and 0.63 on) a bit sums few messages.
inline constexpr int ldpc_rows_few = 8;
// 16 * the factor of normalised min-sum: the configuration's, or the best one for so many rows by
// block error rate at 8 iterations (docs/measurements/ldpc-floor.md).
constexpr int ldpc_min_sum_scale_x16(const LdpcDecodeConfig& config, int rows) {
  if (config.min_sum_scale_x16 != 0) return config.min_sum_scale_x16;
  return rows <= ldpc_rows_few ? 14 : rows <= 30 ? 12 : 11;
}

}  // namespace noroshi::fec
