#include "fec/uci/pusch_uci_rates.h"

#include <algorithm>
#include <tuple>

#include "fec/segment/segment.h"
#include "fec/uci/beta_offset_tables.h"
#include "fec/uci/uci.h"
#include "nr/data_elements.h"

namespace noroshi::fec {
namespace {

Refusal wrong(const char* field, std::int64_t value, const char* allowed, int index = -1) {
  return {field, static_cast<double>(value), allowed, index};
}

Refusal refuse_allocation(const PuschUciConfig& config) {
  if (config.symbols < 1 || config.symbols > nr::symbols_per_slot)
    return wrong("symbols", config.symbols, "1..14");
  for (int l = 0; l < nr::symbols_per_slot; ++l) {
    const int elements = config.data_elements[static_cast<std::size_t>(l)];
    if (elements < 0 || elements > nr::rb_max * 12)
      return wrong("data_elements[#]", elements, "0..3300", l);
  }
  if (config.dmrs_mask >> config.symbols != 0)
    return wrong("dmrs_mask", config.dmrs_mask, "symbols of the PUSCH");
  if (config.hop_symbol < 0 || config.hop_symbol >= config.symbols)
    return wrong("hop_symbol", config.hop_symbol, "symbols of the PUSCH");
  const int first_hop = (1 << (config.hop_symbol == 0 ? config.symbols : config.hop_symbol)) - 1;
  if ((config.dmrs_mask & first_hop) == 0 ||
      (config.hop_symbol != 0 && config.dmrs_mask >> config.hop_symbol == 0))
    return wrong("dmrs_mask", config.dmrs_mask, "a symbol in each hop");
  if (config.layers < 1 || config.layers > 4) return wrong("layers", config.layers, "1..4");
  const int qm = config.bits_per_symbol;
  if (qm != 1 && qm != 2 && qm != 4 && qm != 6 && qm != 8)
    return wrong("bits_per_symbol", qm, "1, 2, 4, 6, 8");
  return {};
}

Refusal refuse_control(const PuschUciConfig& config) {
  constexpr int code_block_bits_max = 200 * 8448;
  if (config.code_block_bits < 0 || config.code_block_bits > code_block_bits_max)
    return wrong("code_block_bits", config.code_block_bits, "a sum of code block sizes");
  if (config.code_block_bits == 0 &&
      (config.code_rate_x10240 < 1 || config.code_rate_x10240 > 10240))
    return wrong("code_rate_x10240", config.code_rate_x10240, "1..10240");
  const auto in_range = [](int bits) { return bits >= 0 && bits <= uci_bits_max; };
  constexpr const char* limit = "0..1706";
  if (!in_range(config.harq_bits)) return wrong("harq_bits", config.harq_bits, limit);
  if (!in_range(config.csi1_bits)) return wrong("csi1_bits", config.csi1_bits, limit);
  if (!in_range(config.csi2_bits)) return wrong("csi2_bits", config.csi2_bits, limit);
  if (config.csi2_bits > 0 && config.csi1_bits == 0)
    return wrong("csi2_bits", config.csi2_bits, "0 without CSI part 1");
  const bool control = config.harq_bits + config.csi1_bits > 0;
  if (!control && config.code_block_bits == 0)
    return wrong("code_block_bits", 0, "above 0 with neither HARQ-ACK nor CSI: nothing to send");
  const auto beta_wrong = [](int beta) { return beta < 8 || beta > 8 * 126; };
  constexpr const char* betas = "8..1008";
  if (control && beta_wrong(config.harq_beta_x8))
    return wrong("harq_beta_x8", config.harq_beta_x8, betas);
  if (config.csi1_bits > 0 && beta_wrong(config.csi1_beta_x8))
    return wrong("csi1_beta_x8", config.csi1_beta_x8, betas);
  if (config.csi2_bits > 0 && beta_wrong(config.csi2_beta_x8))
    return wrong("csi2_beta_x8", config.csi2_beta_x8, betas);
  if (config.alpha_x100 < 1 || config.alpha_x100 > 100)
    return wrong("alpha_x100", config.alpha_x100, "1..100");
  return {};
}

std::int64_t ceil_ratio(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The first symbol without DM-RS from `from` on, within `end`.
int after_dmrs(const PuschUciConfig& config, int from, int end) {
  while (from < end && (config.dmrs_mask >> from & 1) != 0) ++from;
  return from;
}

struct Amounts {
  int harq = 0;
  int reserved = 0;
  int csi1 = 0;
  int csi2 = 0;
};

int sum_of_elements(const PuschUciConfig& config, int from, int end) {
  int sum = 0;
  for (int l = from; l < end; ++l) sum += uci_elements(config, l);
  return sum;
}

// Q' by bits and beta alone: the left side of the clause's minimum.
std::int64_t wanted(const PuschUciConfig& config, int bits, int beta_x8) {
  const std::int64_t weighted = static_cast<std::int64_t>(bits + uci_crc_bits(bits)) * beta_x8;
  if (config.code_block_bits > 0) {
    const int all = sum_of_elements(config, 0, config.symbols);
    return ceil_ratio(weighted * all, 8 * static_cast<std::int64_t>(config.code_block_bits));
  }
  return ceil_ratio(weighted * 10240, 8 * static_cast<std::int64_t>(config.code_rate_x10240) *
                                          config.bits_per_symbol);
}

// TS 38.212 6.3.2.4.1.1 to 6.3.2.4.1.3, 6.3.2.4.2.
Amounts amounts_of(const PuschUciConfig& config, int harq_symbol) {
  const std::int64_t all = sum_of_elements(config, 0, config.symbols);
  const auto scaled = [&](std::int64_t elements) {
    return ceil_ratio(elements * config.alpha_x100, 100);
  };
  const std::int64_t harq_limit = scaled(sum_of_elements(config, harq_symbol, config.symbols));
  const auto harq_elements = [&](int bits) {
    return static_cast<int>(std::min(wanted(config, bits, config.harq_beta_x8), harq_limit));
  };
  Amounts amounts;
  if (config.harq_bits > 0) amounts.harq = harq_elements(config.harq_bits);
  if (config.harq_bits + config.csi1_bits == 0) return amounts;  // UL-SCH alone
  if (config.harq_bits <= 2) amounts.reserved = harq_elements(2);
  const bool data = config.code_block_bits > 0;
  std::int64_t left = data ? scaled(all) : all;
  if (config.csi1_bits > 0) {
    const std::int64_t most = left - (config.harq_bits > 2 ? amounts.harq : amounts.reserved);
    const bool rest = !data && config.csi2_bits == 0;
    amounts.csi1 = static_cast<int>(
        rest ? most : std::min(wanted(config, config.csi1_bits, config.csi1_beta_x8), most));
  }
  if (config.csi2_bits > 0) {
    const std::int64_t most = left - (config.harq_bits > 2 ? amounts.harq : 0) - amounts.csi1;
    amounts.csi2 = static_cast<int>(
        data ? std::min(wanted(config, config.csi2_bits, config.csi2_beta_x8), most) : most);
  }
  return amounts;
}

HopSplit halves(int elements) { return {{elements / 2, elements - elements / 2}}; }

// TS 38.212 6.2.7, "if frequency hopping is configured".
void split(const PuschUciConfig& config, const Amounts& amounts, PuschRates& rates) {
  rates.harq = halves(amounts.harq);
  rates.reserved = halves(amounts.reserved);
  rates.csi1 = halves(amounts.csi1);
  rates.csi2 = halves(amounts.csi2);
  if (config.code_block_bits > 0) return;
  const int m1 = sum_of_elements(config, 0, config.hop_symbol);
  const int m2 = sum_of_elements(config, config.hop_symbol, config.symbols);
  const int m3 = sum_of_elements(config, rates.harq_symbol[0], config.hop_symbol);
  const auto set = [](HopSplit& hops, int all, int first) { hops = {{first, all - first}}; };
  set(rates.harq, amounts.harq, std::min(amounts.harq / 2, m3));
  const bool taken_out = config.harq_bits > 2;
  if (config.csi2_bits == 0) {
    // As many as the first hop has; with up to 2 bits of HARQ-ACK all reserved elements are used.
    const int before = taken_out ? rates.harq.of[0] : std::min(rates.reserved.of[0], m3);
    if (config.csi1_bits > 0) set(rates.csi1, amounts.csi1, m1 - before);
    return;
  }
  const int before = taken_out ? rates.harq.of[0] : rates.reserved.of[0];
  set(rates.csi1, amounts.csi1, std::min(amounts.csi1 / 2, m1 - before));
  rates.csi2.of[0] = m1 - rates.csi1.of[0] - (taken_out ? rates.harq.of[0] : 0);
  rates.csi2.of[1] = m2 - rates.csi1.of[1] - (taken_out ? rates.harq.of[1] : 0);
}

}  // namespace

Result<int> harq_beta_offset_x8(int index) {
  if (index < 0 || index >= static_cast<int>(harq_beta_offsets_x8.size())) {
    return Error{
        words_of(wrong("beta offset index", index, "not reserved, TS 38.213 table 9.3-1"))};
  }
  return harq_beta_offsets_x8[static_cast<std::size_t>(index)];
}

Result<int> csi_beta_offset_x8(int index) {
  if (index < 0 || index >= static_cast<int>(csi_beta_offsets_x8.size())) {
    return Error{
        words_of(wrong("beta offset index", index, "not reserved, TS 38.213 table 9.3-2"))};
  }
  return csi_beta_offsets_x8[static_cast<std::size_t>(index)];
}

Result<PuschUciConfig> pusch_uci_config(const nr::SharedChannel& pusch) {
  PuschUciConfig config;
  if (const Refusal no = pusch_uci_config(pusch, config)) return Error{words_of(no)};
  return config;
}

Refusal pusch_uci_config(const nr::SharedChannel& pusch, PuschUciConfig& config) {
  config = {};
  config.symbols = pusch.symbol_count;
  nr::DataElements elements;
  nr::find_data_elements(pusch, elements);
  for (int l = 0; l < pusch.symbol_count; ++l)
    config.data_elements[static_cast<std::size_t>(l)] =
        elements.symbols[static_cast<std::size_t>(pusch.symbol_start + l)].count;
  config.dmrs_mask = static_cast<std::uint16_t>(pusch.dmrs.symbol_mask >> pusch.symbol_start);
  if (pusch.second_hop_rb >= 0) config.hop_symbol = nr::hop_symbol(pusch) - pusch.symbol_start;
  config.layers = pusch.layers;
  config.bits_per_symbol = nr::bits_per_symbol(pusch.modulation);
  config.code_rate_x10240 = pusch.code_rate_x10240;
  if (pusch.tb_bits > 0) {
    const int base_graph = choose_base_graph(pusch.tb_bits, pusch.code_rate_x10240);
    const int bits = pusch.tb_bits + crc_bits(tb_crc(pusch.tb_bits));
    if (!has_segmentation(bits, base_graph))
      return wrong("tb_bits", pusch.tb_bits, "sizes of TS 38.214 5.1.3.2");
    const auto segmentation = make_segmentation(bits, base_graph);
    config.code_block_bits = segmentation->code_blocks * segmentation->block_bits;
  }
  const nr::PuschUci& uci = pusch.uci;
  config.harq_bits =
      pusch_harq_bits(uci.harq_bits, pusch.tb_bits > 0, uci.csi1_bits, uci.csi2_bits);
  config.csi1_bits = uci.csi1_bits;
  config.csi2_bits = uci.csi2_bits;
  config.harq_beta_x8 = uci.harq_beta_x8;
  config.csi1_beta_x8 = uci.csi1_beta_x8;
  config.csi2_beta_x8 = uci.csi2_beta_x8;
  config.alpha_x100 = uci.alpha_x100;
  return {};
}

Refusal pusch_uci_rates(const PuschUciConfig& config, PuschRates& rates) {
  if (const Refusal no = refuse_allocation(config)) return no;
  if (const Refusal no = refuse_control(config)) return no;
  rates = {};
  rates.hops = config.hop_symbol == 0 ? 1 : 2;
  for (int hop = 0; hop < rates.hops; ++hop) {
    const int from = hop == 0 ? 0 : config.hop_symbol;
    const int end = hop == 0 && rates.hops == 2 ? config.hop_symbol : config.symbols;
    int dmrs = from;
    while ((config.dmrs_mask >> dmrs & 1) == 0) ++dmrs;
    const auto i = static_cast<std::size_t>(hop);
    rates.harq_symbol[i] = after_dmrs(config, dmrs, end);
    rates.csi_symbol[i] = after_dmrs(config, from, end);
  }
  const Amounts amounts = amounts_of(config, rates.harq_symbol[0]);
  const auto none = [](int bits, int elements) { return bits > 0 && elements <= 0; };
  if (none(config.harq_bits, amounts.harq)) {
    return wrong("harq_bits", config.harq_bits, "as many as get a resource element");
  }
  if (none(config.csi1_bits, amounts.csi1)) {
    return wrong("csi1_bits", config.csi1_bits, "as many as get a resource element");
  }
  if (none(config.csi2_bits, amounts.csi2)) {
    return wrong("csi2_bits", config.csi2_bits, "as many as get a resource element");
  }
  rates.harq.of[0] = amounts.harq;
  rates.reserved.of[0] = amounts.reserved;
  rates.csi1.of[0] = amounts.csi1;
  rates.csi2.of[0] = amounts.csi2;
  if (rates.hops == 2) split(config, amounts, rates);
  for (const auto& [field, bits, hops] : {std::tuple{"harq_bits", config.harq_bits, &rates.harq},
                                          std::tuple{"csi1_bits", config.csi1_bits, &rates.csi1},
                                          std::tuple{"csi2_bits", config.csi2_bits, &rates.csi2}}) {
    if (hops->of[0] < 0 || hops->of[1] < 0) {
      return wrong(field, bits, "as many as fit into each hop (TS 38.212 6.2.7)");
    }
  }
  return {};
}

}  // namespace noroshi::fec
