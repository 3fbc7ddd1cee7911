// cpu:: decoder: layered min-sum on 8-bit messages, zc as vector lanes.
//
// A row is updated in one pass over its vectors. The posteriors of a column are stored rotated as
// the last row that visited it left them, so a row reads each column at the difference of two
// shifts (unaligned, at precomputed offsets) and writes it aligned, into the column's other bank.
// The column's first vector is repeated at its end: no read wraps. Lanes past zc compute values
// that nothing reads.
//
// The parity column of an extension row has that row as its only neighbour: its message to the row
// is always the channel's, and only its decision needs the row's answer.

// Permutations of bytes across 64 lanes, for narrow columns.
#define HWY_WANT_AVX3_DL

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/ldpc/ldpc_decode_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After foreach_target.h.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>

#include <hwy/highway.h>
#include "fec/ldpc/ldpc.h"
#include "fec/ldpc/ldpc_bytes-inl.h"
#include "fec/ldpc/ldpc_graph.h"
#include "fec/ldpc/ldpc_row-inl.h"
#include "fec/ldpc/ldpc_workspace.h"

#ifndef NOROSHI_FEC_LDPC_DECODE_CPU_ONCE
#define NOROSHI_FEC_LDPC_DECODE_CPU_ONCE

namespace noroshi::fec {
// The scale that the decoder works in, chosen by block error rate at 8 iterations against ref::
// (docs/measurements/ldpc-floor.md). Soft bits are amplified to a mean magnitude: the finer the
// better, but with many rows a posterior sums up to 30 messages and must not live at its limit of
// 127.
constexpr int ldpc_mean_magnitude(int rows) {
  if (rows <= ldpc_core_rows) return 32;
  return rows <= 20 ? 22 : std::max(15, 22 - (rows - 20) * 7 / 20);
}
}  // namespace noroshi::fec
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

using State = LdpcWorkspace::State;

inline std::size_t vectors_of(const State& state) {
  return (static_cast<std::size_t>(state.zc) + lanes - 1) / lanes;
}
inline std::size_t bank_bytes(const State& state) { return (vectors_of(state) + 1) * lanes; }
inline std::size_t bank_at(const State& state, std::size_t column, std::size_t bank) {
  return (2 * column + bank) * bank_bytes(state);
}

void plan(State& state, int base_graph, int zc, int rows) {
  const bool narrow = has_permute && zc <= static_cast<int>(lanes);
  if (state.base_graph == base_graph && state.zc == zc && state.rows == rows &&
      state.vector_bytes == static_cast<int>(lanes) && state.narrow == narrow) {
    return;
  }
  state.base_graph = base_graph;
  state.zc = zc;
  state.rows = rows;
  state.vector_bytes = static_cast<int>(lanes);
  state.narrow = narrow;
  const LdpcGraph graph = ldpc_graph(base_graph, zc);
  const auto size = static_cast<std::size_t>(zc);
  const std::size_t vectors = vectors_of(state);
  for (std::size_t i = 0; i < std::size(state.periodic); ++i) {
    state.periodic[i] = static_cast<std::int8_t>(i % size);
  }

  // Each column's rotation after its last row is the one that the first row finds.
  std::fill_n(state.rotation, ldpc_core_columns_max, std::uint16_t{0});
  std::fill_n(state.visits_odd, ldpc_core_columns_max, std::uint8_t{0});
  for (int step = 0; step < rows; ++step) {
    const int row = ldpc_scheduled_row(step);
    const int extension = row >= ldpc_core_rows;
    state.degree[row] =
        static_cast<std::uint8_t>(graph.row_begin[row + 1] - graph.row_begin[row] - extension);
    for (int e = graph.row_begin[row]; e < graph.row_begin[row + 1] - extension; ++e) {
      state.rotation[graph.column[e]] = graph.shift_mod_zc[e];
      if (!state.narrow) state.visits_odd[graph.column[e]] ^= 1;
    }
  }
  for (std::size_t odd = 0; odd < 2; ++odd) {
    std::size_t rotation[ldpc_core_columns_max];
    std::size_t bank[ldpc_core_columns_max];
    for (std::size_t c = 0; c < ldpc_core_columns_max; ++c) {
      rotation[c] = state.rotation[c];
      bank[c] = odd & state.visits_odd[c];
    }
    std::uint16_t* read = state.read_offset[odd];
    std::uint16_t* write = state.write_offset[odd];
    for (int step = 0; step < rows; ++step) {
      const int row = ldpc_scheduled_row(step);
      const int degree = state.degree[row];
      for (int i = 0; i < degree; ++i) {
        const int e = graph.row_begin[row] + i;
        const std::size_t c = graph.column[e];
        const std::size_t shift = graph.shift_mod_zc[e];
        std::size_t from = (shift + size - rotation[c]) % size;
        for (std::size_t k = 0; k < vectors; ++k) {
          read[k * static_cast<std::size_t>(degree) + static_cast<std::size_t>(i)] =
              static_cast<std::uint16_t>(state.narrow ? from : bank_at(state, c, bank[c]) + from);
          from += lanes;
          if (from >= size) from -= size;
        }
        if (!state.narrow) bank[c] ^= 1;
        *write++ = static_cast<std::uint16_t>(bank_at(state, c, bank[c]));
        rotation[c] = shift;
      }
      read += vectors * static_cast<std::size_t>(degree);
    }
  }
}

