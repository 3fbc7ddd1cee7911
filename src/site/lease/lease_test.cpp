// Catches a lease that lends what the radio needs, keeps what it does not, flutters, or mixes up
// processors.

#include "site/lease/lease.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/prng.h"

namespace noroshi::site {
namespace {

constexpr std::int64_t slot_ns = 500'000;

// A model whose every slot takes between least and most, equally often, and work for it.
struct Taught {
  CostModel model;
  SlotWork work;
  std::int64_t p50_ns = 0;

  Taught(std::int64_t least_ns, std::int64_t most_ns) {
    work.units = {1, 1, 10, 20, 100};
    for (int i = 0; i < 100'000; ++i)
      model.learn(work, {least_ns + (most_ns - least_ns) * (i * 37 % 100) / 99, 0});
    p50_ns = model.predict(work).p50_ns;
  }
  RadioWork piece(std::int64_t release_ns, std::int64_t deadline_ns, int processor = 0) const {
    return {processor, release_ns, deadline_ns, p50_ns, &model, &work};
  }
};

TEST(Lease, LendsWhenTheRadioIsQuietAndTakesBackWhenItIsNot) {
  Lease lease({}, 1);
  EXPECT_EQ(lease.decide(0, slot_ns, slot_ns, {}).taken, 0u);
  const Taught light(80'000, 120'000);
  const std::vector<RadioWork> quiet = {light.piece(slot_ns, slot_ns + 375'000),
                                        light.piece(2 * slot_ns, 2 * slot_ns + 375'000)};
  const LeaseDecision lent = lease.decide(0, slot_ns, 3 * slot_ns, quiet);
  EXPECT_EQ(lent.taken, 0u);
  EXPECT_NEAR(lent.left, 1 - 200.0 / 1500, 0.02);
  EXPECT_LT(lent.risk, 1e-4);
  // Little left for an engine, though nothing can be late.
  EXPECT_EQ(lease.decide(2 * slot_ns - 130'000, slot_ns, 2 * slot_ns + 20'000, quiet).taken, 1u);
  EXPECT_EQ(lease.decide(0, slot_ns, slot_ns, {}).taken, 0u);  // and back at once
  // Much left, but deadlines that every slot would miss with an engine beside.
  const std::vector<RadioWork> tight = {light.piece(slot_ns, slot_ns + 140'000)};
  const LeaseDecision risky = lease.decide(0, slot_ns, 3 * slot_ns, tight);
  EXPECT_GT(risky.risk, 0.9);
  EXPECT_EQ(risky.taken, 1u);
  EXPECT_EQ(lease.decide(0, slot_ns, slot_ns, {}).taken, 0u);
}

TEST(Lease, SlotsThatAreLateInAnyCaseDoNotCount) {
  Lease lease({}, 1);
  lease.decide(0, slot_ns, slot_ns, {});
  const Taught light(80'000, 120'000);
  const std::vector<RadioWork> hopeless = {light.piece(0, 50'000)};
  EXPECT_EQ(lease.decide(0, slot_ns, 3 * slot_ns, hopeless).taken, 0u);
}

// Slots of a risk of about 1 in 100 are lent as often as 1 in 10 000 allows, in stretches.
TEST(Lease, TheBudgetBoundsWhatEnginesMakeLate) {
  const LeaseConfig config;
  Lease lease(config, 1);
  const Taught taught(80'000, 180'000);
  const std::vector<RadioWork> work = {taught.piece(slot_ns, slot_ns + 239'000)};
  double spent = 0;
  int changes = 0;
  std::uint64_t before = 0;
  constexpr int slots = 200'000;
  for (int i = 0; i < slots; ++i) {
    const LeaseDecision decision = lease.decide(0, slot_ns, 3 * slot_ns, work);
    ASSERT_GT(decision.risk, 1e-3);
    if (decision.taken == 0) spent += decision.risk;
    changes += decision.taken != before;
    before = decision.taken;
  }
  EXPECT_LE(spent, config.risk_max * (slots + config.budget_slots));
  EXPECT_GE(spent, 0.5 * config.risk_max * slots);
  EXPECT_GT(changes, 10);
  EXPECT_LT(changes, slots / 100);
}

TEST(Lease, WorkWaitsForWorkBeforeIt) {
  LeaseConfig config;
  config.margin_ns = 50'000;
  config.left_min = 0;
  Lease lease(config, 1);
  const Taught taught(95'000, 105'000);
  // Alone, each has 200 us too many; the second starts when the first is done.
  const std::vector<RadioWork> alone = {taught.piece(0, 300'000)};
  EXPECT_EQ(lease.decide(0, slot_ns, slot_ns, alone).taken, 0u);
  const std::vector<RadioWork> both = {taught.piece(0, 300'000), taught.piece(0, 240'000)};
  EXPECT_EQ(lease.decide(0, slot_ns, slot_ns, both).taken, 1u);
}

TEST(Lease, DoesNotFlutterAtItsThreshold) {
  constexpr std::uint64_t seed = 5;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  Lease lease({}, 1);
  const Taught taught(70'000, 70'100);
  int changes = 0;
  std::uint64_t before = lease.decide(0, slot_ns, slot_ns, {}).taken;
  for (int i = 0; i < 1000; ++i) {  // 30 % left, give or take 3
    const auto until = static_cast<std::int64_t>(95'000 + prng.below(10'000));
    const std::vector<RadioWork> work = {taught.piece(0, slot_ns)};
    const std::uint64_t taken = lease.decide(0, slot_ns, until, work).taken;
    changes += taken != before;
    before = taken;
  }
  EXPECT_EQ(changes, 1);
}

TEST(Lease, EachProcessorIsLentByItself) {
  Lease lease({}, 3);
  const Taught light(50'000, 60'000);
  const Taught heavy(340'000, 350'000);
  const std::vector<RadioWork> work = {light.piece(slot_ns, slot_ns + 375'000, 0),
                                       heavy.piece(slot_ns, slot_ns + 375'000, 2)};
  EXPECT_EQ(lease.decide(0, slot_ns, 2 * slot_ns, work).taken, 0b100u);
}

TEST(Lease, AWorkerIsUpEarlyBeforeHeavyWorkOfItsOwn) {
  LeaseConfig config;
  config.early_min_ns = 150'000;
  const Taught light(40'000, 44'000);
  const Taught heavy(200'000, 220'000);
  const std::int64_t deadline = 4 * slot_ns;
  const auto early = [&](const std::vector<RadioWork>& work) {
    return Lease(config, 2).decide(0, slot_ns, 3 * slot_ns, work).early;
  };
  EXPECT_EQ(early({light.piece(slot_ns, deadline)}), 0u);
  EXPECT_EQ(early({heavy.piece(slot_ns, deadline)}), 0b01u);
  EXPECT_EQ(early({heavy.piece(slot_ns, deadline, 1)}), 0b10u);
  EXPECT_EQ(early({heavy.piece(2 * slot_ns, deadline)}), 0u);  // not at the next tick
  EXPECT_EQ(early(std::vector<RadioWork>(4, light.piece(slot_ns, deadline))), 0b01u);  // together
  RadioWork others = heavy.piece(slot_ns, deadline);
  others.model = nullptr;
  EXPECT_EQ(early({others}), 0u);
  config.policy = LeasePolicy::os;
  EXPECT_EQ(early({heavy.piece(slot_ns, deadline)}), 0u);
  config.policy = LeasePolicy::lease;
  config.early_ns = 0;
  EXPECT_EQ(early({heavy.piece(slot_ns, deadline)}), 0u);
}

// Two cells on one processor: each alone leaves more than half of it, both together a tenth; and
// what one may wait for the other may make it late.
TEST(Lease, DecidesOverTheSumOfAllCells) {
  const Taught taught(220'000, 230'000);
  const RadioWork mine = taught.piece(slot_ns, slot_ns + 375'000);
  RadioWork others = mine;
  others.model = nullptr;
  const auto decide = [](const std::vector<RadioWork>& work) {
    Lease lease({}, 1);
    lease.decide(0, slot_ns, slot_ns, {});
    return lease.decide(slot_ns, slot_ns, 2 * slot_ns, work);
  };
  EXPECT_EQ(decide({mine}).taken, 0u);
  EXPECT_EQ(decide({others}).taken, 0u);
  EXPECT_EQ(decide({others, mine}).taken, 1u);
  EXPECT_NEAR(decide({others, mine}).left, 0.1, 0.06);

  LeaseConfig config;
  config.left_min = 0;
  Lease lease(config, 1);
  lease.decide(0, slot_ns, slot_ns, {});
  // Alone it is done at 225 of 450 us; after the other it needs the last of them.
  const RadioWork tight = taught.piece(slot_ns, slot_ns + 470'000);
  EXPECT_LT(lease.decide(slot_ns, slot_ns, 2 * slot_ns, std::vector{tight}).risk, 1e-3);
  EXPECT_GT(lease.decide(slot_ns, slot_ns, 2 * slot_ns, std::vector{others, tight}).risk, 0.5);
}

LeaseConfig with(LeasePolicy policy) {
  LeaseConfig config;
  config.policy = policy;
  return config;
}

TEST(Lease, OtherPoliciesDoNotLook) {
  const Taught taught(450'000, 490'000);
  const std::vector<RadioWork> heavy = {taught.piece(0, 500'000)};
  EXPECT_EQ(Lease(with(LeasePolicy::os), 2).decide(0, slot_ns, slot_ns, heavy).taken, 0u);
  EXPECT_EQ(Lease(with(LeasePolicy::fixed_split), 2).decide(0, slot_ns, slot_ns, {}).taken, 0b11u);
  EXPECT_EQ(Lease(with(LeasePolicy::off), 64).decide(0, slot_ns, slot_ns, {}).taken, ~0ull);
  for (const char* name : {"off", "static", "os", "lease"})
    EXPECT_EQ(name_of(*lease_policy(name)), name);
  EXPECT_FALSE(lease_policy("Lease"));
}

}  // namespace
}  // namespace noroshi::site
