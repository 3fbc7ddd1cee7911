#pragma once

// Random PDSCH and PUSCH that the standard allows, with everything that nr::SharedChannel can say.

#include <bit>
#include <vector>

#include "base/prng.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"
#include "nr/pusch_precoding.h"
#include "phy/dmrs/dmrs.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {

inline int pick(Prng& prng, int from, int to) {
  return from + static_cast<int>(prng.below(static_cast<std::uint64_t>(to - from + 1)));
}
template <class T>
T one_of(Prng& prng, std::initializer_list<T> values) {
  return values.begin()[prng.below(values.size())];
}
inline bool chance(Prng& prng, int in) { return prng.below(static_cast<std::uint64_t>(in)) == 0; }

inline void pick_range(Prng& prng, int rbs, std::bitset<nr::rb_max>& blocks) {
  const int count = pick(prng, 1, rbs), first = pick(prng, 0, rbs - count);
  for (int rb = first; rb < first + count; ++rb) blocks.set(static_cast<std::size_t>(rb));
}

// DM-RS with so many ports of their groups; where the allocation has room for them. hopping: PUSCH.
inline void pick_dmrs(Prng& prng, bool downlink, nr::SharedChannel& channel) {
  nr::Dmrs& dmrs = channel.dmrs;
  const bool hopping = channel.second_hop_rb >= 0;
  dmrs.type = channel.transform_precoding ? 1 : pick(prng, 1, 2);
  dmrs.double_symbol = !hopping && (channel.layers > (dmrs.type == 1 ? 4 : 6) || chance(prng, 3));
  if (!dmrs.double_symbol && channel.layers > (dmrs.type == 1 ? 4 : 6)) dmrs.type = 2;
  dmrs.symbol_mask = 0;
  while (dmrs.symbol_mask == 0) {
    const nr::DmrsPlacement placement{chance(prng, 2) ? nr::MappingType::a : nr::MappingType::b,
                                      pick(prng, 2, 3), pick(prng, 0, dmrs.double_symbol ? 1 : 3),
                                      dmrs.double_symbol};
    channel.symbol_start = placement.mapping == nr::MappingType::a
                               ? (downlink ? pick(prng, 0, placement.type_a_position) : 0)
                               : pick(prng, 0, 13);
    channel.symbol_count = pick(prng, 1, 14 - channel.symbol_start);
    dmrs.symbol_mask =
        downlink ? nr::pdsch_dmrs_symbols(channel.symbol_start, channel.symbol_count, placement)
                 : nr::pusch_dmrs_symbols(channel.symbol_start, channel.symbol_count, placement,
                                          hopping);
  }
  const int groups = dmrs.type + 1;
  dmrs.cdm_groups_without_data = channel.transform_precoding ? 2 : pick(prng, 1, groups);
  const auto allowed = [&](int p) {
    return dmrs_port(dmrs.type, p).cdm_group < dmrs.cdm_groups_without_data;
  };
  const int ports = dmrs_ports(dmrs.type, dmrs.double_symbol);
  int room = 0;
  for (int p = 0; p < ports; ++p) room += allowed(p) ? 1 : 0;
  if (room < channel.layers) dmrs.cdm_groups_without_data = groups;
  dmrs.port_mask = 0;
  while (std::popcount(dmrs.port_mask) < channel.layers) {
    const int p = pick(prng, 0, ports - 1);
    if (allowed(p)) dmrs.port_mask = static_cast<std::uint16_t>(dmrs.port_mask | 1 << p);
  }
  dmrs.scrambling_id =
      static_cast<std::uint16_t>(prng.below(channel.transform_precoding ? 1008 : 65536));
  dmrs.n_scid = pick(prng, 0, 1);
  if (channel.transform_precoding)
    dmrs.hopping = static_cast<nr::SequenceHopping>(pick(prng, 0, 2));
}

