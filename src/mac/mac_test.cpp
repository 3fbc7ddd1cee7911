// Catches: requests outside the carrier or overlapping, HARQ processes used twice, retransmissions
// of another size or other bytes, wrong redundancy versions, feedback that is lost, late or
// unknown, allocation in the slot, and runs that a seed does not repeat.

#include "mac/mac.h"

#include <gtest/gtest.h>

#include <bitset>
#include <cstdio>
#include <map>
#include <tuple>

#include "base/bench.h"
#include "mac/answer_test.h"
#include "mac/toy_cell.h"
#include "nr/resource_allocation.h"

namespace noroshi::mac {

std::int64_t allocation_count();  // allocation_count_test.cpp

namespace {

// What the test remembers of a process.
struct Seen {
  bool in_flight = false;
  bool answered_nack = false;  // heard by the MAC
  SlotCount slot = -1;
  int transmissions = 0;
  std::uint32_t tb_size = 0;
  std::uint16_t rate = 0;
  std::uint8_t order = 0;
  int rv_next = 0;
  std::uint64_t hash = 0;
};

MacConfig random_config(Prng& prng) {
  MacConfig config = toy::config(1 + static_cast<int>(prng.below(6)));
  const int scs_khz = prng.below(2) == 0 ? 15 : 30;
  const int bandwidths[] = {5, 10, 20, 40, 50};
  config.carrier = nr::make_carrier(scs_khz, bandwidths[prng.below(5)]).value();
  const char* patterns[] = {"FDD", "DDDSU", "DSUUU", "DDSUU", "DDDDDDDSUU"};
  config.pattern = nr::make_duplex_pattern(patterns[prng.below(5)], scs_khz).value();
  config.pattern.special_downlink_symbols = static_cast<int>(prng.below(13));
  config.pattern.special_uplink_symbols = 0;
  config.mcs_table = static_cast<nr::McsTable>(1 + prng.below(3));
  config.dmrs_additional_positions = static_cast<int>(prng.below(4));
  config.transmissions_max = 1 + static_cast<int>(prng.below(5));
  config.handsets_per_slot_max = 1 + static_cast<int>(prng.below(5));
  config.transmit_antennas = 1 + static_cast<int>(prng.below(8));
  config.receive_antennas = 1 + static_cast<int>(prng.below(8));
  config.downlink_layers_max = 1 + static_cast<int>(prng.below(config.transmit_antennas));
  config.uplink_layers_max = 1 + static_cast<int>(prng.below(std::min(config.receive_antennas, 4)));
  config.uplink_group_layers =
      1 + static_cast<int>(prng.below(std::min(config.receive_antennas, 4)));
  config.precoding_group_rbs = static_cast<int>(prng.below(3)) * 4;
  // Waveforms, where they go with the rest.
  const MacConfig plain = config;
  config.allocation_type = static_cast<int>(prng.below(2));
  config.hopping = static_cast<Hopping>(prng.below(3));
  config.hopping_offset_rbs =
      static_cast<int>(prng.below(static_cast<std::uint64_t>(config.carrier.rb_count)));
  config.transform_precoding = prng.below(2) == 0;
  config.downlink_ptrs = prng.below(2) == 0;
  config.uplink_ptrs = prng.below(2) == 0;
  config.ptrs_time_density = 1 << prng.below(3);
  if (config.transform_precoding) config.uplink_layers_max = config.uplink_group_layers = 1;
  if (refuse_combination(config)) config = plain;
  for (HandsetConfig& handset : config.handsets) {
    handset.transmit_antennas = 1 << prng.below(3);
    handset.receive_antennas = 1 + static_cast<int>(prng.below(8));
  }
  for (HandsetConfig& handset : config.handsets) {
    for (Traffic* traffic : {&handset.downlink, &handset.uplink}) {
      const auto kind = prng.below(4);
      traffic->kind = kind == 0   ? Traffic::Kind::none
                      : kind == 1 ? Traffic::Kind::poisson
                                  : Traffic::Kind::full_buffer;
      traffic->mbps = 1 + 20 * prng.uniform();
      traffic->packet_bytes = 1 + static_cast<int>(prng.below(3000));
    }
  }
  config.seed = prng();
  return config;
}

// Checks everything about a slot's plan that does not depend on the past.
// Of a block: who has it.
struct Owner {
  int group = -1;
  std::uint16_t ports = 0;
};

int group_of(const fapi::UlTtiRequest& request, int pdu) {
  for (int g = 0; g < request.n_groups; ++g) {
    const auto& group = request.groups[static_cast<std::size_t>(g)];
    for (int i = 0; i < group.n_ue; ++i)
      if (group.pdu_idx[static_cast<std::size_t>(i)] == pdu) return g;
  }
  return -1;
}

std::bitset<nr::rb_max> blocks_of(const fapi::Allocation& allocation) {
  std::bitset<nr::rb_max> blocks;
  for (int rb = 0; rb < nr::rb_max; ++rb)
    if (allocation.resource_alloc == 0
            ? (allocation.rb_bitmap[static_cast<std::size_t>(rb / 8)] >> rb % 8 & 1) != 0
            : rb >= allocation.rb_start && rb < allocation.rb_start + allocation.rb_size)
      blocks.set(static_cast<std::size_t>(rb));
  return blocks;
}

// Groups whole, a DFT of 2, 3, 5, and the second hop inside the carrier, no block of it twice.
void check_waveform(const MacConfig& config, const fapi::Allocation& allocation,
                    const fapi::PuschPdu* pusch, std::bitset<nr::rb_max>& second_hops) {
  const std::bitset<nr::rb_max> blocks = blocks_of(allocation);
  ASSERT_EQ(allocation.resource_alloc, config.allocation_type);
  if (config.allocation_type == 0) {
    const int size = nr::rbg_size(config.carrier.rb_count, 1);
    for (int rb = 0; rb < config.carrier.rb_count; ++rb) {
      ASSERT_EQ(blocks[static_cast<std::size_t>(rb)],
                blocks[static_cast<std::size_t>(rb / size * size)]);
    }
  }
  if (pusch == nullptr) return;
  if (config.transform_precoding) {
    auto rest = blocks.count();
    for (const std::size_t factor : {2, 3, 5})
      while (rest % factor == 0) rest /= factor;
    ASSERT_EQ(rest, 1u);
  }
  if (pusch->intra_slot_frequency_hopping == 0) return;
  const int second = pusch->maintenance.pusch_second_hop_prb;
  const int offset =
      config.hopping_offset_rbs > 0 ? config.hopping_offset_rbs : config.carrier.rb_count / 2;
  ASSERT_EQ(second, (allocation.rb_start + offset) % config.carrier.rb_count);
  ASSERT_LE(second + allocation.rb_size, config.carrier.rb_count);
  for (int rb = second; rb < second + allocation.rb_size; ++rb) {
    if (config.uplink_group_layers == 1) {
      ASSERT_FALSE(second_hops[static_cast<std::size_t>(rb)]);
    }
    second_hops.set(static_cast<std::size_t>(rb));
  }
}

void check_plan(const MacConfig& config, const SlotPlan& plan, SlotCount slot) {
  const SlotName name = slot_name(slot, config.carrier.scs_khz);
  ASSERT_EQ(plan.slot, slot);
  ASSERT_EQ(plan.dl_tti.sfn, name.sfn);
  ASSERT_EQ(plan.ul_tti.slot, name.slot);
  ASSERT_EQ(plan.tx_data.n_pdus, plan.dl_tti.n_pdus);
  ASSERT_EQ(plan.n_grants, plan.dl_tti.n_pdus + plan.ul_tti.n_pdus);
  ASSERT_LE(plan.dl_tti.n_pdus, config.handsets_per_slot_max);
  ASSERT_LE(plan.ul_tti.n_pdus, fapi::pdus_per_slot_max);
  ASSERT_LE(plan.ul_tti.n_pdus - plan.ul_tti.n_groups, config.handsets_per_slot_max);
  const nr::SlotKind kind = config.pattern.kind(slot);
  if (kind == nr::SlotKind::uplink) {
    ASSERT_EQ(plan.dl_tti.n_pdus, 0);
  }
  if (kind == nr::SlotKind::downlink || kind == nr::SlotKind::special) {
    ASSERT_EQ(plan.ul_tti.n_pdus, 0);
  }
  std::array<std::array<Owner, nr::rb_max>, 2> owners{};
  std::bitset<nr::rb_max> second_hops;
  for (int g = 0; g < plan.n_grants; ++g) {
    const Grant& grant = plan.grants[g];
    const toy::Block pdu = toy::block_of(plan, grant);
    const auto at = static_cast<std::size_t>(grant.pdu);
    ASSERT_EQ(grant.uplink ? plan.ul_tti.pdus[at].rnti : plan.dl_tti.pdus[at].rnti, grant.rnti);
    const std::bitset<nr::rb_max> blocks = blocks_of(pdu.allocation);
    ASSERT_TRUE(blocks.any());
    ASSERT_TRUE((blocks >> static_cast<std::size_t>(config.carrier.rb_count)).none());
    check_waveform(config, pdu.allocation, grant.uplink ? &plan.ul_tti.pdus[at] : nullptr,
                   second_hops);
    if (testing::Test::HasFatalFailure()) return;
    ASSERT_LE(pdu.layers, grant.uplink ? config.uplink_layers_max : config.downlink_layers_max);
    ASSERT_EQ(__builtin_popcount(pdu.dmrs.dmrs_ports), pdu.layers);
    ASSERT_EQ(pdu.codewords, pdu.layers > 4 ? 2 : 1);
    // Blocks that another one has only in its group, with ports of one's own.
    const int group = grant.uplink ? group_of(plan.ul_tti, grant.pdu) : -1;
    for (int rb = 0; rb < config.carrier.rb_count; ++rb) {
      if (!blocks[static_cast<std::size_t>(rb)]) continue;
      Owner& owner = owners[grant.uplink ? 1 : 0][static_cast<std::size_t>(rb)];
      ASSERT_TRUE(owner.ports == 0 || (group >= 0 && owner.group == group))
          << "slot " << slot << " block " << rb;
      ASSERT_EQ(owner.ports & pdu.dmrs.dmrs_ports, 0);
      owner.group = group;
      owner.ports |= pdu.dmrs.dmrs_ports;
      ASSERT_LE(__builtin_popcount(owner.ports),
                grant.uplink ? std::max(config.uplink_group_layers, config.uplink_layers_max)
                             : config.downlink_layers_max);
    }
    const int end = pdu.allocation.start_symbol_index + pdu.allocation.nr_of_symbols;
    ASSERT_LE(end, kind == nr::SlotKind::special ? config.pattern.special_downlink_symbols : 14);
    ASSERT_NE(pdu.dmrs.dmrs_symb_pos, 0);
    ASSERT_EQ(pdu.dmrs.dmrs_symb_pos >> end, 0);
    ASSERT_EQ(pdu.dmrs.dmrs_symb_pos & ((1 << pdu.allocation.start_symbol_index) - 1), 0);
    if (!grant.uplink) {
      const auto& data = plan.tx_data.pdus[grant.pdu];
      ASSERT_EQ(data.pdu_index, plan.dl_tti.pdus[grant.pdu].pdu_index);
      ASSERT_EQ(data.data[0].size() + data.data[1].size(), pdu.tb_size);
    }
    // An index that names a code rate also gives the size, TS 38.214 5.1.3.2.
    const bool dft = grant.uplink && config.transform_precoding && pdu.mcs_table >= 3;
    const auto table = static_cast<nr::McsTable>(pdu.mcs_table + (dft ? 2 : 1));
    const auto mcs = nr::mcs(table, pdu.mcs_index);
    if (mcs) {
      const int data_symbols =
          pdu.allocation.nr_of_symbols - __builtin_popcount(pdu.dmrs.dmrs_symb_pos);
      int bits = 0;
      for (int q = 0; q < pdu.codewords; ++q)
        bits += nr::transport_block_bits(12 * data_symbols, static_cast<int>(blocks.count()), *mcs,
                                         (pdu.layers + q) / pdu.codewords);
      ASSERT_EQ(pdu.tb_size * 8u, static_cast<unsigned>(bits));
      ASSERT_EQ(mcs->code_rate_x10240, pdu.rate);
    } else {
      ASSERT_FALSE(grant.new_data && pdu.mcs_index <= nr::mcs_index_max(table));
      ASSERT_LE(pdu.mcs_index, 31);
    }
  }
}

TEST(Mac, RequestsAreLawfulWhateverTheFeedback) {
  const std::uint64_t seed = 1;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  auto plan = std::make_unique<SlotPlan>();
  std::uint64_t retransmissions = 0;
  for (std::uint64_t round = 0; round < 30; ++round) {
    SCOPED_TRACE(round);
    Prng prng(seed, round);
    const MacConfig config = random_config(prng);
    Mac mac(config);
    const double loss = 0.1 * prng.uniform();
    const double nack = 0.6 * prng.uniform();
    std::map<std::tuple<bool, int, int>, Seen> seen;
    SlotCount slot = 0;
    for (int i = 0; i < 600; ++i) {
      slot += 1 + (prng.below(50) == 0 ? static_cast<SlotCount>(prng.below(30)) : 0);
      mac.on_slot(slot, *plan);
      check_plan(config, *plan, slot);
      if (HasFatalFailure()) return;
      for (int g = 0; g < plan->n_grants; ++g) {
        const Grant& grant = plan->grants[g];
        const toy::Block pdu = toy::block_of(*plan, grant);
        Seen& process = seen[{grant.uplink, grant.rnti, grant.harq_id}];
        if (process.in_flight) {  // only after its time-out, and then as new data
          ASSERT_GE(slot - process.slot, feedback_timeout_slots);
          ASSERT_TRUE(grant.new_data);
        }
        if (!grant.new_data) {
          ++retransmissions;
          ASSERT_TRUE(process.answered_nack);
          ASSERT_EQ(pdu.tb_size, process.tb_size);
          ASSERT_EQ(pdu.rate, process.rate);
          ASSERT_EQ(pdu.order, process.order);
          ++process.transmissions;
          ASSERT_LE(process.transmissions, config.transmissions_max);
        } else {
          process.transmissions = 1;
          process.rv_next = 0;
        }
        constexpr int rvs[] = {0, 2, 3, 1};
        ASSERT_EQ(pdu.rv_index, rvs[process.rv_next++ % 4]);
        if (!grant.uplink) {
          const auto& data = plan->tx_data.pdus[grant.pdu].data;
          const std::uint64_t hash = hash_bytes(data[1].data(), data[1].size(),
                                                hash_bytes(data[0].data(), data[0].size()));
          if (!grant.new_data) {
            ASSERT_EQ(hash, process.hash);
          }
          process.hash = hash;
        }
        process.tb_size = pdu.tb_size;
        process.rate = pdu.rate;
        process.order = pdu.order;
        process.slot = slot;
        process.in_flight = true;
        process.answered_nack = false;
        if (prng.uniform() < loss) continue;
        const bool ok = prng.uniform() >= nack;
        answer(mac, *plan, grant, ok, 30 * prng.uniform());
        process.in_flight = false;
        process.answered_nack = !ok;
      }
    }
  }
  EXPECT_GT(retransmissions, 1000u);
}

TEST(Mac, FeedbackThatNeverComesTimesOut) {
  MacConfig config = toy::config(1);
  config.transmissions_max = 3;
  Mac mac(config);
  auto plan = std::make_unique<SlotPlan>();
  std::map<int, int> sent;  // harq_id
  constexpr SlotCount end = 4 * unanswered_factor * feedback_timeout_slots;
  for (SlotCount slot = 0; slot < end; ++slot) {
    // Three transmissions that nobody answered are not three failures.
    if (slot == 130) {
      EXPECT_EQ(mac.downlink().tb_lost, 0u);
    }
    mac.on_slot(slot, *plan);
    for (int g = 0; g < plan->n_grants; ++g) {
      EXPECT_TRUE(plan->grants[g].new_data);  // nobody knows what the handset kept
      if (!plan->grants[g].uplink) ++sent[plan->grants[g].harq_id];
    }
  }
  EXPECT_EQ(sent.size(), 16u);
  EXPECT_GT(mac.downlink().tb_lost, 0u);
  EXPECT_GE(mac.downlink().feedback_timeouts, 3 * unanswered_factor * mac.downlink().tb_lost);
  EXPECT_EQ(mac.downlink().tb_ok, 0u);

  // What comes after all answers nothing any more.
  const std::uint64_t lost = mac.downlink().tb_lost;
  const SlotPlan old = *plan;
  for (SlotCount slot = end; slot < end + 70; ++slot) mac.on_slot(slot, *plan);
  for (int g = 0; g < old.n_grants; ++g) answer(mac, old, old.grants[g], true, 20);
  EXPECT_GT(mac.downlink().feedback_stale + mac.uplink().feedback_stale, 0u);
  EXPECT_EQ(mac.downlink().tb_ok + mac.uplink().tb_ok, 0u);
  EXPECT_GE(mac.downlink().tb_lost, lost);
}

TEST(Mac, FeedbackOfAnEarlierTransmissionIsIgnored) {
  for (const bool uplink : {false, true}) {
    SCOPED_TRACE(uplink);
    MacConfig config = toy::config(1);
    auto& silent = uplink ? config.handsets[0].downlink : config.handsets[0].uplink;
    silent.kind = Traffic::Kind::none;
    Mac mac(config);
    auto first = std::make_unique<SlotPlan>();
    auto plan = std::make_unique<SlotPlan>();
    SlotCount slot = uplink ? 4 : 0;
    mac.on_slot(slot, *first);
    ASSERT_EQ(first->n_grants, 1);
    slot += feedback_timeout_slots;
    mac.on_slot(slot, *plan);  // the same process again
    ASSERT_EQ(plan->n_grants, 1);
    ASSERT_EQ(plan->grants[0].harq_id, first->grants[0].harq_id);
    const MacCounters& counters = uplink ? mac.uplink() : mac.downlink();
    answer(mac, *first, first->grants[0], true, 20);
    EXPECT_EQ(counters.feedback_stale, 1u);
    EXPECT_EQ(counters.tb_ok, 0u);
    answer(mac, *plan, plan->grants[0], true, 20);
    EXPECT_EQ(counters.tb_ok, 1u);
  }
}

TEST(Mac, ForeignFeedbackIsIgnored) {
  Mac mac(toy::config(1));
  auto plan = std::make_unique<SlotPlan>();
  mac.on_slot(0, *plan);
  ASSERT_EQ(plan->n_grants, 1);
  Grant grant = plan->grants[0];
  grant.rnti = 7;
  answer(mac, *plan, grant, true, 20);
  grant = plan->grants[0];
  grant.harq_id = 255;
  answer(mac, *plan, grant, true, 20);
  EXPECT_EQ(mac.downlink().feedback_stale, 2u);
  answer(mac, *plan, plan->grants[0], true, 20);
  answer(mac, *plan, plan->grants[0], true, 20);  // twice
  EXPECT_EQ(mac.downlink().feedback_stale, 3u);
  EXPECT_EQ(mac.downlink().tb_ok, 1u);
}

TEST(Mac, NothingAllocatesInTheSlot) {
  MacConfig config = toy::config(4);
  config.handsets[0].downlink.kind = Traffic::Kind::poisson;
  config.handsets[1].uplink.kind = Traffic::Kind::replay;
  config.handsets[1].uplink.arrivals = {{0.0, 1000}, {0.01, 100}};
  config.transmit_antennas = config.receive_antennas = 8;
  config.downlink_layers_max = 8;
  config.uplink_layers_max = config.uplink_group_layers = 4;
  for (HandsetConfig& handset : config.handsets)
    handset.receive_antennas = 8, handset.transmit_antennas = 2;
  Mac mac(config);
  auto plan = std::make_unique<SlotPlan>();
  Prng prng(3);
  const std::int64_t before = allocation_count();
  std::uint64_t grants = 0;
  for (SlotCount slot = 0; slot < 3000; ++slot) {
    mac.on_slot(slot, *plan);
    for (int g = 0; g < plan->n_grants; ++g) {
      ++grants;
      answer(mac, *plan, plan->grants[g], prng.uniform() < 0.8, 20);
    }
    mac.on_rx_data({});
  }
  EXPECT_EQ(allocation_count() - before, 0);
  EXPECT_GT(grants, 3000u);
}

TEST(Mac, ASeedRepeatsTheRun) {
  const auto run = [](std::uint64_t seed) {
    MacConfig config = toy::config(3);
    config.seed = seed;
    config.handsets[1].downlink.kind = Traffic::Kind::poisson;
    toy::Cell cell(config, {{100, 20, 30, 1}, {101, 10, 50, 2}, {102, 15, 0, 1}}, 11);
    std::uint64_t hash = 0;
    for (int slot = 0; slot < 1500; ++slot) {
      cell.run(1);
      for (int g = 0; g < cell.plan->n_grants; ++g) {
        const Grant& grant = cell.plan->grants[g];
        const toy::Block pdu = toy::block_of(*cell.plan, grant);
        const std::uint32_t facts[] = {grant.rnti,
                                       pdu.allocation.rb_start,
                                       pdu.allocation.rb_size,
                                       pdu.tb_size,
                                       pdu.rv_index,
                                       grant.harq_id};
        hash = hash_bytes(facts, sizeof facts, hash);
        if (grant.uplink) continue;
        const auto& data = cell.plan->tx_data.pdus[grant.pdu].data[0];
        hash = hash_bytes(data.data(), data.size(), hash);
      }
    }
    return hash;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Mac, ReplayedAndSparseTrafficArrivesWhole) {
  MacConfig config = toy::config(1);
  config.handsets[0].downlink.kind = Traffic::Kind::replay;
  config.handsets[0].downlink.loop = false;
  config.handsets[0].downlink.arrivals = {{0.0, 40}, {0.1, 50'000}, {0.2, 1}};
  config.handsets[0].uplink.kind = Traffic::Kind::none;
  toy::Cell cell(config, {{100, 20}}, 1);
  cell.run(40);
  EXPECT_EQ(cell.mac.downlink().tb_first, 1u);  // one small block, few resource blocks
  EXPECT_LE(cell.rbs[0], 10);
  cell.run(1000);
  EXPECT_EQ(cell.mac.uplink().tb_first, 0u);
  EXPECT_EQ(cell.mac.downlink().tb_lost, 0u);
  EXPECT_GE(cell.mac.downlink().bits_ok, 8u * 50'041u);
  EXPECT_LT(cell.mac.downlink().bits_ok, 8u * 56'000u);  // padding of the last blocks only
}

TEST(Mac, ConfigRequestNamesTheCarrierAndThePattern) {
  MacConfig config = toy::config(1);
  config.carrier.cell_id = 77;
  const fapi::ConfigRequest request = Mac(config).config_request();
  EXPECT_EQ(request.dl_grid_size, 51);
  EXPECT_EQ(request.phy_cell_id, 77);
  EXPECT_EQ(request.dl_frequency_khz, 3'500'000u);
  EXPECT_EQ(request.frame_duplex_type, 1);
  EXPECT_EQ(request.tdd_period_slots, 5);
  EXPECT_EQ(request.slot_config[0][13], 0);
  EXPECT_EQ(request.slot_config[3][9], 0);
  EXPECT_EQ(request.slot_config[3][10], 2);
  EXPECT_EQ(request.slot_config[3][12], 1);
  EXPECT_EQ(request.slot_config[4][0], 1);
}

}  // namespace
}  // namespace noroshi::mac
