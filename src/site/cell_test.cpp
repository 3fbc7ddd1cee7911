// Catches: a feature of FAPI that the cell does not carry, or carries otherwise than a handset that
// was told the same hears it; a refusal without field and value, or one that takes other PDUs with
// it; allocation in the slot, on good and on bad requests; a HARQ buffer used against its content.

#include "site/cell.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "nr/mcs.h"
#include "site/cell_loop_test.h"

namespace noroshi::site {
namespace {

TEST(Cell, CarriesEveryDownlinkFeature) {
  for (const NamedPdsch& sample : sample_pdschs()) {
    SCOPED_TRACE(sample.name);
    Downlink downlink;
    if (names_signals(sample.pdu)) add_signals(downlink.dl_tti);
    downlink.add(sample.pdu);
    downlink.transmit();
    ASSERT_EQ(downlink.cell.refused().count, 0) << words_of(downlink.cell.refused().list[0]);
    const nr::SharedChannel* pdsch = downlink.cell.sent(0);
    ASSERT_NE(pdsch, nullptr);
    // The handset hears every port by an antenna of its own.
    air::Handset handset(downlink.limits.carrier, 17, 1, {},
                         {.receive_antennas = 8, .downlink_layers = 8});
    const auto& precoding = sample.pdu.precoding_and_beamforming;
    const auto report = handset.receive_pdsch(0, *pdsch, 0, true, downlink.samples_view(),
                                              precoding.num_prgs > 1 ? precoding.prg_size : 0);
    ASSERT_TRUE(report.phy.crc_ok);
    ASSERT_TRUE(std::ranges::equal(report.tb[0], downlink.tx_data.pdus[0].data[0]));
    ASSERT_TRUE(std::ranges::equal(report.tb[1], sample.pdu.nr_of_codewords == 2
                                                     ? downlink.tx_data.pdus[0].data[1]
                                                     : View<const std::uint8_t, 1>()));
    EXPECT_EQ(report.phy.second.crc_ok, sample.pdu.nr_of_codewords == 2);
  }
}

TEST(Cell, CarriesEveryUplinkFeature) {
  for (const NamedPusch& sample : sample_puschs()) {
    SCOPED_TRACE(sample.name);
    Uplink uplink;
    uplink.add(sample.pdu);
    const auto tb = uplink.send(sample.pdu);
    uplink.receive();
    ASSERT_EQ(uplink.cell.refused().count, 0) << words_of(uplink.cell.refused().list[0]);
    const bool data = (sample.pdu.pdu_bitmap & fapi::pusch_bitmap_data) != 0;
    const bool uci = (sample.pdu.pdu_bitmap & fapi::pusch_bitmap_uci) != 0;
    ASSERT_EQ(uplink.report.crc.n_crcs, data ? 1 : 0);
    ASSERT_EQ(uplink.report.rx_data.n_pdus, data ? 1 : 0);
    ASSERT_EQ(uplink.report.uci.n_ucis, uci ? 1 : 0);
    if (data) {
      const auto& crc = uplink.report.crc.crcs[0];
      EXPECT_EQ(crc.tb_crc_status, 0);
      EXPECT_EQ(crc.handle, 5u);
      EXPECT_EQ(crc.timing_advance_offset, 31);
      EXPECT_GT(crc.ul_sinr_db, 25);
      EXPECT_TRUE(std::ranges::equal(uplink.report.rx_data.pdus[0].data, tb));
    }
    if (!uci) continue;
    const auto& got = uplink.report.uci.ucis[0];
    for (const auto& [part, bits] :
         {std::pair{&got.harq, sample.pdu.uci.harq_ack_bit_length},
          std::pair{&got.csi_part1, sample.pdu.uci.csi_part1_bit_length},
          std::pair{&got.csi_part2, sample.pdu.uci.csi_part2_bit_length}}) {
      ASSERT_EQ(part->bit_len, bits);
      if (bits == 0) continue;
      EXPECT_TRUE(part->detection == fapi::UciDetection::crc_pass ||
                  part->detection == fapi::UciDetection::no_dtx);
      for (std::size_t i = 0; i < bits; ++i)
        ASSERT_EQ(bit_at(part->payload.data(), i), bit_at(uplink.uci.data(), i)) << i;
    }
  }
}

TEST(Cell, ReceivesHandsetsOnTheSameBlocks) {
  Uplink uplink;
  fapi::PuschPdu first = plain_pusch();
  first.nr_of_layers = 2;
  first.dmrs.dmrs_ports = 0b0011;
  fit_blocks(uplink.limits, first);
  fapi::PuschPdu second = first;
  second.rnti = 18;
  second.handle = 6;
  second.dmrs.dmrs_ports = 0b1100;
  uplink.add(first);
  uplink.add(second);
  uplink.ul_tti.n_groups = 1;
  uplink.ul_tti.groups[0] = {2, {0, 1}};
  const auto tb = uplink.send(first);
  const auto second_tb = uplink.send(second, 2);
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 0) << words_of(uplink.cell.refused().list[0]);
  ASSERT_EQ(uplink.report.rx_data.n_pdus, 2);
  EXPECT_TRUE(std::ranges::equal(uplink.report.rx_data.pdus[0].data, tb));
  EXPECT_TRUE(std::ranges::equal(uplink.report.rx_data.pdus[1].data, second_tb));