inline void pick_ptrs(Prng& prng, bool downlink, nr::SharedChannel& channel) {
  nr::PtRs& ptrs = channel.ptrs;
  const int ports = channel.dmrs.type == 1 ? 4 : 6;
  if (channel.dmrs.port_mask >> ports != 0) return;
  ptrs.present = true;
  ptrs.amplitude = one_of(prng, {1.0f, 1.5f});
  ptrs.time_density = 1 << pick(prng, 0, channel.transform_precoding ? 1 : 2);
  ptrs.frequency_density = one_of(prng, {2, 4});
  ptrs.re_offset = pick(prng, 0, 3);
  std::vector<int> used;
  for (int p = 0; p < ports; ++p)
    if ((channel.dmrs.port_mask >> p & 1) != 0) used.push_back(p);
  ptrs.dmrs_port = {static_cast<std::int8_t>(used[prng.below(used.size())]), -1};
  if (!downlink && used.size() > 1 && chance(prng, 2)) {
    ptrs.dmrs_port[1] = static_cast<std::int8_t>(used[prng.below(used.size())]);
    const nr::PtRsBlocks at = nr::ptrs_blocks(channel);
    if (at.subcarrier[0] == at.subcarrier[1]) ptrs.dmrs_port[1] = -1;
  }
  const int samples = static_cast<int>(channel.rbs.count()) * 12;
  ptrs.groups = one_of(prng, {2, 4, 8});
  ptrs.group_samples = ptrs.groups == 8 ? 4 : one_of(prng, {2, 4});
  if (samples / ptrs.groups < ptrs.group_samples) ptrs.groups = ptrs.group_samples = 2;
  ptrs.scrambling_id = static_cast<std::uint16_t>(prng.below(1008));
}

// A transport block of a random code rate that the elements can carry.
inline void pick_block(Prng& prng, nr::SharedChannel& channel, int codeword) {
  const nr::Modulation modulation =
      channel.transform_precoding
          ? one_of(prng, {nr::Modulation::pi2_bpsk, nr::Modulation::qpsk, nr::Modulation::qam16,
                          nr::Modulation::qam64, nr::Modulation::qam256})
          : one_of(prng, {nr::Modulation::qpsk, nr::Modulation::qam16, nr::Modulation::qam64,
                          nr::Modulation::qam256});
  const int code_rate_x10240 = pick(prng, 300, 9480);
  const int rv = pick(prng, 0, 3);
  const nr::Mcs mcs{modulation, code_rate_x10240};
  const int rbs = static_cast<int>(channel.rbs.count());
  const int layers = nr::codeword_layers(channel, codeword);
  // From what is there, not from N'_RE, which reserved elements do not lower.
  const int per_rb = nr::data_resource_elements(channel) / rbs;
  const int tb_bits = nr::transport_block_bits(per_rb, rbs, mcs, layers);
  const int limit = chance(prng, 3) ? tb_bits + tb_bits / 2 : 0;
  if (codeword == 0) {
    channel.modulation = modulation;
    channel.code_rate_x10240 = code_rate_x10240;
    channel.rv = rv;
    channel.tb_bits = tb_bits;
    channel.limited_buffer_bits = limit;
  } else {
    channel.second = {modulation, code_rate_x10240, rv, tb_bits, limit};
  }
}

// 1024QAM is left to the caller: it may come in for any codeword of a PDSCH.
inline nr::SharedChannel random_pdsch(Prng& prng, const nr::Carrier& carrier) {
  for (;;) {
    nr::SharedChannel channel;
    channel.rnti = static_cast<std::uint16_t>(prng.below(65536));
    channel.scrambling_id = static_cast<std::uint16_t>(prng.below(1024));
    channel.layers = pick(prng, 1, 8);
    pick_range(prng, carrier.rb_count, channel.rbs);
    if (chance(prng, 3)) {
      for (int rb = 0; rb < carrier.rb_count; ++rb)
        if (chance(prng, 3)) channel.rbs.reset(static_cast<std::size_t>(rb));
      channel.rbs.set(prng.below(static_cast<std::uint64_t>(carrier.rb_count)));
    }
    if (chance(prng, 2)) {
      int first = 0, last = carrier.rb_count - 1;
      while (!channel.rbs[static_cast<std::size_t>(first)]) ++first;
      while (!channel.rbs[static_cast<std::size_t>(last)]) --last;
      channel.vrb.bundle_rbs = one_of(prng, {2, 4});
      channel.vrb.rb_first = pick(prng, 0, first);
      channel.vrb.rb_count = pick(prng, last, carrier.rb_count - 1) - channel.vrb.rb_first + 1;
      channel.vrb.from_first = chance(prng, 3);
    }
    pick_dmrs(prng, true, channel);
    if (chance(prng, 4)) {
      int first = 0;
      while (!channel.rbs[static_cast<std::size_t>(first)]) ++first;
      channel.dmrs.reference_rb = pick(prng, 0, first);
    }
    if (chance(prng, 3)) pick_ptrs(prng, true, channel);
    if (chance(prng, 3)) {
      channel.reserved_count = pick(prng, 1, 3);
      for (int i = 0; i < channel.reserved_count; ++i) {
        nr::ReservedElements& reserved = channel.reserved[static_cast<std::size_t>(i)];
        pick_range(prng, carrier.rb_count, reserved.rbs);
        reserved.symbol_mask = static_cast<std::uint16_t>(prng.below(1 << 14));
        if (chance(prng, 2))
          reserved.subcarrier_mask = static_cast<std::uint16_t>(prng.below(1 << 12));
      }
    }
    for (int q = 0; q < nr::codewords(channel); ++q) pick_block(prng, channel, q);
    if (check_downlink(carrier, channel)) return channel;
  }
}

