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

// Where the columns' bits lie that the rows' parities add, before an iteration that finds column c
// in bank[c].
void plan_parities(const State& state, const LdpcGraph& graph, const std::size_t* bank,
                   std::uint16_t* offset) {
  const auto size = static_cast<std::size_t>(state.zc);
  const std::size_t vectors = vectors_of(state);
  for (int step = 0; step < state.rows; ++step) {
    const int row = state.schedule.row[step];
    const auto degree = static_cast<std::size_t>(state.degree[row]);
    for (std::size_t i = 0; i < degree; ++i) {
      const std::size_t e = graph.row_begin[row] + i;
      const std::size_t c = graph.column[e];
      std::size_t from = (graph.shift_mod_zc[e] + size - state.rotation[c]) % size;
      for (std::size_t k = 0; k < vectors; ++k) {
        offset[k * degree + i] =
            static_cast<std::uint16_t>(state.narrow ? from : bank_at(state, c, bank[c]) + from);
        from += lanes;
        if (from >= size) from -= size;
      }
    }
    offset += vectors * degree;
  }
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
  state.schedule = ldpc_schedule(base_graph, rows);
  const LdpcGraph graph = ldpc_graph(base_graph, zc);
  const auto size = static_cast<std::size_t>(zc);
  const std::size_t vectors = vectors_of(state);
  for (std::size_t i = 0; i < std::size(state.periodic); ++i) {
    state.periodic[i] = static_cast<std::int8_t>(i % size);
  }
  for (std::size_t i = 0; i < lanes; ++i) {
    state.outside[i] = static_cast<std::int8_t>((vectors - 1) * lanes + i < size ? 0 : -1);
  }

  // Each column's rotation after its last row is the one that the first row finds.
  std::fill_n(state.rotation, ldpc_core_columns_max, std::uint16_t{0});
  std::fill_n(state.visits_odd, ldpc_core_columns_max, std::uint8_t{0});
  for (int step = 0; step < rows; ++step) {
    const int row = state.schedule.row[step];
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
    plan_parities(state, graph, bank, state.parity_offset[odd]);
    std::uint16_t* read = state.read_offset[odd];
    std::uint16_t* write = state.write_offset[odd];
    for (int step = 0; step < rows; ++step) {
      const int row = state.schedule.row[step];
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
               nullptr,
               nullptr};
  for (int step = 0; step < state.rows; ++step) {
    const int row = state.schedule.row[step];
    const bool extension = row >= ldpc_core_rows;
    const auto degree = static_cast<std::size_t>(state.degree[row]);
    if (extension) {
      const std::size_t own = static_cast<std::size_t>(row - ldpc_core_rows) * vectors * lanes;
      walk.extension_llr = state.extension_llr + own;
      walk.extension_posterior = state.extension_posterior + own;
    }
    update_row<Kind>(state.degree[row], extension, walk);
    walk.read += degree * vectors;
    walk.write += degree;
    walk.message += degree * vectors * lanes;
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

// Of many soft bits one in four, 64 in sequence, tells the mean as well.
constexpr std::size_t sample_bytes = 64;
constexpr int unity_gain = 128;
constexpr std::size_t sample_all_below = 64 * sample_bytes;

// The gain, in 1 / 128, that brings the mean magnitude of the non-zero soft bits to the decoder's.
int gain_for(View<const SoftBit, 1> llr, int rows, std::size_t stride) {
  MagnitudeSum total;
  std::size_t i = 0;
  for (; i + sample_bytes <= llr.size(); i += stride) {
    for (std::size_t part = 0; part < sample_bytes; part += lanes) total.add(llr.data() + i + part);
  }
  if (i < llr.size()) {
    alignas(64) std::int8_t tail[sample_bytes] = {};
    std::memcpy(tail, llr.data() + i, llr.size() - i);
    for (std::size_t part = 0; part < sample_bytes; part += lanes) total.add(tail + part);
  }
  const std::uint64_t sum = total.sum();
  if (sum == 0) return stride == sample_bytes ? unity_gain : gain_for(llr, rows, sample_bytes);
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

// A column of the natural order, rotated as the first row will look for it. in: readable for a
// vector past the column's end.
void load_column(const State& state, const SoftBit* in, int gain, std::size_t rotation,
                 std::int8_t* column) {
  const auto zc = static_cast<std::size_t>(state.zc);
  if (state.narrow) {
    store(permuted(amplified(in, gain), load_unaligned(state.periodic + rotation)), column);
    return;
  }
  // Both parts overrun their ends: the first into the second, which comes later.
  for (std::size_t i = 0; rotation + i < zc; i += lanes) {
    store(amplified(in + rotation + i, gain), column + i);
  }
  for (std::size_t i = 0; i < rotation; i += lanes) {
    store_unaligned(amplified(in + i, gain), column + zc - rotation + i);
  }
  store_unaligned(load(column), column + zc);
}

// The same where some bits were not received, are known, or have no vector behind them.
void load_column_apart(State& state, const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                       const LdpcGraph& graph, int gain, std::size_t c) {
  const auto zc = static_cast<std::size_t>(state.zc);
  std::int8_t* column = state.posterior + bank_at(state, c, 0);
  alignas(64) std::int8_t soft[State::column_bytes + State::vector_bytes_max];
  std::memset(soft, 0, zc + lanes);
  const std::size_t first = (c - 2) * zc;  // of llr, for c >= 2
  if (c >= 2 && first < llr.size()) {
    amplify(llr.data() + first, std::min(zc, llr.size() - first), gain, soft);
  }
  const auto information = static_cast<std::size_t>(graph.information_columns) * zc;
  const std::size_t known = information - static_cast<std::size_t>(config.filler_bits);
  const std::size_t known_here = std::max(known, c * zc);
  if (known_here < std::min(information, (c + 1) * zc))
    std::memset(soft + known_here - c * zc, soft_bit_max, (c + 1) * zc - known_here);
  load_column(state, soft, unity_gain, state.rotation[c], column);
}

// What was not received is zero, fillers are known.
void load_soft_bits(State& state, const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                    const LdpcGraph& graph) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const auto information = static_cast<std::size_t>(graph.information_columns) * zc;
  const std::size_t known = information - static_cast<std::size_t>(config.filler_bits);
  const std::size_t column_span = vectors_of(state) * lanes;
  const int gain =
      gain_for(llr, state.rows, llr.size() < sample_all_below ? sample_bytes : 4 * sample_bytes);

  const std::size_t in_core =
      std::min(llr.size(), static_cast<std::size_t>(graph.core_columns - 2) * zc);
  View<const SoftBit, 1> core = llr;
  if (state.narrow) {  // a vector is longer than a column: most would have none behind them
    std::memcpy(state.natural, llr.data(), in_core);
    std::memset(state.natural + in_core, 0, lanes);
    core = {state.natural, in_core + lanes};
  }
  for (std::size_t c = 0; c < static_cast<std::size_t>(graph.core_columns); ++c) {
    const bool has_fillers =
        c < static_cast<std::size_t>(graph.information_columns) && (c + 1) * zc > known;
    if (c < 2 && !has_fillers) {
      std::memset(state.posterior + bank_at(state, c, 0), 0, bank_bytes(state));
    } else if (has_fillers || (c - 1) * zc + lanes > core.size()) {
      load_column_apart(state, config, llr, graph, gain, c);
    } else {
      load_column(state, core.data() + (c - 2) * zc, gain, state.rotation[c],
                  state.posterior + bank_at(state, c, 0));
    }
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

// What a row's parities walk through.
struct ParityWalk {
  const State& state;
  const std::uint16_t* offset;
  const std::uint16_t* column;  // where narrow
  const std::int8_t* own;       // the extension column's posteriors, or null
};

template <int degree, bool narrow>
HWY_NOINLINE bool row_holds(const ParityWalk& walk) {
  const std::int8_t* const posterior = walk.state.posterior;
  const std::uint16_t* HWY_RESTRICT offset = walk.offset;
  const std::size_t vectors = narrow ? 1 : vectors_of(walk.state);
  Bytes failed = zero();
  for (std::size_t k = 0;; offset += degree) {
    Bytes odd = walk.own == nullptr ? zero() : load(walk.own + k * lanes);
    NOROSHI_UNROLL
    for (int i = 0; i < degree; ++i) {
      odd = exclusive_or(odd, narrow ? permuted(load(posterior + walk.column[i]),
                                                load_unaligned(walk.state.periodic + offset[i]))
                                     : load_unaligned(posterior + offset[i]));
    }
    if (++k == vectors) {
      odd = if_negative(load(walk.state.outside), zero(), odd);
      return !any_negative(either(failed, odd));
    }
    failed = either(failed, odd);
  }
}

template <bool narrow>
bool row_holds(int degree, const ParityWalk& walk) {
  switch (degree) {
    case 2:
      return row_holds<2, narrow>(walk);
    case 3:
      return row_holds<3, narrow>(walk);
    case 4:
      return row_holds<4, narrow>(walk);
    case 5:
      return row_holds<5, narrow>(walk);
    case 6:
      return row_holds<6, narrow>(walk);
    case 7:
      return row_holds<7, narrow>(walk);
    case 8:
      return row_holds<8, narrow>(walk);
    case 9:
      return row_holds<9, narrow>(walk);
    case 10:
      return row_holds<10, narrow>(walk);
    default:
      return row_holds<19, narrow>(walk);
  }
}

bool parities_hold(const State& state, int iterations, LdpcParities parities) {
  const std::size_t odd = static_cast<std::size_t>(iterations) & 1;
  const std::size_t vectors = vectors_of(state);
  ParityWalk walk{state, state.parity_offset[odd], state.write_offset[odd], nullptr};
  for (int step = 0; step < state.rows; ++step) {
    const int row = state.schedule.row[step];
    const int degree = state.degree[row];
    const bool extension = row >= ldpc_core_rows;
    walk.own = extension ? state.extension_posterior +
                               static_cast<std::size_t>(row - ldpc_core_rows) * vectors * lanes
                         : nullptr;
    if (!extension || parities == LdpcParities::all) {
      bool holds = false;
      if constexpr (has_permute) {
        holds = state.narrow ? row_holds<true>(degree, walk) : row_holds<false>(degree, walk);
      } else {
        holds = row_holds<false>(degree, walk);
      }
      if (!holds) return false;
    }
    walk.offset += static_cast<std::size_t>(degree) * vectors;
    walk.column += degree;
  }
  return true;
}

// Clears packed bits first, ..., end - 1.
void clear_bits(std::uint8_t* packed, std::size_t first, std::size_t end) {
  for (; first % 8 != 0 && first < end; ++first) set_bit(packed, first, false);
  if (first == end) return;
  std::memset(packed + first / 8, 0, (end + 7) / 8 - first / 8);
}

// Signs by the way of `natural`: for columns that are narrow or end within a byte.
void pack_decisions(State& state, std::size_t columns, int iterations) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const std::size_t vectors = vectors_of(state);
  // Columns in ascending order: each overrun is overwritten by the next column.
  for (std::size_t c = 0; c < columns; ++c) {
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
  for (std::size_t i = 0; i < columns * zc; i += lanes) {
    store_signs(state.natural + i, state.packed + i / 8);
  }
}

void store_decisions(State& state, const LdpcDecodeConfig& config, const LdpcGraph& graph,
                     int iterations, std::uint8_t* bits) {
  const auto zc = static_cast<std::size_t>(state.zc);
  const std::size_t vectors = vectors_of(state);
  const auto information = static_cast<std::size_t>(graph.information_columns) * zc;
  const std::size_t kept = information - static_cast<std::size_t>(config.filler_bits);
  const std::size_t columns = (kept + zc - 1) / zc;
  // Whole vectors of columns: nothing is written past the information bits.
  const bool direct = !state.narrow && zc % lanes == 0;
  std::uint8_t* const packed = direct ? bits : state.packed;
  if (state.narrow || zc % 8 != 0) {
    pack_decisions(state, columns, iterations);
  } else {
    for (std::size_t c = 0; c < columns; ++c) {
      const std::size_t bank = static_cast<std::size_t>(iterations) & state.visits_odd[c];
      const std::int8_t* column = state.posterior + bank_at(state, c, bank);
      std::size_t at = state.rotation[c] == 0 ? 0 : zc - state.rotation[c];
      for (std::size_t k = 0; k < vectors; ++k) {
        store_signs(column + at, packed + c * zc / 8 + k * lanes / 8);
        at += lanes;
        at -= at >= zc ? zc : 0;
      }
    }
  }
  clear_bits(packed, kept, 8 * bytes_for_bits(information));
  if (!direct) std::memcpy(bits, packed, bytes_for_bits(information));
}

bool all_zero(View<const std::uint8_t, 1> bits) {
  return std::all_of(bits.begin(), bits.end(), [](std::uint8_t byte) { return byte == 0; });
}

LdpcDecodeResult decode(const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                        View<std::uint8_t, 1> bits, State& state) {
  const LdpcGraph graph = ldpc_graph(config.base_graph, config.zc);
  plan(state, config.base_graph, config.zc,
       ldpc_rows_needed(config.base_graph, config.zc, static_cast<int>(llr.size())));
  load_soft_bits(state, config, llr, graph);
  const Scaling scaling(ldpc_min_sum(config, state.rows));
  const LdpcParities parities = ldpc_parities(config);
  const std::size_t information_bytes =
      bytes_for_bits(static_cast<std::size_t>(ldpc_information_bits(config.base_graph, config.zc)));
  LdpcDecodeResult result;
  while (result.iterations < config.iterations_max && !result.accepted) {
    iterate(state, result.iterations, scaling);
    ++result.iterations;
    const bool last = result.iterations == config.iterations_max;
    if (!config.early_stop && !last) continue;
    result.parity_ok = parities_hold(state, result.iterations, parities);
    if (!result.parity_ok && !last) continue;
    store_decisions(state, config, graph, result.iterations, bits.data());
    if (parities == LdpcParities::core && result.parity_ok &&
        all_zero(bits.subview(0, information_bytes))) {
      result.parity_ok = parities_hold(state, result.iterations, LdpcParities::all);
    }
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