  // Without a group the second has blocks that another has: it alone is refused.
  uplink.ul_tti.n_groups = 0;
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 1);
  EXPECT_EQ(
      words_of(uplink.cell.refused().list[0]),
      "UL_TTI.request 0.0, PDU 1 of RNTI 18: resource block is 2, allowed: blocks that no PDU "
      "before it has");
  EXPECT_EQ(uplink.report.crc.n_crcs, 2);
  EXPECT_EQ(uplink.report.crc.crcs[1].tb_crc_status, 1);

  // In a group with the same ports, or with other blocks, the same.
  uplink.ul_tti.n_groups = 1;
  uplink.ul_tti.pdus[1].dmrs.dmrs_ports = 0b0110;
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 1);
  EXPECT_STREQ(uplink.cell.refused().list[0].why.field, "dmrs.port_mask");
  uplink.ul_tti.pdus[1].dmrs.dmrs_ports = 0b1100;
  uplink.ul_tti.pdus[1].allocation.rb_start = 3;
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 1);
  EXPECT_STREQ(uplink.cell.refused().list[0].why.field, "blocks of rbs");

  uplink.ul_tti.groups[0] = {3, {0, 1, 7}};
  uplink.ul_tti.pdus[1].allocation.rb_start = 2;
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 1);
  EXPECT_NE(words_of(uplink.cell.refused().list[0]).find("groups[0].pdu_idx is 7"),
            std::string::npos);
}