template <class Kind>
void iterate(State& state, int iteration, const Scaling& scaling) {
  const std::size_t odd = static_cast<std::size_t>(iteration) & 1;
  const std::size_t vectors = vectors_of(state);
  RowWalk walk{vectors,
               static_cast<std::size_t>(state.zc),
               scaling,
               state.read_offset[odd],
               state.write_offset[odd],
               state.periodic,
               state.posterior,
               state.message,
               state.extension_llr,
               state.extension_posterior};
  for (int step = 0; step < state.rows; ++step) {
    const int row = ldpc_scheduled_row(step);
    const bool extension = row >= ldpc_core_rows;
    const auto degree = static_cast<std::size_t>(state.degree[row]);
    update_row<Kind>(state.degree[row], extension, walk);
    walk.read += degree * vectors;
    walk.write += degree;
    walk.message += degree * vectors * lanes;
    if (extension) {
      walk.extension_llr += vectors * lanes;
      walk.extension_posterior += vectors * lanes;
    }
  }
}

template <bool exact, bool narrow>
void iterate(State& state, int iteration, const Scaling& scaling) {
  if (iteration == 0) {
    iterate<Kind<true, exact, narrow>>(state, iteration, scaling);
  } else {
    iterate<Kind<false, exact, narrow>>(state, iteration, scaling);
  }
}

void iterate(State& state, int iteration, const Scaling& scaling) {
  const bool exact = state.rows > ldpc_rows_few;
  if (has_permute && state.narrow) {
    if (exact) return iterate<true, has_permute>(state, iteration, scaling);
    return iterate<false, has_permute>(state, iteration, scaling);
  }
  if (exact) return iterate<true, false>(state, iteration, scaling);
  iterate<false, false>(state, iteration, scaling);
}

// The gain, in 1 / 128, that brings the mean magnitude of the non-zero soft bits to the decoder's.
int gain_for(View<const SoftBit, 1> llr, int rows) {
  MagnitudeSum total;
  std::size_t i = 0;
  for (; i + lanes <= llr.size(); i += lanes) total.add(llr.data() + i);
  if (i < llr.size()) {
    alignas(64) std::int8_t tail[State::vector_bytes_max] = {};
    std::memcpy(tail, llr.data() + i, llr.size() - i);
    total.add(tail);
  }
  const std::uint64_t sum = total.sum();
  if (sum == 0) return 128;
  const auto mean = static_cast<std::uint64_t>(ldpc_mean_magnitude(rows));
  return static_cast<int>((128 * mean * total.count() + sum / 2) / sum);  // mean..128 mean
}

// out[0, count) = amplified in[0, count); may write up to a vector more.
void amplify(const SoftBit* in, std::size_t count, int gain, std::int8_t* out) {
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) store_unaligned(amplified(in + i, gain), out + i);
  if (i == count) return;
  alignas(64) std::int8_t tail[State::vector_bytes_max] = {};
  std::memcpy(tail, in + i, count - i);
  store_unaligned(amplified(tail, gain), out + i);
}

// Column c of the natural order, rotated as the first row will look for it.
void load_column(State& state, std::size_t c) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const std::size_t rotation = state.rotation[c];
  const std::int8_t* from = state.natural + c * zc;
  std::int8_t* column = state.posterior + bank_at(state, c, 0);
  if (state.narrow) {
    store(permuted(load_unaligned(from), load_unaligned(state.periodic + rotation)), column);
    return;
  }
  std::memcpy(column, from + rotation, zc - rotation);
  std::memcpy(column + zc - rotation, from, rotation);
  store_unaligned(load(column), column + zc);
}

