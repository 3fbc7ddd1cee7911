// Whose a name is, when several regions' buckets speak of it. Would catch a site whose facts are
// one region's and whose desired state is another's: its writes would be lost for ever.

#include "fleet/planner.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "base/prng.h"

namespace noroshi::fleet {
namespace {

// What the buckets hold, beside a planner that learns it in any order while sites come and go.
TEST(Planner, ANameIsOneRegionsWhoseFactsAndDesiredStateBelongTogether) {
  constexpr std::uint64_t seed = 81;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  const std::string regions[] = {"east", "north", "west"};
  const std::string names[] = {"a", "b"};
  Planner planner;
  std::map<std::string, std::map<std::string, std::uint64_t>> held;  // key: region: revision
  std::uint64_t revision = 0;
  std::int64_t now_ns = 0;
  int contested = 0;
  for (int step = 0; step < 20'000; ++step) {
    const std::string& name = names[prng.below(2)];
    const std::string& region = regions[prng.below(3)];
    now_ns += 100'000'000;
    if (prng.below(3) == 0) {
      SiteReport report;
      report.site = {.name = name, .instance = 1 + prng.below(3), .region = region};
      report.sequence = static_cast<std::uint64_t>(step);
      planner.membership().hear(report, now_ns);
      planner.settle(name);
    } else {
      const std::string key = (prng.below(2) == 0 ? "facts." : "desired.") + name;
      KvEntry entry{.key = key, .revision = ++revision, .erased = prng.below(3) == 0};
      if (!entry.erased) {
        entry.value = key[0] == 'f' ? facts_text({.name = name, .region = region})
                                    : desired_text({.term = 1});
      }
      ASSERT_TRUE(planner.learn(region_bucket(region), entry));
      held[key].erase(region);
      if (!entry.erased) held[key][region] = revision;
    }
    for (const std::string& site : names) {
      const auto& facts = held["facts." + site];
      const auto& desired = held["desired." + site];
      const auto known = planner.facts().find(site);
      ASSERT_EQ(known != planner.facts().end(), !facts.empty()) << step;
      if (facts.empty()) continue;
      const std::string& home = known->second.value->region;
      ASSERT_EQ(known->second.revision, facts.at(home)) << step;
      const auto said = planner.desired().find(site);
      const auto there = desired.find(home);
      ASSERT_EQ(said != planner.desired().end(), there != desired.end()) << step;
      if (there != desired.end()) {
        ASSERT_EQ(said->second.revision, there->second) << step;
      }
      ASSERT_EQ(planner.claims(site).size(), facts.size() - 1) << step;
      contested += facts.size() > 1 ? 1 : 0;
      const Member* member = planner.membership().find(site);
      if (member == nullptr || facts.count(member->report.site.region) == 0) continue;
      ASSERT_EQ(home, member->report.site.region) << "it lives; step " << step;
    }
  }
  EXPECT_GT(contested, 5000);
}

}  // namespace
}  // namespace noroshi::fleet