TEST(Cell, RefusesADownlinkPduWholeAndTheOthersGoOn) {
  const auto refused = [](const char* text, auto change) {
    SCOPED_TRACE(text);
    Downlink downlink;
    fapi::PdschPdu good = plain_pdsch();
    good.allocation.rb_start = 14;
    fapi::PdschPdu bad = plain_pdsch();
    add_signals(downlink.dl_tti);
    downlink.dl_tti.n_ssbs = 0;  // it would take the blocks
    downlink.add(bad);
    downlink.add(good);
    change(downlink);
    downlink.transmit();
    ASSERT_EQ(downlink.cell.refused().count, 1);
    const RefusedPdu& no = downlink.cell.refused().list[0];
    EXPECT_TRUE(names_a_value(no)) << words_of(no);
    EXPECT_NE(words_of(no).find(text), std::string::npos) << words_of(no);
    EXPECT_EQ(downlink.cell.sent(0), nullptr);
    EXPECT_NE(downlink.cell.sent(1), nullptr);
  };
  const auto pdu = [&](const char* text, auto change) {
    refused(text, [&](Downlink& d) { change(d.dl_tti.pdus[0]); });
  };
  pdu("rnti is 0", [](auto& p) { p.rnti = 0; });
  pdu("pdu_bitmap is 2", [](auto& p) { p.pdu_bitmap = 2; });
  pdu("transmission_scheme is 1", [](auto& p) { p.transmission_scheme = 1; });
  pdu("nr_of_layers is 9", [](auto& p) { p.nr_of_layers = 9; });
  pdu("nr_of_layers is 0", [](auto& p) { p.nr_of_layers = 0; });
  pdu("nr_of_codewords is 2", [](auto& p) { p.nr_of_codewords = 2; });
  pdu("nr_of_codewords is 1", [](auto& p) { p.nr_of_layers = 5; });
  pdu("codewords[0].tb_size is 0", [](auto& p) { p.codewords[0].tb_size = 0; });
  pdu("codewords[0].tb_size is 4000000000",
      [](auto& p) { p.codewords[0].tb_size = 4'000'000'000; });
  pdu("codewords[0].mcs_table is 4", [](auto& p) { p.codewords[0].mcs_table = 4; });
  pdu("modulation is 3", [](auto& p) { p.codewords[0].qam_mod_order = 3; });
  pdu("code_rate_x10240 is 0", [](auto& p) { p.codewords[0].target_code_rate = 0; });
  pdu("rv is 4", [](auto& p) { p.codewords[0].rv_index = 4; });
  pdu("ldpc_base_graph is 1", [](auto& p) { p.maintenance.ldpc_base_graph = 1; });
  pdu("bwp.bwp_start is 24", [](auto& p) { p.bwp.bwp_start = 24; });
  pdu("bwp.bwp_size is 25", [](auto& p) { p.bwp.bwp_size = 25; });
  pdu("bwp.subcarrier_spacing is 0", [](auto& p) { p.bwp.subcarrier_spacing = 0; });
  pdu("bwp.cyclic_prefix is 1", [](auto& p) { p.bwp.cyclic_prefix = 1; });
  pdu("start_symbol_index is 14", [](auto& p) { p.allocation.start_symbol_index = 14; });
  pdu("nr_of_symbols is 13", [](auto& p) { p.allocation.nr_of_symbols = 13; });
  pdu("resource_alloc is 2", [](auto& p) { p.allocation.resource_alloc = 2; });
  pdu("rb_size is 25", [](auto& p) { p.allocation.rb_size = 25; });
  pdu("rb_start is 15", [](auto& p) { p.allocation.rb_start = 15; });
  pdu("rb_start is 65535", [](auto& p) { p.allocation.rb_start = 65535; });
  pdu("rb_bitmap is 24", [](auto& p) {
    p.allocation.resource_alloc = 0;
    p.allocation.rb_bitmap[3] = 1;
  });
  pdu("vrb_to_prb_mapping is 3", [](auto& p) { p.allocation.vrb_to_prb_mapping = 3; });
  pdu("vrb_to_prb_mapping is 0",
      [](auto& p) { p.maintenance.trans_type = fapi::PdschTransType::interleaved_other; });
  pdu("trans_type is 6",
      [](auto& p) { p.maintenance.trans_type = static_cast<fapi::PdschTransType>(6); });
  pdu("coreset_start_point is 24", [](auto& p) {
    p.maintenance.trans_type = fapi::PdschTransType::non_interleaved_common;
    p.maintenance.coreset_start_point = 24;
  });
  pdu("dmrs_config_type is 2", [](auto& p) { p.dmrs.dmrs_config_type = 2; });
  pdu("dmrs_symb_pos is 18436", [](auto& p) { p.dmrs.dmrs_symb_pos |= 1 << 14; });
  pdu("num_dmrs_cdm_grps_no_data is 0", [](auto& p) { p.dmrs.num_dmrs_cdm_grps_no_data = 0; });
  pdu("dmrs.port_mask is 3", [](auto& p) { p.dmrs.dmrs_ports = 3; });
  pdu("dmrs.n_scid is 2", [](auto& p) { p.dmrs.scid = 2; });
  pdu("ref_point is 2", [](auto& p) { p.ref_point = 2; });
  pdu("ptrs.port_index is 3", [](auto& p) { p.pdu_bitmap = 1, p.ptrs.port_index = 3; });
  pdu("ptrs.epre_ratio is 2", [](auto& p) { p.pdu_bitmap = 1, p.ptrs.epre_ratio = 2; });
  pdu("ssb_config_for_rate_matching is 1",
      [](auto& p) { p.maintenance.ssb_config_for_rate_matching = 1; });
  pdu("lte_crs_rate_match_pattern_bitmap_size is 1",
      [](auto& p) { p.maintenance.lte_crs_rate_match_pattern_bitmap_size = 1; });
  pdu("num_csi_rs_for_rate_matching is 17",
      [](auto& p) { p.maintenance.num_csi_rs_for_rate_matching = 17; });
  pdu("csi_rs_for_rate_matching[1] is 33", [](auto& p) {
    p.maintenance.num_csi_rs_for_rate_matching = 2;
    p.maintenance.csi_rs_for_rate_matching = {32, 33};
  });
  pdu("ssb_pdus_for_rate_matching[1] is 8",
      [](auto& p) { p.maintenance.ssb_pdus_for_rate_matching[1] = 8; });
  pdu("dmrs.dmrs_symb_pos is 68", [](auto& p) {  // subcarriers 10 and 11 of symbol 6 a CSI-RS's
    p.dmrs.dmrs_symb_pos = 1 << 2 | 1 << 6;
    p.maintenance.num_csi_rs_for_rate_matching = 1;
    p.maintenance.csi_rs_for_rate_matching = {32};
  });
  pdu("num_coreset_rm_patterns is 6", [](auto& p) { p.maintenance.num_coreset_rm_patterns = 6; });
  pdu("power_control_offset_profile_nr is 24",
      [](auto& p) { p.power_control_offset_profile_nr = 24; });
  pdu("dig_bf_interfaces is 1", [](auto& p) { p.precoding_and_beamforming.dig_bf_interfaces = 1; });
  pdu("num_prgs is 2", [](auto& p) {
    p.precoding_and_beamforming = {.num_prgs = 2, .prg_size = 4};  // blocks 2 to 11: 3 groups
  });
  pdu("pm_idx[0] is 2",
      [](auto& p) { p.precoding_and_beamforming = {.num_prgs = 1, .pm_idx = {2}}; });
  pdu("pm_idx[0] is 9",
      [](auto& p) { p.precoding_and_beamforming = {.num_prgs = 1, .pm_idx = {9}}; });
}

TEST(Cell, SaysWhatIsMissingInTheSlot) {
  Downlink downlink;
  fapi::PdschPdu pdu = plain_pdsch();
  downlink.add(pdu);
  downlink.tx_data.n_pdus = 0;
  downlink.transmit();
  ASSERT_EQ(downlink.cell.refused().count, 1);
  EXPECT_EQ(words_of(downlink.cell.refused().list[0]),
            "DL_TTI.request 0.0, PDU 0 of RNTI 17: pdu_index is 100, allowed: that of a PDU in "
            "TX_DATA.request");
  const bool silent = std::ranges::all_of(downlink.samples, [](cf32 x) { return x == cf32(0); });
  EXPECT_TRUE(silent);

  // 17 PDUs: the message is named, the 16 that fit are sent.
  downlink.tx_data.n_pdus = downlink.dl_tti.n_pdus = 0;
  pdu.allocation.rb_size = 1;
  for (int i = 0; i < fapi::pdus_per_slot_max; ++i) {
    pdu.allocation.rb_start = static_cast<std::uint16_t>(i);
    pdu.rnti = static_cast<std::uint16_t>(i + 1);
    fit_blocks(downlink.limits, pdu);
    downlink.add(pdu);
  }
  downlink.dl_tti.n_pdus = 17;
  downlink.transmit();
  ASSERT_EQ(downlink.cell.refused().count, 1);
  EXPECT_NE(words_of(downlink.cell.refused().list[0]).find("n_pdus is 17"), std::string::npos);
  for (int i = 0; i < fapi::pdus_per_slot_max; ++i) EXPECT_NE(downlink.cell.sent(i), nullptr);

  // All bad.
  downlink.dl_tti.n_pdus = 16;
  for (auto& one : downlink.dl_tti.pdus) one.nr_of_layers = 77;
  downlink.transmit();
  EXPECT_EQ(downlink.cell.refused().count, 16);

  downlink.dl_tti.slot = 20;
  downlink.transmit();
  ASSERT_EQ(downlink.cell.refused().count, 1);
  EXPECT_STREQ(downlink.cell.refused().list[0].why.field, "slot");
}

TEST(Cell, RefusesAnUplinkPduWholeAndTheOthersGoOn) {
  const auto refused = [](const char* text, auto change) {
    SCOPED_TRACE(text);
    Uplink uplink;
    fapi::PuschPdu good = plain_pusch();
    good.rnti = 18;
    good.allocation.rb_start = 14;
    uplink.add(plain_pusch());
    uplink.add(good);
    const auto tb = uplink.send(good);
    change(uplink.ul_tti.pdus[0]);
    uplink.receive();
    ASSERT_EQ(uplink.cell.refused().count, 1);
    const RefusedPdu& no = uplink.cell.refused().list[0];
    EXPECT_TRUE(names_a_value(no)) << words_of(no);
    EXPECT_NE(words_of(no).find(text), std::string::npos) << words_of(no);
    ASSERT_EQ(uplink.report.rx_data.n_pdus, 1);
    EXPECT_TRUE(std::ranges::equal(uplink.report.rx_data.pdus[0].data, tb));
  };
  refused("pdu_bitmap is 0", [](auto& p) { p.pdu_bitmap = 0; });
  refused("pdu_bitmap is 17", [](auto& p) { p.pdu_bitmap = 17; });
  refused("rnti is 0", [](auto& p) { p.rnti = 0; });
  refused("rnti is 99", [](auto& p) { p.rnti = 99; });
  refused("nr_of_layers is 5", [](auto& p) { p.nr_of_layers = 5; });
  refused("vrb_to_prb_mapping is 1", [](auto& p) { p.allocation.vrb_to_prb_mapping = 1; });
  refused("intra_slot_frequency_hopping is 2", [](auto& p) { p.intra_slot_frequency_hopping = 2; });
  refused("tx_direct_current_location is 3302",
          [](auto& p) { p.tx_direct_current_location = 3302; });
  refused("uplink_frequency_shift_7p5khz is 1",
          [](auto& p) { p.uplink_frequency_shift_7p5khz = 1; });
  refused("data.tb_size is 0", [](auto& p) { p.data.tb_size = 0; });
  refused("tb_bits is 20008", [](auto& p) { p.data.tb_size = 2501; });  // 3 unequal blocks
  refused("data.num_cb is 3", [](auto& p) { p.data.num_cb = 3; });
  refused("data.harq_process_id is 16", [](auto& p) { p.data.harq_process_id = 16; });
  refused("new_data is 0", [](auto& p) { p.data.new_data = 0; });  // nothing to add to
  refused("transform_precoding is 2", [](auto& p) { p.transform_precoding = 2; });
  refused("group_or_sequence_hopping is 3",
          [](auto& p) { p.maintenance.group_or_sequence_hopping = 3; });
  refused("dfts_ofdm.low_papr_group_number is 1", [](auto& p) {
    p.transform_precoding = 0;
    p.pdu_bitmap |= fapi::pusch_bitmap_dfts_ofdm;
    p.dfts_ofdm.low_papr_group_number = 1;
  });
  refused("ptrs.num_ports is 3",
          [](auto& p) { p.pdu_bitmap |= fapi::pusch_bitmap_ptrs, p.ptrs.num_ports = 3; });
  refused("uci.harq_ack_bit_length is 0", [](auto& p) { p.pdu_bitmap |= fapi::pusch_bitmap_uci; });
  refused("uci.csi_part2_bit_length is 65535", [](auto& p) {
    p.pdu_bitmap |= fapi::pusch_bitmap_uci;
    p.uci = {.harq_ack_bit_length = 1, .csi_part2_bit_length = 65535};
  });
  refused("uci.beta_offset_harq_ack is 16", [](auto& p) {
    p.pdu_bitmap |= fapi::pusch_bitmap_uci;
    p.uci = {.harq_ack_bit_length = 1, .beta_offset_harq_ack = 16};
  });
  // 1706 bits do not fit beside the data.
  refused(" is ", [](auto& p) {
    p.pdu_bitmap |= fapi::pusch_bitmap_uci;
    p.uci = {.csi_part1_bit_length = 1706, .beta_offset_csi1 = 18};
    p.allocation.rb_size = 1;
    fit_blocks(sample_cell(), p);
  });
}

// Two transmissions of one process: right with the same block, refused with another one.
TEST(Cell, ARetransmissionMustFitItsProcess) {
  Uplink uplink;
  fapi::PuschPdu pdu = plain_pusch();
  uplink.add(pdu);
  uplink.receive();  // silence
  EXPECT_EQ(uplink.report.crc.crcs[0].tb_crc_status, 1);
  fapi::PuschPdu& again = uplink.ul_tti.pdus[0];
  again.data.new_data = 0;
  const auto tb = uplink.send(again);
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 0);
  ASSERT_EQ(uplink.report.rx_data.n_pdus, 1);
  EXPECT_TRUE(std::ranges::equal(uplink.report.rx_data.pdus[0].data, tb));
  again.allocation.rb_size = 5;
  fit_blocks(uplink.limits, again);
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 1);
  EXPECT_STREQ(uplink.cell.refused().list[0].why.field, "tb_bits");

  // The same process twice in a slot: the second would add to what the first has changed.
  uplink.ul_tti.pdus[0] = pdu;
  pdu.allocation.rb_start = 14;
  uplink.add(pdu);
  uplink.receive();
  ASSERT_EQ(uplink.cell.refused().count, 1);
  EXPECT_STREQ(uplink.cell.refused().list[0].why.field, "data.harq_process_id");
}