// What was not received is zero, fillers are known.
void load_soft_bits(State& state, const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                    const LdpcGraph& graph) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const auto filler = static_cast<std::size_t>(config.filler_bits);
  const auto information = static_cast<std::size_t>(graph.information_columns) * zc;
  const auto core = static_cast<std::size_t>(graph.core_columns) * zc;
  const std::size_t column_span = vectors_of(state) * lanes;
  const int gain = gain_for(llr, state.rows);

  std::int8_t* natural = state.natural;
  const std::size_t in_core = std::min(llr.size(), core - 2 * zc);
  std::memset(natural, 0, 2 * zc);
  amplify(llr.data(), in_core, gain, natural + 2 * zc);
  std::memset(natural + 2 * zc + in_core, 0, core - 2 * zc - in_core);
  std::memset(natural + information - filler, soft_bit_max, filler);
  for (std::size_t c = 0; c < static_cast<std::size_t>(graph.core_columns); ++c) {
    load_column(state, c);
  }
  if (state.rows == ldpc_core_rows) return;
  const std::size_t rest = llr.size() - in_core;  // > 0: the last row is needed
  if (zc % lanes == 0) {
    amplify(llr.data() + in_core, rest, gain, state.extension_llr);
    const std::size_t columns = static_cast<std::size_t>(state.rows - ldpc_core_rows) * zc;
    std::memset(state.extension_llr + rest, 0, columns - rest);
    return;
  }
  for (std::size_t r = 0; r * zc < rest; ++r) {
    // Lanes past zc hold the next column's soft bits or zeros; nothing reads their results.
    std::int8_t* column = state.extension_llr + r * column_span;
    const std::size_t count = std::min(column_span, rest - r * zc);
    amplify(llr.data() + in_core + r * zc, count, gain, column);
    if (count < zc) std::memset(column + count, 0, zc - count);
  }
}

bool narrow_parities_hold(const State& state, const LdpcGraph& graph) {
  const auto zc = static_cast<std::size_t>(state.zc);
  alignas(64) std::int8_t outside[State::vector_bytes_max] = {};  // -1: not a bit of the code
  std::memset(outside, -1, lanes);
  std::memset(outside, 0, zc);
  Bytes any_odd = zero();
  for (int row = 0; row < state.rows; ++row) {
    Bytes odd = zero();
    if (row >= ldpc_core_rows) {
      odd =
          load(state.extension_posterior + static_cast<std::size_t>(row - ldpc_core_rows) * lanes);
    }
    for (int i = 0; i < state.degree[row]; ++i) {
      const int e = graph.row_begin[row] + i;
      const std::size_t c = graph.column[e];
      const std::size_t at = graph.shift_mod_zc[e] + zc - state.rotation[c];  // < 2 zc
      odd = exclusive_or(odd, permuted(load(state.posterior + bank_at(state, c, 0)),
                                       load_unaligned(state.periodic + at)));
    }
    any_odd = if_negative(odd, odd, any_odd);
    if (row % 8 == 3 && any_negative(if_negative(load(outside), zero(), any_odd))) return false;
  }
  return !any_negative(if_negative(load(outside), zero(), any_odd));
}

bool parities_hold(const State& state, const LdpcGraph& graph, int iterations) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const std::size_t vectors = vectors_of(state);
  const std::int8_t* extension_posterior = state.extension_posterior;
  if (state.narrow) return narrow_parities_hold(state, graph);
  for (int row = 0; row < state.rows; ++row) {
    const std::int8_t* columns[ldpc_row_degree_max];
    std::size_t at[ldpc_row_degree_max];
    const int degree = state.degree[row];
    for (int i = 0; i < degree; ++i) {
      const int e = graph.row_begin[row] + i;
      const std::size_t c = graph.column[e];
      const std::size_t bank = static_cast<std::size_t>(iterations) & state.visits_odd[c];
      columns[i] = state.posterior + bank_at(state, c, bank);
      at[i] = (graph.shift_mod_zc[e] + zc - state.rotation[c]) % zc;
    }
    for (std::size_t k = 0; k < vectors; ++k) {
      Bytes odd = zero();
      if (row >= ldpc_core_rows) odd = load(extension_posterior + k * lanes);
      for (int i = 0; i < degree; ++i) {
        odd = exclusive_or(odd, load_unaligned(columns[i] + at[i]));
        at[i] += lanes;
        at[i] -= at[i] >= zc ? zc : 0;
      }
      if (k + 1 < vectors || zc % lanes == 0) {
        if (any_negative(odd)) return false;
      } else {
        alignas(64) std::int8_t tail[State::vector_bytes_max];
        store(odd, tail);
        for (std::size_t i = 0; i < zc % lanes; ++i) {
          if (tail[i] < 0) return false;
        }
      }
    }
    if (row >= ldpc_core_rows) extension_posterior += vectors * lanes;
  }
  return true;
}

