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

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/ldpc/ldpc_decode_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After foreach_target.h.
#include <algorithm>
#include <cassert>
#include <cstring>

#include <hwy/highway.h>
#include "fec/ldpc/ldpc.h"
#include "fec/ldpc/ldpc_bytes-inl.h"
#include "fec/ldpc/ldpc_graph.h"
#include "fec/ldpc/ldpc_workspace.h"

#ifndef NOROSHI_FEC_LDPC_DECODE_CPU_ONCE
#define NOROSHI_FEC_LDPC_DECODE_CPU_ONCE

namespace noroshi::fec {
// The scale that the decoder works in, chosen by block error rate at 8 iterations against ref::
// (docs/measurements/ldpc-floor.md). Soft bits are amplified to a mean magnitude: the finer the
// better, but with many rows a posterior sums up to 30 messages and must not live at its limit of
// 127. Messages are limited so that a known zero, at 127, outweighs its own row's last message.
inline constexpr int ldpc_message_max = 63;  // before the min-sum factor
constexpr int ldpc_mean_magnitude(int rows) {
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
  if (state.base_graph == base_graph && state.zc == zc && state.rows == rows &&
      state.vector_bytes == static_cast<int>(lanes)) {
    return;
  }
  state.base_graph = base_graph;
  state.zc = zc;
  state.rows = rows;
  state.vector_bytes = static_cast<int>(lanes);
  const LdpcGraph graph = ldpc_graph(base_graph, zc);
  const auto size = static_cast<std::size_t>(zc);
  const std::size_t vectors = vectors_of(state);

  // Each column's rotation after its last row is the one that the first row finds.
  std::fill_n(state.rotation, ldpc_core_columns_max, std::uint16_t{0});
  std::fill_n(state.visits_odd, ldpc_core_columns_max, std::uint8_t{0});
  for (int row = 0; row < rows; ++row) {
    const int extension = row >= ldpc_core_rows;
    state.degree[row] =
        static_cast<std::uint8_t>(graph.row_begin[row + 1] - graph.row_begin[row] - extension);
    for (int e = graph.row_begin[row]; e < graph.row_begin[row + 1] - extension; ++e) {
      state.rotation[graph.column[e]] = graph.shift_mod_zc[e];
      state.visits_odd[graph.column[e]] ^= 1;
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
    for (int row = 0; row < rows; ++row) {
      const int degree = state.degree[row];
      for (int i = 0; i < degree; ++i) {
        const int e = graph.row_begin[row] + i;
        const std::size_t c = graph.column[e];
        const std::size_t shift = graph.shift_mod_zc[e];
        std::size_t from = (shift + size - rotation[c]) % size;
        for (std::size_t k = 0; k < vectors; ++k) {
          read[k * static_cast<std::size_t>(degree) + static_cast<std::size_t>(i)] =
              static_cast<std::uint16_t>(bank_at(state, c, bank[c]) + from);
          from += lanes;
          if (from >= size) from -= size;
        }
        bank[c] ^= 1;
        *write++ = static_cast<std::uint16_t>(bank_at(state, c, bank[c]));
        rotation[c] = shift;
      }
      read += vectors * static_cast<std::size_t>(degree);
    }
  }
}

// What one row's update walks through.
struct RowWalk {
  std::size_t vectors;
  std::size_t wrap;  // zc: where a column's first vector is repeated
  int scale;
  const std::uint16_t* read;
  const std::uint16_t* write;
  std::int8_t* posterior;
  std::int8_t* message;
  const std::int8_t* extension_llr;
  std::int8_t* extension_posterior;
};

// first: the messages are all zero and not yet stored.
template <int degree, bool extension, bool first>
HWY_NOINLINE void update_row(const RowWalk& walk) {
  const std::uint16_t* HWY_RESTRICT read = walk.read;
  const std::uint16_t* HWY_RESTRICT write = walk.write;
  std::int8_t* posterior = walk.posterior;
  std::int8_t* message = walk.message;
  for (std::size_t at = 0; at < walk.vectors * lanes; at += lanes) {
    Bytes x[degree];
    Bytes min1 = set(ldpc_message_max);
    Bytes min2 = min1;
    Bytes sign = zero();
    Bytes channel = zero();
    if (extension) {
      channel = load(walk.extension_llr + at);
      min1 = smaller(min1, magnitude(channel));
      sign = channel;
    }
    NOROSHI_UNROLL
    for (int i = 0; i < degree; ++i) {
      x[i] = load_unaligned(posterior + read[i]);
      if (!first) {
        x[i] = sub_saturated(x[i], load(message + static_cast<std::size_t>(i) * lanes));
      }
      const Bytes size = magnitude(x[i]);
      min2 = smaller(min2, larger(min1, size));
      min1 = smaller(min1, size);
      sign = exclusive_or(sign, x[i]);
    }
    const Bytes scaled1 = scaled_magnitude(min1, walk.scale);
    const Bytes scaled2 = scaled_magnitude(min2, walk.scale);
    const Bytes answer1 = if_negative(sign, negated(scaled1), scaled1);
    const Bytes answer2 = if_negative(sign, negated(scaled2), scaled2);
    NOROSHI_UNROLL
    for (int i = 0; i < degree; ++i) {
      const Bytes answer = if_equal(magnitude(x[i]), min1, answer2, answer1);
      const Bytes signed_answer = if_negative(x[i], negated(answer), answer);
      store(signed_answer, message + static_cast<std::size_t>(i) * lanes);
      store(add_saturated(x[i], signed_answer), posterior + write[i] + at);
    }
    if (extension) {
      const Bytes answer = if_equal(magnitude(channel), min1, answer2, answer1);
      store(add_saturated(channel, if_negative(channel, negated(answer), answer)),
            walk.extension_posterior + at);
    }
    read += degree;
    message += static_cast<std::size_t>(degree) * lanes;
  }
  for (int i = 0; i < degree; ++i) {
    std::int8_t* column = posterior + write[i];
    store_unaligned(load(column), column + walk.wrap);
  }
}

template <bool first>
void update_row(int degree, bool extension, const RowWalk& walk) {
  if (extension) {
    switch (degree) {
      case 2:
        return update_row<2, true, first>(walk);
      case 3:
        return update_row<3, true, first>(walk);
      case 4:
        return update_row<4, true, first>(walk);
      case 5:
        return update_row<5, true, first>(walk);
      case 6:
        return update_row<6, true, first>(walk);
      case 7:
        return update_row<7, true, first>(walk);
      case 8:
        return update_row<8, true, first>(walk);
      case 9:
        return update_row<9, true, first>(walk);
    }
  } else {
    switch (degree) {
      case 8:
        return update_row<8, false, first>(walk);
      case 10:
        return update_row<10, false, first>(walk);
      case 19:
        return update_row<19, false, first>(walk);
    }
  }
  assert(false);
}

void iterate(State& state, int iteration, int scale) {
  const std::size_t odd = static_cast<std::size_t>(iteration) & 1;
  const std::size_t vectors = vectors_of(state);
  RowWalk walk{vectors,
               static_cast<std::size_t>(state.zc),
               scale,
               state.read_offset[odd],
               state.write_offset[odd],
               state.posterior,
               state.message,
               state.extension_llr,
               state.extension_posterior};
  for (int row = 0; row < state.rows; ++row) {
    const bool extension = row >= ldpc_core_rows;
    const auto degree = static_cast<std::size_t>(state.degree[row]);
    if (iteration == 0) {
      update_row<true>(state.degree[row], extension, walk);
    } else {
      update_row<false>(state.degree[row], extension, walk);
    }
    walk.read += degree * vectors;
    walk.write += degree;
    walk.message += degree * vectors * lanes;
    if (extension) {
      walk.extension_llr += vectors * lanes;
      walk.extension_posterior += vectors * lanes;
    }
  }
}

// The gain, in 1 / 2048, that brings the mean magnitude of the non-zero soft bits to the decoder's.
int gain_for(View<const SoftBit, 1> llr, int rows) {
  std::uint64_t sum = 0;
  std::uint64_t count = 0;
  std::size_t i = 0;
  for (; i + lanes <= llr.size(); i += lanes) add_magnitudes(llr.data() + i, sum, count);
  for (; i < llr.size(); ++i) {
    sum += static_cast<std::uint64_t>(std::abs(llr.data()[i]));
    count += llr.data()[i] != 0;
  }
  if (sum == 0) return 2048;
  const auto mean = static_cast<std::uint64_t>(ldpc_mean_magnitude(rows));
  return static_cast<int>(
      std::clamp<std::uint64_t>((2048 * mean * count + sum / 2) / sum, 1, 32767));
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
    std::int8_t* column = state.posterior + bank_at(state, c, 0);
    const std::size_t rotation = state.rotation[c];
    std::memcpy(column, natural + c * zc + rotation, zc - rotation);
    std::memcpy(column + zc - rotation, natural + c * zc, rotation);
    store_unaligned(load(column), column + zc);
  }
  for (int row = ldpc_core_rows; row < state.rows; ++row) {
    const auto r = static_cast<std::size_t>(row - ldpc_core_rows);
    const std::size_t from = core - 2 * zc + r * zc;
    const std::size_t count = std::min(zc, llr.size() - from);
    std::int8_t* column = state.extension_llr + r * column_span;
    std::memset(column, 0, column_span);
    amplify(llr.data() + from, count, gain, column);
  }
}

bool parities_hold(const State& state, const LdpcGraph& graph, int iterations) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const std::size_t vectors = vectors_of(state);
  const std::int8_t* extension_posterior = state.extension_posterior;
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
  LdpcDecodeResult result;
  while (result.iterations < config.iterations_max && !result.accepted) {
    iterate(state, result.iterations, config.min_sum_scale_x16);
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
  assert(config.base_graph == 1 || config.base_graph == 2);
  assert(ldpc_is_lifting_size(config.zc));
  const auto information =
      static_cast<std::size_t>(ldpc_information_bits(config.base_graph, config.zc));
  assert(!llr.empty() &&
         llr.size() <= static_cast<std::size_t>(ldpc_codeword_bits(config.base_graph, config.zc)));
  assert(bits.size() >= bytes_for_bits(information));
  assert(config.filler_bits >= 0 && static_cast<std::size_t>(config.filler_bits) < information);
  assert(config.iterations_max >= 1);
  assert(config.min_sum_scale_x16 >= 8 && config.min_sum_scale_x16 <= 16);
  return HWY_DYNAMIC_DISPATCH(decode)(config, llr, bits, workspace.state());
}

}  // namespace cpu
}  // namespace noroshi::fec
#endif  // HWY_ONCE
