#include "fec/ldpc/ldpc_graph.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <iterator>
#include <string>

#include "fec/ldpc/ldpc_tables.h"

namespace noroshi::fec {
namespace {

constexpr std::size_t sizes = std::size(ldpc_lifting_size_table);

template <std::size_t edges, std::size_t rows>
struct Tables {
  std::array<std::uint16_t, rows + 1> row_begin{};
  std::array<std::uint8_t, edges> column{};
  std::array<std::array<std::uint16_t, edges>, sizes> shift{};
};

template <std::size_t rows, std::size_t edges>
constexpr Tables<edges, rows> make_tables(const LdpcTableEntry (&entries)[edges]) {
  Tables<edges, rows> tables;
  for (std::size_t e = 0; e < edges; ++e) {
    tables.column[e] = entries[e].column;
    tables.row_begin[entries[e].row + 1u] = static_cast<std::uint16_t>(e + 1);
    for (std::size_t s = 0; s < sizes; ++s) {
      const LdpcLiftingSize& size = ldpc_lifting_size_table[s];
      tables.shift[s][e] = static_cast<std::uint16_t>(entries[e].shift[size.set_index] % size.zc);
    }
  }
  return tables;
}

constexpr auto tables_1 = make_tables<46>(ldpc_base_graph_1);
constexpr auto tables_2 = make_tables<42>(ldpc_base_graph_2);

constexpr std::array<std::uint16_t, sizes> make_sizes() {
  std::array<std::uint16_t, sizes> list{};
  for (std::size_t s = 0; s < sizes; ++s) list[s] = ldpc_lifting_size_table[s].zc;
  return list;
}
constexpr auto size_list = make_sizes();

// Up to this many rows no extension row has just one of the columns that are never sent; then these
// orders hold, of both base graphs.
constexpr int first_single_extension = 6;
constexpr int few_rows[2][6] = {{1, 4, 5, 0, 2, 3}, {1, 3, 4, 5, 0, 2}};

template <std::size_t edges, std::size_t rows>
constexpr LdpcSchedule make_schedule(const Tables<edges, rows>& tables,
                                     const int (&core)[ldpc_core_rows]) {
  // Columns 0 and 1 come first in a row.
  const auto unsent = [&](std::size_t row) {
    int count = 0;
    for (std::size_t e = tables.row_begin[row]; e < tables.row_begin[row + 1]; ++e)
      count += tables.column[e] < 2;
    return count;
  };
  LdpcSchedule schedule;
  std::size_t step = 0;
  for (const bool both : {false, true}) {
    for (int degree = 1; degree <= ldpc_row_degree_max; ++degree) {
      for (std::size_t row = rows; row-- > ldpc_core_rows;) {
        if ((unsent(row) == 2) == both &&
            tables.row_begin[row + 1] - tables.row_begin[row] == degree)
          schedule.row[step++] = static_cast<std::uint8_t>(row);
      }
    }
  }
  for (const int row : core) schedule.row[step++] = static_cast<std::uint8_t>(row);
  return schedule;
}

constexpr LdpcSchedule schedule_1 = make_schedule(tables_1, {3, 2, 1, 0});
constexpr LdpcSchedule schedule_2 = make_schedule(tables_2, {1, 0, 2, 3});

// Index into the table of sizes, or -1.
int size_index(int zc) {
  const auto* at = std::lower_bound(size_list.begin(), size_list.end(), zc);
  return at != size_list.end() && *at == zc ? static_cast<int>(at - size_list.begin()) : -1;
}

}  // namespace

bool ldpc_is_lifting_size(int zc) { return size_index(zc) >= 0; }

int ldpc_set_index(int zc) {
  const int index = size_index(zc);
  assert(index >= 0);
  return ldpc_lifting_size_table[index].set_index;
}

View<const std::uint16_t, 1> ldpc_lifting_sizes() { return size_list; }

LdpcGraph ldpc_graph(int base_graph, int zc) {
  assert(base_graph == 1 || base_graph == 2);
  const int index = size_index(zc);
  assert(index >= 0);
  const auto at = static_cast<std::size_t>(index);
  if (base_graph == 1) {
    return {
        46, 22, 26, tables_1.row_begin.data(), tables_1.column.data(), tables_1.shift[at].data()};
  }
  return {42, 10, 14, tables_2.row_begin.data(), tables_2.column.data(), tables_2.shift[at].data()};
}

int ldpc_rows_needed(int base_graph, int zc, int codeword_bits) {
  const int columns = 2 + (codeword_bits + zc - 1) / zc;
  return std::max(ldpc_core_rows, columns - ldpc_information_columns(base_graph));
}

LdpcSchedule ldpc_schedule(int base_graph, int rows) {
  assert(base_graph == 1 || base_graph == 2);
  assert(rows >= ldpc_core_rows && rows <= ldpc_rows_max);
  LdpcSchedule schedule;
  int step = 0;
  if (rows <= first_single_extension) {
    for (const int row : few_rows[base_graph - 1])
      if (row < rows) schedule.row[step++] = static_cast<std::uint8_t>(row);
    return schedule;
  }
  const LdpcSchedule& all = base_graph == 1 ? schedule_1 : schedule_2;
  for (const std::uint8_t row : all.row)
    if (row < rows) schedule.row[step++] = row;
  return schedule;
}

LdpcMinSum ldpc_min_sum(const LdpcDecodeConfig& config, int rows) {
  if (config.min_sum_scale_x16 != 0) return {config.min_sum_scale_x16, ldpc_message_max};
  if (rows <= ldpc_rows_few) return {14, ldpc_message_max};
  // By 1 / code rate, and bits a symbol: 2 or less with either base graph, which differ in the
  // scale that they have at one rate; 4, 6, 8 or more. As block errors came out least
  // (docs/measurements/ldpc-floor.md).
  constexpr struct {
    int received_percent_end;
    int qpsk[2];
    int higher[3];
  } offsets[] = {{150, {2, 3}, {2, 1, 1}}, {160, {2, 3}, {2, 2, 1}}, {185, {3, 3}, {2, 2, 1}},
                 {235, {4, 4}, {3, 2, 2}}, {360, {4, 5}, {3, 2, 2}}, {9999, {5, 6}, {4, 3, 3}}};
  const int information = ldpc_information_columns(config.base_graph);
  const int received_percent = 100 * (information + rows - 2) / information;
  const int bits = config.bits_per_symbol;
  const int factor_x16 = bits <= 4 ? 10 : 12;
  for (const auto& range : offsets) {
    if (received_percent >= range.received_percent_end) continue;
    if (bits <= 2) return {factor_x16, range.qpsk[config.base_graph - 1]};
    return {factor_x16, range.higher[std::min(bits, 8) / 2 - 2]};
  }
  assert(false);
  return {};
}

Result<void> check(const LdpcDecodeConfig& c, std::size_t llr_size) {
  const auto wrong = [](const char* field, auto value, const std::string& why) {
    return Error{"ldpc decoder: " + std::string(field) + " is " + std::to_string(value) + "; " +
                 why};
  };
  if (c.base_graph != 1 && c.base_graph != 2) {
    return wrong("base_graph", c.base_graph, "there are 1 and 2");
  }
  if (!ldpc_is_lifting_size(c.zc)) {
    return wrong("zc", c.zc, "it must be a lifting size of TS 38.212 table 5.3.2-1");
  }
  const int information = ldpc_information_bits(c.base_graph, c.zc);
  if (c.filler_bits < 0 || c.filler_bits >= information) {
    return wrong("filler_bits", c.filler_bits,
                 "fillers are some of " + std::to_string(information) + " information bits");
  }
  if (c.iterations_max < 1) return wrong("iterations_max", c.iterations_max, "it is at least 1");
  const int qm = c.bits_per_symbol;
  if (qm != 1 && (qm < 2 || qm > 10 || qm % 2 != 0))
    return wrong("bits_per_symbol", qm, "it is 1, 2, 4, 6, 8 or 10");
  const int scale = c.min_sum_scale_x16;
  if (scale != 0 && (scale < 8 || scale > 16)) {
    return wrong("min_sum_scale_x16", scale, "it is 8 to 16, or 0 for the code rate's own");
  }
  const int full = ldpc_codeword_bits(c.base_graph, c.zc);
  if (llr_size == 0 || llr_size > static_cast<std::size_t>(full)) {
    return wrong("the count of soft bits", llr_size,
                 "a codeword has 1 to " + std::to_string(full) + " of them");
  }
  return {};
}

}  // namespace noroshi::fec