void store_decisions(State& state, const LdpcDecodeConfig& config, const LdpcGraph& graph,
                     int iterations, std::uint8_t* bits) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const std::size_t vectors = vectors_of(state);
  const auto information = static_cast<std::size_t>(graph.information_columns) * zc;
  const std::size_t kept = information - static_cast<std::size_t>(config.filler_bits);
  // Columns in ascending order: each overrun is overwritten by the next column.
  for (std::size_t c = 0; c * zc < kept; ++c) {
    const std::size_t bank = static_cast<std::size_t>(iterations) & state.visits_odd[c];
    const std::int8_t* column = state.posterior + bank_at(state, c, bank);
    std::size_t at = state.rotation[c] == 0 ? 0 : zc - state.rotation[c];
    if (state.narrow) {
      store_unaligned(permuted(load(column), load_unaligned(state.periodic + at)),
                      state.natural + c * zc);
      continue;
    }
    for (std::size_t k = 0; k < vectors; ++k) {
      store_unaligned(load_unaligned(column + at), state.natural + c * zc + k * lanes);
      at += lanes;
      at -= at >= zc ? zc : 0;
    }
  }
  std::memset(state.natural + kept, 0, information - kept);
  // Past the information bits lie bytes of an earlier use; the last byte is masked.
  for (std::size_t i = 0; i < information; i += lanes) {
    store_signs(state.natural + i, state.packed + i / 8);
  }
  if (information % 8 != 0) {
    state.packed[information / 8] &= static_cast<std::uint8_t>(0xff00 >> (information % 8));
  }
  std::memcpy(bits, state.packed, bytes_for_bits(information));
}

LdpcDecodeResult decode(const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                        View<std::uint8_t, 1> bits, State& state) {
  const LdpcGraph graph = ldpc_graph(config.base_graph, config.zc);
  plan(state, config.base_graph, config.zc,
       ldpc_rows_needed(config.base_graph, config.zc, static_cast<int>(llr.size())));
  load_soft_bits(state, config, llr, graph);
  const Scaling scaling(ldpc_min_sum_scale_x16(config, state.rows));
  LdpcDecodeResult result;
  while (result.iterations < config.iterations_max && !result.accepted) {
    iterate(state, result.iterations, scaling);
    ++result.iterations;
    const bool last = result.iterations == config.iterations_max;
    if (!config.early_stop && !last) continue;
    result.parity_ok = parities_hold(state, graph, result.iterations);
    if (!result.parity_ok && !last) continue;
    store_decisions(state, config, graph, result.iterations, bits.data());
    result.accepted =
        result.parity_ok && config.early_stop &&
        (config.accept == nullptr || config.accept(bits.data(), config.accept_context));
  }
  return result;
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec {
HWY_EXPORT(decode);

LdpcWorkspace::LdpcWorkspace() : state_(std::make_unique<State>()) {}
LdpcWorkspace::~LdpcWorkspace() = default;
LdpcWorkspace::LdpcWorkspace(LdpcWorkspace&&) noexcept = default;
LdpcWorkspace& LdpcWorkspace::operator=(LdpcWorkspace&&) noexcept = default;

namespace cpu {

LdpcDecodeResult ldpc_decode(const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                             View<std::uint8_t, 1> bits, LdpcWorkspace& workspace) {
  assert(check(config, llr.size()).ok());
  assert(bits.size() >= bytes_for_bits(static_cast<std::size_t>(
                            ldpc_information_bits(config.base_graph, config.zc))));
  return HWY_DYNAMIC_DISPATCH(decode)(config, llr, bits, workspace.state());
}

}  // namespace cpu
}  // namespace noroshi::fec
#endif  // HWY_ONCE