TEST(Cell, ATableOfMatricesMustBeOne) {
  const auto refused = [](const char* text, auto change) {
    fapi::ConfigRequest config = sample_config();
    change(config);
    const auto table = PrecodingTable::make(config);
    ASSERT_FALSE(table.ok()) << text;
    EXPECT_NE(table.error().message.find(text), std::string::npos) << table.error().message;
  };
  refused("num_precoding_matrices is 65", [](auto& c) { c.num_precoding_matrices = 65; });
  refused("precoding_matrices[2].pm_idx is 1", [](auto& c) { c.precoding_matrices[2].pm_idx = 1; });
  refused("precoding_matrices[0].pm_idx is 0", [](auto& c) { c.precoding_matrices[0].pm_idx = 0; });
  refused("precoding_matrices[1].num_ant_ports is 9",
          [](auto& c) { c.precoding_matrices[1].num_ant_ports = 9; });
  refused("precoding_matrices[8].num_layers is 5",
          [](auto& c) { c.precoding_matrices[8].num_layers = 5; });
}

// TS 38.212 5.4.2.1 by hand: 100 000 bits are 12 code blocks of base graph 1 (100 024 / 8424).
TEST(Cell, LimitedBufferFollowsTheCodeBlocks) {
  EXPECT_EQ(limited_buffer_bits(100'000, 9000, 120'000), 120'000 * 3 / 2 / 12);
  EXPECT_EQ(limited_buffer_bits(8424, 9000, 120'000), 180'000);      // 8448 with its CRC: one
  EXPECT_EQ(limited_buffer_bits(8432, 9000, 120'000), 180'000 / 2);  // 8456: two
  EXPECT_EQ(limited_buffer_bits(3824, 6860, 120'000), 180'000);      // base graph 2, 3840 bits
}

}  // namespace
}  // namespace noroshi::site
