#pragma once

// The parity-check matrix as rows of edges, with V_ij already taken mod Zc for every lifting size.

#include <algorithm>
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

// The order in which a layered decoder updates the first `rows` rows. What a row answers is as weak
// as the weakest bit that it has, so those that say most come first: rows that have one of the two
// columns that are never sent at most (a row with both answers nothing until one is known), before
// those with both; of either, the shorter the earlier. The core's long rows come last, when what
// they add is surer. Against ascending order this saves a fifth of the iterations and 0.1 dB
// (docs/measurements/ldpc-floor.md).
struct LdpcSchedule {
  std::uint8_t row[ldpc_rows_max] = {};
};

LdpcSchedule ldpc_schedule(int base_graph, int rows);

// Which parities end the decoding. An extension row decides nothing but its own parity bit, and
// from what the core's rows knew before they were updated: where the caller accepts or refuses,
// the core's parities are enough to ask. Zeros fulfil them all, and every CRC: a decision of zeros
// alone, which is also that of a decoder that has learned nothing yet, is held to all parities.
enum class LdpcParities { core, all };

inline LdpcParities ldpc_parities(const LdpcDecodeConfig& config) {
  return config.accept != nullptr && config.early_stop ? LdpcParities::core : LdpcParities::all;
}

// Parity rows whose parity column is among the columns of d_0 .. d_(codeword_bits - 1); at least
// the core.
int ldpc_rows_needed(int base_graph, int zc, int codeword_bits);

// Up to so many rows (code rates from 0.79 and 0.63 on) a bit sums few messages.
inline constexpr int ldpc_rows_few = 8;

// What a row answers whose smallest magnitude is m: max(m factor_x16 / 16, m - offset). Small
// messages are as wrong as a factor tells, large ones by no more than about half a unit of the
// log-likelihood ratio, and messages grow from one iteration to the next.
struct LdpcMinSum {
  int factor_x16 = 16;
  int offset = 0;  // in steps of the decoder's scale; ldpc_message_max: the factor alone
};

// The mean magnitude that cpu:: amplifies soft bits to, chosen by block error rate at 8 iterations
// against ref:: (docs/measurements/ldpc-floor.md): the finer the better, but with many rows a
// posterior sums up to 30 messages and must not live at its limit of 127.
constexpr int ldpc_mean_magnitude(int rows) {
  if (rows <= ldpc_core_rows) return 40;
  if (rows <= ldpc_rows_few) return 30;
  return rows <= 20 ? 22 : std::max(15, 22 - (rows - 20) * 7 / 20);
}

// Magnitudes are limited so that a known zero, at 127, outweighs its own row's last message.
inline constexpr int ldpc_message_max = 63;

// The configuration's factor, or what is best for so many rows by block error rate.
LdpcMinSum ldpc_min_sum(const LdpcDecodeConfig& config, int rows);

}  // namespace noroshi::fec
