// Catches: a PDSCH that is sent over an SSB or CSI-RS that it names, or that the handset reads
// otherwise; a signal or a PDSCH beside it that is refused without field and value.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "nr/mcs.h"
#include "nr/reserved_signals.h"
#include "site/cell_loop_test.h"

namespace noroshi::site {
namespace {

// PDSCHs beside, over and around random SSBs and CSI-RS: a handset that is told the same hears
// every block, and what is not the PDSCH's stays silent.
TEST(Cell, GoesAroundSsbAndCsiRs) {
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed, 7);
  int sent = 0, over_ssb = 0, refused = 0;
  air::Handset handset(sample_cell().carrier, 17, 1, {},
                       {.receive_antennas = 8, .downlink_layers = 8});
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    Downlink downlink;
    fapi::DlTtiRequest& request = downlink.dl_tti;
    request.slot = static_cast<std::uint16_t>(prng.below(20));
    const bool half = request.slot % 10 < 4;
    request.n_ssbs = half ? static_cast<int>(prng.below(3)) : 0;
    for (int s = 0; s < request.n_ssbs; ++s)
      request.ssbs[static_cast<std::size_t>(s)] = {
          .ssb_pdu_index = static_cast<std::uint16_t>(s),
          .ssb_block_index = static_cast<std::uint8_t>(2 * (request.slot % 10) + s),
          .ssb_subcarrier_offset = static_cast<std::uint8_t>(2 * prng.below(6)),
          .ssb_offset_point_a = static_cast<std::uint16_t>(prng.below(7))};
    fapi::PdschPdu pdu = plain_pdsch();
    pdu.maintenance.num_csi_rs_for_rate_matching = static_cast<std::uint8_t>(prng.below(4));
    request.n_csi_rs = pdu.maintenance.num_csi_rs_for_rate_matching;
    for (int c = 0; c < request.n_csi_rs; ++c) {
      const auto at = static_cast<std::size_t>(c);
      pdu.maintenance.csi_rs_for_rate_matching[at] = static_cast<std::uint16_t>(c);
      fapi::CsiRsPdu& csi_rs = request.csi_rs[at];
      const std::uint8_t row = static_cast<std::uint8_t>(1 + prng.below(18));
      csi_rs = {.csi_rs_pdu_index = static_cast<std::uint16_t>(c),
                .start_rb = static_cast<std::uint16_t>(prng.below(12)),
                .nr_of_rbs = static_cast<std::uint16_t>(1 + prng.below(12)),
                .csi_type = static_cast<std::uint8_t>(prng.below(3)),
                .row = row,
                .freq_domain = static_cast<std::uint16_t>(1u << prng.below(3)),
                .symb_l0 = static_cast<std::uint8_t>(3 + prng.below(8)),
                .symb_l1 = static_cast<std::uint8_t>(12),
                .cdm_type = static_cast<std::uint8_t>(nr::csi_rs_cdm_type(row)),
                .freq_density = static_cast<std::uint8_t>(row == 1 ? 3 : 2)};
      constexpr int bits[] = {1, 1, 1, 1, 1, 4, 2, 2, 6, 3, 4, 4, 3, 3, 3, 4, 4, 4};
      if (bits[row - 1] > 1)
        csi_rs.freq_domain = static_cast<std::uint16_t>((1u << bits[row - 1]) - 1);
    }
    for (int s = 0; s < request.n_ssbs; ++s)
      pdu.maintenance.ssb_pdus_for_rate_matching[static_cast<std::size_t>(s)] =
          static_cast<std::uint16_t>(s);
    pdu.dmrs.dmrs_symb_pos = static_cast<std::uint16_t>(1 << (prng.below(2) == 0 ? 2 : 7));
    pdu.allocation.rb_start = static_cast<std::uint16_t>(prng.below(20));
    pdu.allocation.rb_size =
        static_cast<std::uint16_t>(1 + prng.below(24u - pdu.allocation.rb_start));
    pdu.codewords[0].target_code_rate = 1500;
    pdu.codewords[0].tb_size = static_cast<std::uint32_t>(
        nr::transport_block_bits(132, pdu.allocation.rb_size, {nr::Modulation::qam16, 1500}, 1) /
        8);
    downlink.add(pdu);
    downlink.transmit();
    if (downlink.cell.sent(0) == nullptr) {  // DM-RS in the way, or too little left
      ++refused;
      for (int i = 0; i < downlink.cell.refused().count; ++i)
        ASSERT_TRUE(names_a_value(downlink.cell.refused().list[static_cast<std::size_t>(i)]));
      continue;
    }
    ++sent;
    ASSERT_EQ(downlink.cell.refused().count, 0);
    const nr::SharedChannel& channel = *downlink.cell.sent(0);
    for (int s = 0; s < request.n_ssbs; ++s)
      over_ssb += (channel.reserved[static_cast<std::size_t>(s)].rbs & channel.rbs).any() ? 1 : 0;
    const auto report =
        handset.receive_pdsch(request.slot, channel, 0, true, downlink.samples_view());
    ASSERT_TRUE(report.phy.crc_ok) << pdu.allocation.rb_size;
    ASSERT_TRUE(std::ranges::equal(report.tb[0], downlink.tx_data.pdus[0].data[0]));
  }
  std::printf("%d sent, %d of them over an SSB; %d refused\n", sent, over_ssb, refused);
  EXPECT_GT(sent, 100);
  EXPECT_GT(over_ssb, 20);
  EXPECT_GT(refused, 20);
}

