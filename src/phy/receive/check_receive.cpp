// What a receiver takes beyond check_uplink and check_downlink.

#include <bit>
#include <cstdint>

#include "phy/pusch.h"
#include "phy/shared_channel/allocation.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {
namespace {

// What the standard's tables or TS 38.214 5.1.4 leave out: more DM-RS symbols than they have, and
// reserved elements where DM-RS are.
Refusal refuse_receive(const nr::SharedChannel& channel) {
  for (int i = 0; i < channel.reserved_count; ++i) {
    const nr::ReservedElements& reserved = channel.reserved[static_cast<std::size_t>(i)];
    if ((reserved.symbol_mask & channel.dmrs.symbol_mask) != 0 &&
        (reserved.subcarrier_mask & nr::dmrs_subcarriers(channel.dmrs)) != 0 &&
        (reserved.rbs & channel.rbs).any())
      return {"reserved[#].symbol_mask", double(reserved.symbol_mask), "no element of DM-RS", i};
  }
  const int middle = nr::hop_symbol(channel);
  const std::uint32_t mask = channel.dmrs.symbol_mask;
  for (const std::uint32_t symbols : {mask & ((1u << middle) - 1), mask >> middle}) {
    const int times = std::popcount(symbols) / (channel.dmrs.double_symbol ? 2 : 1);
    if (times > estimate_times_max)
      return {"dmrs.symbol_mask", double(mask), "up to 4 symbols, or pairs of them, a slot or hop"};
    if (channel.dmrs.double_symbol && std::popcount(symbols) % 2 != 0)
      return {"dmrs.symbol_mask", double(mask), "pairs that lie in one hop"};
  }
  return {};
}

// The field in which two handsets on the same blocks must not differ but do.
Refusal unlike(const nr::SharedChannel& a, const nr::SharedChannel& b) {
  const auto of = [](const char* field, double value) {
    return Refusal{field, value, "that of the other handsets on the same blocks"};
  };
  if (a.rbs != b.rbs) return of("blocks of rbs", static_cast<double>(b.rbs.count()));
  if (a.symbol_start != b.symbol_start) return of("symbol_start", b.symbol_start);
  if (a.symbol_count != b.symbol_count) return of("symbol_count", b.symbol_count);
  if (a.second_hop_rb != b.second_hop_rb) return of("second_hop_rb", b.second_hop_rb);
  if (a.transform_precoding != b.transform_precoding)
    return of("transform_precoding", b.transform_precoding ? 1 : 0);
  if (a.dmrs.type != b.dmrs.type) return of("dmrs.type", b.dmrs.type);
  if (a.dmrs.symbol_mask != b.dmrs.symbol_mask) return of("dmrs.symbol_mask", b.dmrs.symbol_mask);
  if (a.dmrs.double_symbol != b.dmrs.double_symbol)
    return of("dmrs.double_symbol", b.dmrs.double_symbol ? 1 : 0);
  if (nr::dmrs_amplitude(a.dmrs) != nr::dmrs_amplitude(b.dmrs))
    return of("dmrs.cdm_groups_without_data", b.dmrs.cdm_groups_without_data);
  if (a.dmrs.scrambling_id != b.dmrs.scrambling_id)
    return of("dmrs.scrambling_id", b.dmrs.scrambling_id);
  if (a.dmrs.n_scid != b.dmrs.n_scid) return of("dmrs.n_scid", b.dmrs.n_scid);
  if (a.dmrs.hopping != b.dmrs.hopping)
    return of("dmrs.hopping", static_cast<double>(b.dmrs.hopping));
  return {};
}

}  // namespace

Refusal refuse_pusch(const nr::Carrier& carrier, const nr::SharedChannel& pusch,
                     fec::PuschUciLayout& scratch) {
  if (const Refusal no = refuse_uplink(carrier, pusch)) return no;
  if (const Refusal no = refuse_uci(pusch, scratch)) return no;
  return refuse_receive(pusch);
}

Result<void> check_pusch(const nr::Carrier& carrier, const nr::SharedChannel& pusch) {
  if (const Refusal no = refuse_uplink(carrier, pusch)) return as_result(no);
  if (Result<void> r = check_uci_fits(pusch); !r) return r;
  return as_result(refuse_receive(pusch));
}

Result<void> check_pdsch_receive(const nr::Carrier& carrier, const nr::SharedChannel& pdsch) {
  if (const Refusal no = refuse_downlink(carrier, pdsch)) return as_result(no);
  return as_result(refuse_receive(pdsch));
}

Refusal refuse_together(View<const nr::SharedChannel* const, 1> group) {
  int layers = 0;
  std::uint32_t ports = 0;
  for (const nr::SharedChannel* const pusch : group) {
    if (const Refusal no = unlike(*group[0], *pusch)) return no;
    if ((ports & pusch->dmrs.port_mask) != 0)
      return {"dmrs.port_mask", double(pusch->dmrs.port_mask),
              "ports that no other handset on the same blocks has"};
    ports |= pusch->dmrs.port_mask;
    layers += pusch->layers;
    if (layers > nr::layers_max)
      return {"layers of all handsets on the same blocks", double(layers), "up to 8"};
  }
  return {};
}

Result<void> check_pusch_group(const nr::Carrier& carrier,
                               View<const nr::SharedChannel* const, 1> group) {
  if (group.empty()) return Error{"no handset to receive"};
  for (const nr::SharedChannel* const pusch : group)
    if (Result<void> r = check_pusch(carrier, *pusch); !r) return r;
  for (std::size_t size = 2; size <= group.size(); ++size)
    if (const Refusal no = refuse_together(group.subview(0, size)))
      return Error{words_of(no) + " (RNTI " + std::to_string(group[size - 1]->rnti) + ")"};
  return {};
}

}  // namespace noroshi::phy
