// Catches: HARQ-ACK that is asked for on PUSCH and lost or doubled, UCI that leaves the data no
// room.

#include <gtest/gtest.h>

#include <cstdio>

#include "mac/answer_test.h"
#include "mac/toy_cell.h"

namespace noroshi::mac {
namespace {

// Answers the UCI that a PUSCH carries: all was received, at 20 dB.
void answer_uci(Mac& mac, const SlotPlan& plan, const Grant& grant, bool detected) {
  const fapi::PuschPdu& pdu = plan.ul_tti.pdus[static_cast<std::size_t>(grant.pdu)];
  fapi::PuschUciIndication indication;
  indication.n_ucis = 1;
  auto& heard = indication.ucis[0];
  heard.handle = pdu.handle;
  heard.rnti = grant.rnti;
  heard.harq.bit_len = pdu.uci.harq_ack_bit_length;
  heard.harq.detection = detected ? fapi::UciDetection::no_dtx : fapi::UciDetection::dtx;
  heard.harq.payload.fill(0xff);
  heard.csi_part1.bit_len = csi_bits;
  heard.csi_part1.detection = fapi::UciDetection::no_dtx;
  heard.csi_part1.payload[0] = static_cast<std::uint8_t>(sinr_to_csi(20) << 1);
  mac.on_pusch_uci(indication);
  mac.on_pusch_uci(indication);  // twice: the second answers nothing
}

// Each PDSCH is asked for once, its HARQ-ACK counts once, and one that is not detected times out.
TEST(Mac, HarqAckComesOnPusch) {
  MacConfig config = toy::config(3);
  config.uci_on_pusch = true;
  config.handsets[2].uplink.kind = Traffic::Kind::none;  // its UCI goes alone
  config.handsets[2].transmit_antennas = 2;
  Mac mac(config);
  auto plan = std::make_unique<SlotPlan>();
  Prng prng(12);
  std::map<std::tuple<int, int>, SlotCount> waiting;
  std::uint64_t acks = 0, alone = 0, lost = 0;
  for (SlotCount slot = 0; slot < 2000; ++slot) {
    mac.on_slot(slot, *plan);
    for (int g = 0; g < plan->n_grants; ++g) {
      const Grant& grant = plan->grants[g];
      if (!grant.uplink) {
        waiting[{grant.rnti, grant.harq_id}] = slot;
        continue;
      }
      const fapi::PuschPdu& pdu = plan->ul_tti.pdus[static_cast<std::size_t>(grant.pdu)];
      const bool data = (pdu.pdu_bitmap & fapi::pusch_bitmap_data) != 0;
      if (data) answer(mac, *plan, grant, true, 20);
      const bool uci = (pdu.pdu_bitmap & fapi::pusch_bitmap_uci) != 0;
      ASSERT_EQ(uci, grant.n_acks > 0);
      ASSERT_TRUE(data || uci);
      if (!uci) continue;
      ASSERT_EQ(pdu.uci.harq_ack_bit_length, grant.n_acks);  // one codeword each
      ASSERT_EQ(pdu.uci.csi_part1_bit_length, csi_bits);
      alone += data ? 0 : 1;
      const bool detected = prng.below(20) != 0;
      for (int a = 0; a < grant.n_acks; ++a) {
        const std::tuple key{grant.rnti, grant.acks[static_cast<std::size_t>(a)].harq_id};
        ASSERT_TRUE(waiting.contains(key)) << "asked for twice";
        ASSERT_GE(slot - waiting[key], 3);
        waiting.erase(key);
      }
      (detected ? acks : lost) += static_cast<std::uint64_t>(grant.n_acks);
      answer_uci(mac, *plan, grant, detected);
    }
  }
  EXPECT_EQ(mac.downlink().tb_ok, acks);
  EXPECT_GT(acks, 1000u);
  EXPECT_GT(alone, 50u);
  EXPECT_GT(lost, 10u);
  EXPECT_GT(mac.uplink().uci_lost, 0u);
  EXPECT_GE(mac.downlink().feedback_timeouts, lost - 16 * 3);
  EXPECT_NEAR(csi_to_sinr_db(sinr_to_csi(17.3)).value(), 17.3, 0.26);
  EXPECT_EQ(csi_to_sinr_db(sinr_to_csi(-90)), -11.5);
  EXPECT_EQ(csi_to_sinr_db(sinr_to_csi({})), std::nullopt);
}

// Handsets whose HARQ-ACK waits keep none from sending data, and where UCI takes elements the MCS
// leaves room for it: no code rate above 0.95.
TEST(Mac, UciLeavesRoomForData) {
  MacConfig config = toy::config(6);
  config.uci_on_pusch = true;
  config.handsets_per_slot_max = 2;
  for (std::size_t i : {4, 5}) {  // a few blocks each
    Traffic& uplink = config.handsets[i].uplink;
    uplink.kind = Traffic::Kind::poisson;
    uplink.packet_bytes = 300;
  }
  Mac mac(config);
  auto plan = std::make_unique<SlotPlan>();
  int slots_without_data = 0, small = 0;
  for (SlotCount slot = 0; slot < 2000; ++slot) {
    mac.on_slot(slot, *plan);
    int data = 0;
    for (int g = 0; g < plan->n_grants; ++g) {
      const Grant& grant = plan->grants[g];
      if (!grant.uplink) continue;
      const fapi::PuschPdu& pdu = plan->ul_tti.pdus[static_cast<std::size_t>(grant.pdu)];
      const bool uci = (pdu.pdu_bitmap & fapi::pusch_bitmap_uci) != 0;
      if ((pdu.pdu_bitmap & fapi::pusch_bitmap_data) != 0) {
        ++data;
        answer(mac, *plan, grant, true, 40);
        const int symbols = 14 - __builtin_popcount(pdu.dmrs.dmrs_symb_pos);
        const int elements = 12 * symbols * pdu.allocation.rb_size;
        const int taken = uci ? 4 * (pdu.uci.harq_ack_bit_length + csi_bits) : 0;
        small += uci && pdu.allocation.rb_size <= 8 ? 1 : 0;
        EXPECT_LT(8.0 * pdu.data.tb_size, 0.96 * pdu.qam_mod_order * (elements - taken))
            << pdu.allocation.rb_size << " blocks";
      }
      if (uci) answer_uci(mac, *plan, grant, true);
    }
    slots_without_data += config.pattern.kind(slot) == nr::SlotKind::uplink && data == 0 ? 1 : 0;
  }
  EXPECT_EQ(slots_without_data, 0);
  EXPECT_GT(small, 20);
}

}  // namespace
}  // namespace noroshi::mac