TEST(Cell, NoPdschGetsTheBlocksOfAnSsb) {
  Downlink downlink;
  add_signals(downlink.dl_tti);
  fapi::PdschPdu pdu = plain_pdsch();
  pdu.dmrs.dmrs_symb_pos = 1 << 2;
  fit_blocks(downlink.limits, pdu);
  downlink.add(pdu);  // does not name it
  downlink.transmit();
  ASSERT_EQ(downlink.cell.refused().count, 1);
  EXPECT_STREQ(downlink.cell.refused().list[0].why.field, "resource block");
  downlink.dl_tti.pdus[0].maintenance.ssb_pdus_for_rate_matching[1] = 7;
  downlink.transmit();
  EXPECT_EQ(downlink.cell.refused().count, 0);
  downlink.dl_tti.pdus[0].dmrs.dmrs_symb_pos = 1 << 2 | 1 << 11;  // its last symbol
  downlink.transmit();
  ASSERT_EQ(downlink.cell.refused().count, 1);
  EXPECT_NE(words_of(downlink.cell.refused().list[0]).find("dmrs.dmrs_symb_pos is 2052"),
            std::string::npos);
}

TEST(Cell, RefusesSignalsByNameAndThePdschThatNamesThem) {
  const auto refused = [](const char* text, auto change) {
    SCOPED_TRACE(text);
    Downlink downlink;
    add_signals(downlink.dl_tti);
    fapi::PdschPdu pdu = plain_pdsch();  // goes on
    pdu.allocation.nr_of_symbols = 3;
    pdu.dmrs.dmrs_symb_pos = 1 << 2;
    fit_blocks(downlink.limits, pdu);
    downlink.add(pdu);
    change(downlink.dl_tti);
    downlink.transmit();
    ASSERT_EQ(downlink.cell.refused().count, 1);
    const RefusedPdu& no = downlink.cell.refused().list[0];
    EXPECT_TRUE(names_a_value(no)) << words_of(no);
    EXPECT_NE(words_of(no).find(text), std::string::npos) << words_of(no);
    EXPECT_NE(downlink.cell.sent(0), nullptr);
  };
  const auto ssb = [&](const char* text, auto change) {
    refused(text, [&](fapi::DlTtiRequest& d) { change(d.ssbs[0]); });
  };
  const auto csi_rs = [&](const char* text, auto change) {
    refused(text, [&](fapi::DlTtiRequest& d) { change(d.csi_rs[1]); });
  };
  refused("n_ssbs is 3", [](auto& d) { d.n_ssbs = 3, d.ssbs[1] = d.ssbs[0]; });
  refused("n_csi_rs is -1", [](auto& d) { d.n_csi_rs = -1; });
  ssb("ssbs[0].phys_cell_id is 1008", [](auto& p) { p.phys_cell_id = 1008; });
  ssb("ssbs[0].subcarrier_spacing is 0", [](auto& p) { p.subcarrier_spacing = 0; });
  ssb("ssbs[0].l_max is 64", [](auto& p) { p.l_max = 64; });
  ssb("ssbs[0].ssb_block_index is 8", [](auto& p) { p.ssb_block_index = 8; });
  ssb("ssbs[0].ssb_block_index is 2", [](auto& p) { p.ssb_block_index = 2; });  // slot 1
  ssb("ssbs[0].ssb_case is 0", [](auto& p) { p.ssb_case = 0; });
  ssb("ssbs[0].ssb_case is 255", [](auto& p) { p.ssb_case = 255; });
  ssb("ssbs[0].ssb_offset_point_a is 9", [](auto& p) { p.ssb_offset_point_a = 9; });
  ssb("ssbs[0].ssb_subcarrier_offset is 25", [](auto& p) { p.ssb_subcarrier_offset = 25; });
  csi_rs("csi_rs[1].row is 0", [](auto& p) { p.row = 0; });
  csi_rs("csi_rs[1].row is 255", [](auto& p) { p.row = 255; });
  csi_rs("csi_rs[1].csi_type is 3", [](auto& p) { p.csi_type = 3; });
  csi_rs("csi_rs[1].freq_domain is 1", [](auto& p) { p.freq_domain = 1; });
  csi_rs("csi_rs[1].freq_density is 4", [](auto& p) { p.freq_density = 4; });
  csi_rs("csi_rs[1].symb_l0 is 13", [](auto& p) { p.symb_l0 = 13; });
  csi_rs("csi_rs[1].symb_l1 is 13", [](auto& p) { p.row = 14, p.freq_domain = 7, p.symb_l1 = 13; });
  csi_rs("csi_rs[1].cdm_type is 1", [](auto& p) { p.cdm_type = 1; });
  csi_rs("csi_rs[1].start_rb is 24", [](auto& p) { p.start_rb = 24; });
  csi_rs("csi_rs[1].nr_of_rbs is 21", [](auto& p) { p.nr_of_rbs = 21; });
  csi_rs("csi_rs[1].scramb_id is 1024", [](auto& p) { p.scramb_id = 1024; });
  csi_rs("csi_rs[1].subcarrier_spacing is 2", [](auto& p) { p.subcarrier_spacing = 2; });
  csi_rs("csi_rs[1].cyclic_prefix is 1", [](auto& p) { p.cyclic_prefix = 1; });

  Downlink downlink;
  add_signals(downlink.dl_tti);
  downlink.dl_tti.ssbs[0].ssb_case = 9;
  downlink.add(sample_pdschs()[10].pdu);
  ASSERT_TRUE(names_signals(downlink.dl_tti.pdus[0]));
  downlink.transmit();
  ASSERT_EQ(downlink.cell.refused().count, 2);
  EXPECT_STREQ(downlink.cell.refused().list[1].why.field, "ssb_pdus_for_rate_matching[#]");
}

}  // namespace
}  // namespace noroshi::site
