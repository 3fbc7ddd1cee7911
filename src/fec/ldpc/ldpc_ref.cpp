// ref:: encoder and decoder, bit by bit and in double precision, written from H.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <vector>

#include "fec/ldpc/ldpc.h"
#include "fec/ldpc/ldpc_graph.h"

namespace noroshi::fec::ref {
namespace {

using Column = std::vector<std::uint8_t>;  // one bit an element, [zc]

// y_l ^= x_((l + shift) mod zc)
void add_rotated(Column& y, const Column& x, std::size_t shift) {
  for (std::size_t l = 0; l < y.size(); ++l) y[l] ^= x[(l + shift) % x.size()];
}

// The sum of row `row` over the columns that are known.
Column row_sum(const LdpcGraph& graph, int row, const std::vector<Column>& columns, int known) {
  Column sum(columns[0].size(), 0);
  for (int e = graph.row_begin[row]; e < graph.row_begin[row + 1]; ++e) {
    if (graph.column[e] < known) {
      add_rotated(sum, columns[graph.column[e]], graph.shift_mod_zc[e]);
    }
  }
  return sum;
}

// Adding the four core rows, the double diagonal cancels, and of the three shifts of the first
// parity column the two equal ones; the one that stays gives that column.
Column first_parity(const LdpcGraph& graph, const std::vector<Column>& columns) {
  const int first = graph.information_columns;
  const std::size_t zc = columns[0].size();
  Column sum(zc, 0);
  std::vector<std::size_t> shifts;
  for (int row = 0; row < ldpc_core_rows; ++row) {
    const Column part = row_sum(graph, row, columns, first);
    for (std::size_t l = 0; l < zc; ++l) sum[l] ^= part[l];
    for (int e = graph.row_begin[row]; e < graph.row_begin[row + 1]; ++e) {
      if (graph.column[e] == first) shifts.push_back(graph.shift_mod_zc[e]);
    }
  }
  assert(shifts.size() == 3);
  const std::size_t left = shifts[0] == shifts[1]   ? shifts[2]
                           : shifts[0] == shifts[2] ? shifts[1]
                                                    : shifts[0];
  Column parity(zc);
  for (std::size_t l = 0; l < zc; ++l) parity[(l + left) % zc] = sum[l];
  return parity;
}

}  // namespace

void ldpc_encode(int base_graph, int zc, View<const std::uint8_t, 1> bits,
                 View<std::uint8_t, 1> codeword, int codeword_bits) {
  const LdpcGraph graph = ldpc_graph(base_graph, zc);
  const auto size = static_cast<std::size_t>(zc);
  const int information = graph.information_columns;
  assert(codeword_bits > 0 && codeword_bits <= ldpc_codeword_bits(base_graph, zc));
  assert(bits.size() >= bytes_for_bits(static_cast<std::size_t>(information * zc)));
  assert(codeword.size() >= bytes_for_bits(static_cast<std::size_t>(codeword_bits)));

  std::vector<Column> columns(static_cast<std::size_t>(information + graph.rows), Column(size));
  for (std::size_t c = 0; c < static_cast<std::size_t>(information); ++c) {
    for (std::size_t l = 0; l < size; ++l) columns[c][l] = bit_at(bits.data(), c * size + l);
  }
  columns[static_cast<std::size_t>(information)] = first_parity(graph, columns);
  // From here each row has one unknown: rows 0..2 the next column of the diagonal (shift 0), row 3
  // none, an extension row its own column.
  for (int row = 0; row < graph.rows; ++row) {
    if (row == ldpc_core_rows - 1) continue;
    const int unknown = row < ldpc_core_rows - 1 ? information + 1 + row : information + row;
    columns[static_cast<std::size_t>(unknown)] = row_sum(graph, row, columns, unknown);
  }

  const std::size_t bytes = bytes_for_bits(static_cast<std::size_t>(codeword_bits));
  std::fill_n(codeword.data(), bytes, std::uint8_t{0});
  for (std::size_t i = 0; i < static_cast<std::size_t>(codeword_bits); ++i) {
    set_bit(codeword.data(), i, columns[2 + i / size][i % size] != 0);
  }
}

namespace {

struct Decoder {
  LdpcGraph graph;
  int rows = 0;
  std::size_t zc = 0;
  double factor = 0;  // of min-sum: LdpcMinSum
  double offset = 0;
  std::vector<double> posterior;  // [column, zc]
  std::vector<double> message;    // [edge, zc]: from the check to the bit