// uci: whether it may have UCI.
inline nr::SharedChannel random_pusch(Prng& prng, const nr::Carrier& carrier, bool uci) {
  for (;;) {
    nr::SharedChannel channel;
    channel.rnti = static_cast<std::uint16_t>(prng.below(65536));
    channel.scrambling_id = static_cast<std::uint16_t>(prng.below(1024));
    channel.transform_precoding = chance(prng, 2);
    channel.layers = channel.transform_precoding ? 1 : pick(prng, 1, 4);
    pick_range(prng, carrier.rb_count, channel.rbs);
    if (chance(prng, 3))
      channel.second_hop_rb =
          pick(prng, 0, carrier.rb_count - static_cast<int>(channel.rbs.count()));
    else if (!channel.transform_precoding && chance(prng, 3))
      for (int rb = 0; rb < carrier.rb_count; ++rb)
        if (channel.rbs.count() > 1 && chance(prng, 3))
          channel.rbs.reset(static_cast<std::size_t>(rb));
    pick_dmrs(prng, false, channel);
    if (chance(prng, 3)) pick_ptrs(prng, false, channel);
    pick_block(prng, channel, 0);
    if (uci && chance(prng, 2)) {
      nr::PuschUci& of = channel.uci;
      of.harq_bits = pick(prng, 0, one_of(prng, {2, 20}));
      of.csi1_bits = chance(prng, 2) ? 0 : pick(prng, 1, 40);
      of.csi2_bits = of.csi1_bits == 0 || chance(prng, 2) ? 0 : pick(prng, 1, 60);
      for (int* beta_x8 : {&of.harq_beta_x8, &of.csi1_beta_x8, &of.csi2_beta_x8})
        *beta_x8 = one_of(prng, {16, 40, 100, 160});
      of.alpha_x100 = one_of(prng, {50, 65, 80, 100});
      if (of.any() && chance(prng, 4)) channel.tb_bits = 0;
    }
    if (check_uplink(carrier, channel) && check_uci_fits(channel)) return channel;
  }
}

// Random bytes for everything that the channel carries.
struct RandomPayload {
  std::vector<std::uint8_t> tb[2], harq, csi1, csi2;

  RandomPayload(Prng& prng, const nr::SharedChannel& channel) {
    const auto fill = [&](std::vector<std::uint8_t>& bytes, int bits) {
      bytes.resize(bytes_for_bits(static_cast<std::size_t>(bits)));
      for (auto& byte : bytes) byte = static_cast<std::uint8_t>(prng());
      if (bits % 8 != 0)
        bytes.back() = static_cast<std::uint8_t>(bytes.back() & (0xff00 >> bits % 8));
    };
    fill(tb[0], channel.tb_bits);
    fill(tb[1], channel.second.tb_bits);
    fill(harq, channel.uci.harq_bits);
    fill(csi1, channel.uci.csi1_bits);
    fill(csi2, channel.uci.csi2_bits);
  }
  Payload view() const {
    return {.tb = {View<const std::uint8_t, 1>(tb[0]), View<const std::uint8_t, 1>(tb[1])},
            .uci = {View<const std::uint8_t, 1>(harq), View<const std::uint8_t, 1>(csi1),
                    View<const std::uint8_t, 1>(csi2)}};
  }
};

}  // namespace noroshi::phy
