#include "nr/mcs.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <iterator>

#include "base/view.h"
#include "nr/mcs_tables.h"

namespace noroshi::nr {
namespace {

View<const Mcs, 1> mcs_rows(McsTable table) {
  switch (table) {
    case McsTable::qam64:
      return {mcs_table_qam64, std::size(mcs_table_qam64)};
    case McsTable::qam256:
      return {mcs_table_qam256, std::size(mcs_table_qam256)};
    case McsTable::qam64_low_se:
      return {mcs_table_qam64_low_se, std::size(mcs_table_qam64_low_se)};
    case McsTable::qam1024:
      return {mcs_table_qam1024, std::size(mcs_table_qam1024)};
    case McsTable::tp_qam64:
      return {mcs_table_tp_qam64, std::size(mcs_table_tp_qam64)};
    case McsTable::tp_qam64_low_se:
      return {mcs_table_tp_qam64_low_se, std::size(mcs_table_tp_qam64_low_se)};
    case McsTable::tp_qam64_pi2_bpsk:
      return {mcs_table_tp_qam64_pi2_bpsk, std::size(mcs_table_tp_qam64_pi2_bpsk)};
    case McsTable::tp_qam64_low_se_pi2_bpsk:
      return {mcs_table_tp_qam64_low_se_pi2_bpsk, std::size(mcs_table_tp_qam64_low_se_pi2_bpsk)};
  }
  return {};
}

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
int floor_log2(std::int64_t x) { return std::bit_width(static_cast<std::uint64_t>(x)) - 1; }

// Step 3 of TS 38.214 5.1.3.2, N_info <= 3824. floor(N_info) serves: only floors follow.
int small_transport_block_bits(std::int64_t info_bits) {
  const int n = info_bits == 0 ? 3 : std::max(3, floor_log2(info_bits) - 6);
  const std::int64_t quantised = std::max<std::int64_t>(24, info_bits >> n << n);
  const int* const entry = std::lower_bound(std::begin(tbs_table), std::end(tbs_table), quantised);
  assert(entry != std::end(tbs_table));
  return *entry;
}

// Step 4, N_info > 3824. N_info and R both in units of 1 / 10240: everything stays exact.
int large_transport_block_bits(std::int64_t info_x10240, int code_rate_x10240) {
  const std::int64_t rest = info_x10240 - 24 * 10240;
  const int n = floor_log2(rest / 10240) - 5;
  assert(n >= 0);
  const std::int64_t unit = std::int64_t{10240} << n;
  const std::int64_t rounded = (rest + unit / 2) / unit;  // ties upwards, as the clause says
  const std::int64_t bits = std::max<std::int64_t>(3840, rounded << n) + 24;
  std::int64_t blocks = 1;
  if (4 * code_rate_x10240 <= 10240) {
    blocks = divide_up(bits, 3816);
  } else if (bits - 24 > 8424) {
    blocks = divide_up(bits, 8424);
  }
  return static_cast<int>(8 * blocks * divide_up(bits, 8 * blocks) - 24);
}

}  // namespace

std::optional<Mcs> mcs(McsTable table, int index) {
  if (index < 0 || index > mcs_index_max(table)) return std::nullopt;
  return mcs_rows(table)[static_cast<std::size_t>(index)];
}

int mcs_index_max(McsTable table) { return static_cast<int>(mcs_rows(table).size()) - 1; }

int transport_block_bits(int re_per_rb, int rbs, Mcs mcs, int layers) {
  assert(rbs >= 0 && rbs <= rb_max && layers >= 1 && layers <= 4);
  const std::int64_t elements = std::int64_t{std::clamp(re_per_rb, 0, 156)} * rbs;
  const std::int64_t info_x10240 =
      elements * layers * bits_per_symbol(mcs.modulation) * mcs.code_rate_x10240;
  if (info_x10240 == 0) return 0;
  if (info_x10240 <= std::int64_t{3824} * 10240)
    return small_transport_block_bits(info_x10240 / 10240);
  return large_transport_block_bits(info_x10240, mcs.code_rate_x10240);
}

int transport_block_bits(const SharedChannel& channel, int overhead_re_per_rb, int codeword) {
  const int code_rate_x10240 =
      codeword == 0 ? channel.code_rate_x10240 : channel.second.code_rate_x10240;
  return transport_block_bits(data_resource_elements_per_rb(channel) - overhead_re_per_rb,
                              static_cast<int>(channel.rbs.count()),
                              {codeword_modulation(channel, codeword), code_rate_x10240},
                              codeword_layers(channel, codeword));
}

int limited_buffer_tb_bits(int rbs, int layers, int qm) {
  // Table 5.4.2.1-1.
  constexpr int rows[] = {32, 66, 107, 135, 162, 217};
  const int* const row = std::lower_bound(std::begin(rows), std::end(rows), rbs);
  const int rb_count = row == std::end(rows) ? 273 : *row;
  return transport_block_bits(156, rb_count, {static_cast<Modulation>(qm), 9480}, layers);
}

}  // namespace noroshi::nr