  std::size_t bit(int edge, std::size_t l) const {
    return graph.column[edge] * zc + (l + graph.shift_mod_zc[edge]) % zc;
  }
};

// One check node: l of row `row`.
void update_check(Decoder& decoder, int row, std::size_t l) {
  const int begin = decoder.graph.row_begin[row];
  const int end = decoder.graph.row_begin[row + 1];
  double extrinsic[ldpc_row_degree_max];
  double min1 = std::numeric_limits<double>::infinity();
  double min2 = min1;
  bool odd = false;
  for (int e = begin; e < end; ++e) {
    const auto message = static_cast<std::size_t>(e) * decoder.zc + l;
    const double x = decoder.posterior[decoder.bit(e, l)] - decoder.message[message];
    extrinsic[e - begin] = x;
    min2 = std::min(min2, std::max(min1, std::abs(x)));
    min1 = std::min(min1, std::abs(x));
    odd ^= x < 0;
  }
  for (int e = begin; e < end; ++e) {
    const double x = extrinsic[e - begin];
    const double others = std::abs(x) == min1 ? min2 : min1;
    const double magnitude = std::max(decoder.factor * others, others - decoder.offset);
    const double message = (x < 0) != odd ? -magnitude : magnitude;
    decoder.message[static_cast<std::size_t>(e) * decoder.zc + l] = message;
    decoder.posterior[decoder.bit(e, l)] = x + message;
  }
}

// Of what is not zero; 1 where nothing is.
double mean_magnitude(View<const SoftBit, 1> llr) {
  double sum = 0, count = 0;
  for (const SoftBit soft_bit : llr) {
    sum += std::abs(soft_bit);
    count += soft_bit != 0;
  }
  return sum == 0 ? 1 : sum / count;
}

bool parities_hold(const Decoder& decoder, LdpcParities parities) {
  const int rows = parities == LdpcParities::core ? ldpc_core_rows : decoder.rows;
  for (int row = 0; row < rows; ++row) {
    for (std::size_t l = 0; l < decoder.zc; ++l) {
      bool odd = false;
      for (int e = decoder.graph.row_begin[row]; e < decoder.graph.row_begin[row + 1]; ++e) {
        odd ^= decoder.posterior[decoder.bit(e, l)] < 0;
      }
      if (odd) return false;
    }
  }
  return true;
}

}  // namespace

LdpcDecodeResult ldpc_decode(const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                             View<std::uint8_t, 1> bits, LdpcWorkspace& /*workspace*/) {
  Decoder decoder;
  decoder.graph = ldpc_graph(config.base_graph, config.zc);
  const LdpcGraph& graph = decoder.graph;
  const auto information =
      static_cast<std::size_t>(ldpc_information_bits(config.base_graph, config.zc));
  assert(check(config, llr.size()).ok());
  assert(bits.size() >= bytes_for_bits(information));

  decoder.zc = static_cast<std::size_t>(config.zc);
  decoder.rows = ldpc_rows_needed(config.base_graph, config.zc, static_cast<int>(llr.size()));
  const LdpcMinSum rule = ldpc_min_sum(config, decoder.rows);
  decoder.factor = rule.factor_x16 / 16.0;
  // Of the scale that cpu:: brings soft bits to.
  decoder.offset = rule.offset * mean_magnitude(llr) / ldpc_mean_magnitude(decoder.rows);
  decoder.posterior.assign(
      static_cast<std::size_t>(graph.information_columns + graph.rows) * decoder.zc, 0.0);
  decoder.message.assign(graph.row_begin[decoder.rows] * decoder.zc, 0.0);
  std::copy(llr.begin(), llr.end(), decoder.posterior.begin() + 2 * config.zc);
  // A known zero: larger than anything that soft bits can add up to.
  std::fill_n(
      decoder.posterior.begin() + static_cast<std::ptrdiff_t>(information) - config.filler_bits,
      config.filler_bits, 1e9);

  const LdpcSchedule schedule = ldpc_schedule(config.base_graph, decoder.rows);
  const LdpcParities parities = ldpc_parities(config);
  LdpcDecodeResult result;
  while (result.iterations < config.iterations_max && !result.accepted) {
    for (int step = 0; step < decoder.rows; ++step) {
      const int row = schedule.row[step];
      for (std::size_t l = 0; l < decoder.zc; ++l) update_check(decoder, row, l);
    }
    ++result.iterations;
    const bool last = result.iterations == config.iterations_max;
    if (!config.early_stop && !last) continue;
    result.parity_ok = parities_hold(decoder, parities);
    if (!result.parity_ok && !last) continue;
    std::fill_n(bits.data(), bytes_for_bits(information), std::uint8_t{0});
    for (std::size_t i = 0; i < information - static_cast<std::size_t>(config.filler_bits); ++i) {
      set_bit(bits.data(), i, decoder.posterior[i] < 0);
    }
    if (parities == LdpcParities::core && result.parity_ok &&
        std::all_of(bits.begin(), bits.begin() + bytes_for_bits(information),
                    [](std::uint8_t byte) { return byte == 0; })) {
      result.parity_ok = parities_hold(decoder, LdpcParities::all);
    }
    result.accepted =
        result.parity_ok && config.early_stop &&
        (config.accept == nullptr || config.accept(bits.data(), config.accept_context));
  }
  return result;
}

}  // namespace noroshi::fec::ref
