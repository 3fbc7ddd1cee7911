// Catches: a tenants file that is misread or whose fault is not named, a key that another's hash
// lets in, a quota that gives more or less than it says, that is new when the file is read again,
// or that others' words change for good.

#include "gateway/tenants.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "base/prng.h"

namespace noroshi::gateway {
namespace {

constexpr std::int64_t second_ns = 1'000'000'000;
const std::string hash = key_hash_text(hash_of_key("test"));

TEST(TenantsFile, IsRead) {
  const auto tenants = parse_tenants(
      "tenants:\n"
      "  - name: acme\n"
      "    keys: [\"" +
          hash +
          "\"]\n"
          "    priority: critical\n"
          "    models: [a, b]\n"
          "    quota: {requests_per_second: 2.5, tokens_per_minute: "
          "unlimited, requests_at_once: 3}\n",
      "f.yaml");
  ASSERT_TRUE(tenants.ok()) << tenants.error().message;
  ASSERT_EQ(tenants->size(), 1u);
  const Tenant& t = tenants->front();
  EXPECT_EQ(t.name, "acme");
  EXPECT_EQ(t.priority, Priority::critical);
  EXPECT_EQ(t.models, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(t.quota.requests_per_second, 2.5);
  EXPECT_EQ(t.quota.tokens_per_minute, unlimited);
  EXPECT_EQ(t.quota.requests_at_once, 3);
  Tenants table(*tenants);
  EXPECT_EQ(table.of_key("test"), 0u);
  EXPECT_FALSE(table.of_key("tesu"));
  EXPECT_FALSE(table.of_key(""));
  EXPECT_FALSE(table.of_key(hash)) << "the hash is no key";
}

TEST(TenantsFile, FaultsAreNamedWithTheirPlace) {
  const std::string quota =
      "quota: {requests_per_second: 1, tokens_per_minute: 1, requests_at_once: 1}";
  struct Bad {
    std::string text;
    const char* says;
  };
  for (
      const Bad& bad : {
          Bad{"tenants: 5", "must hold a list 'tenants'"},
          Bad{"", "must hold a list 'tenants'"},
          Bad{"tenants: [", "f.yaml:1:"},
          Bad{"tenants: []", "'tenants' names nobody"},
          Bad{"more: 1\ntenants: []", "has no field 'more'"},
          Bad{"tenants:\n  - name: a\n", "f.yaml:2:5: tenant 'a' has no quota"},
          Bad{"tenants:\n  - name: a\n    quota: {requests_per_second: 1, requests_at_once: 1}\n",
              "quota.tokens_per_minute is missing"},
          Bad{"tenants:\n  - name: a\n    quota: {requests_per_second: 0, tokens_per_minute: 1, "
              "requests_at_once: 1}\n",
              "quota.requests_per_second '0' must be a number above 0"},
          Bad{"tenants:\n  - name: a\n    quota: {requests_per_second: .nan, tokens_per_minute: 1, "
              "requests_at_once: 1}\n",
              "quota.requests_per_second '.nan'"},
          Bad{"tenants:\n  - " + quota, "tenants[0]: name is missing"},
          Bad{"tenants:\n  - name: a\n    color: red\n    " + quota, "has no field 'color'"},
          Bad{"tenants:\n  - name: a\n    priority: high\n    " + quota, "priority 'high' must be"},
          Bad{"tenants:\n  - name: a\n    keys: [secret]\n    " + quota, "keys holds something"},
          Bad{"tenants:\n  - name: a\n    models: []\n    " + quota, "models must be a list"},
          Bad{"tenants:\n  - name: a\n    " + quota + "\n  - name: a\n    " + quota, "twice"},
          Bad{"tenants:\n  - name: a\n    keys: [\"" + hash + "\"]\n    " + quota +
                  "\n  - name: b\n    keys: [\"" + hash + "\"]\n    " + quota,
              "tenant 'b' has a key that tenant 'a' has too"},
      }) {
    const auto tenants = parse_tenants(bad.text, "f.yaml");
    ASSERT_FALSE(tenants.ok()) << bad.text;
    EXPECT_NE(tenants.error().message.find(bad.says), std::string::npos) << bad.text << "\n"
                                                                         << tenants.error().message;
    EXPECT_TRUE(tenants.error().message.starts_with("f.yaml")) << tenants.error().message;
  }
  EXPECT_FALSE(load_tenants("/no/such/file").ok());
}

TEST(TenantsFile, TheExampleIsGood) {
  const auto tenants = load_tenants("configs/tenants.yaml");
  ASSERT_TRUE(tenants.ok()) << tenants.error().message;
  ASSERT_EQ(tenants->size(), 2u);
  EXPECT_EQ(tenants->front().keys.size(), 1u);
  EXPECT_EQ(tenants->back().priority, Priority::sheddable);
}

TEST(Keys, AreRandomAndTheirHashIsSha256) {
  // FIPS 180-4's answer for "abc".
  EXPECT_EQ(key_hash_text(hash_of_key("abc")),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto key = new_key();
    ASSERT_TRUE(key.ok());
    EXPECT_EQ(key->size(), 8u + 43u);
    EXPECT_TRUE(key->starts_with("noroshi-"));
    seen.insert(*key);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(Quotas, GiveWhatTheySayOverAnyTime) {
  constexpr std::uint64_t seed = 81;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  Tenants tenants({{.name = "a", .quota = {.requests_per_second = 5}},
                   {.name = "b", .quota = {.tokens_per_minute = 600}},
                   {.name = "c", .quota = {.requests_at_once = 3}}});
  std::int64_t now_ns = 0;
  int requests = 0;
  std::uint64_t tokens = 0;
  int at_once = 0;
  for (int i = 0; i < 20'000; ++i) {
    now_ns += static_cast<std::int64_t>(prng.below(second_ns / 10));
    if (!tenants.enter(0, now_ns)) {
      ++requests;
      tenants.leave(0, 0, now_ns);
    }
    if (const auto over = tenants.enter(1, now_ns)) {
      EXPECT_EQ(over->quota, "tokens_per_minute");
      EXPECT_GE(over->retry_after_s, 1);
    } else {
      const std::uint64_t used = prng.below(100);
      tokens += used;
      tenants.leave(1, used, now_ns);
    }
    if (prng.below(2) == 0) {
      const auto over = tenants.enter(2, now_ns);
      EXPECT_EQ(over.has_value(), at_once == 3);
      if (!over) ++at_once;
    } else if (at_once > 0) {
      tenants.leave(2, 0, now_ns);
      --at_once;
    }
  }
  const double s = static_cast<double>(now_ns) / second_ns;
  EXPECT_LE(requests, 5 * s + 5);
  EXPECT_GE(requests, 0.98 * 5 * s);
  EXPECT_LE(static_cast<double>(tokens), 10 * s + 600 + 100);
  EXPECT_GE(static_cast<double>(tokens), 0.98 * 10 * s);
}

Tenant tenant_of(const std::string& name, const std::string& key, double tokens_per_minute) {
  Tenant tenant{.name = name, .quota = {.tokens_per_minute = tokens_per_minute}};
  if (!key.empty()) tenant.keys = {hash_of_key(key)};
  return tenant;
}

TEST(ReplacedTenants, KeepWhatTheyHaveUsedAndTheirNumber) {
  Tenants tenants({tenant_of("a", "a-key", 60), tenant_of("b", "b-key", 60)});
  ASSERT_FALSE(tenants.enter(0, 0));
  tenants.leave(0, 100, 0);
  ASSERT_TRUE(tenants.enter(0, 0)) << "a has used it up";
  ASSERT_FALSE(tenants.enter(1, 0));

  tenants.replace({tenant_of("c", "c-key", 60), tenant_of("a", "another-key", 60)});
  EXPECT_EQ(tenants.of_key("another-key"), 0u);
  EXPECT_EQ(tenants.of_key("c-key"), 2u);
  EXPECT_FALSE(tenants.of_key("a-key")) << "taken off the list";
  EXPECT_FALSE(tenants.of_key("b-key"));
  EXPECT_TRUE(tenants.enter(0, 0)) << "used up all the same";
  EXPECT_EQ(tenants.at(1)->name, "b") << "a request of it is still there";
  tenants.leave(1, 100, 0);

  tenants.replace({tenant_of("b", "b-key", 60), tenant_of("a", "a-key", unlimited)});
  EXPECT_EQ(tenants.of_key("b-key"), 1u);
  EXPECT_TRUE(tenants.enter(1, 0)) << "coming back is no new quota";
  EXPECT_FALSE(tenants.enter(0, 0)) << "without a limit now";
  tenants.leave(0, 1'000'000, 0);
  tenants.replace({tenant_of("a", "a-key", 60)});
  EXPECT_TRUE(tenants.enter(0, 0)) << "what was used without a limit is not charged, the rest is";
  EXPECT_FALSE(tenants.enter(0, 60 * second_ns));
  EXPECT_FALSE(tenants.empty());
}

// --- What other gateways say ---

TEST(HeardUse, IsToldOnceAndTakenOutOfTheBuckets) {
  const std::vector<Tenant> list = {
      {.name = "a", .quota = {.requests_per_second = 10, .tokens_per_minute = 600}},
      {.name = "b"},
      {.name = "idle"}};
  Tenants here(list), there(list);
  for (int i = 0; i < 4; ++i) ASSERT_FALSE(here.enter(0, 0));
  for (int i = 0; i < 3; ++i) here.leave(0, 100, 0);
  ASSERT_FALSE(here.enter(1, 0));
  const auto used = here.new_use(100);
  ASSERT_EQ(used.size(), 2u);
  EXPECT_EQ(used[0].tenant, tenant_mark("a"));
  EXPECT_EQ(used[0].requests, 4u);
  EXPECT_EQ(used[0].tokens, 300u);
  EXPECT_EQ(used[0].at_once, 1u);
  EXPECT_EQ(used[1].tenant, tenant_mark("b"));
  EXPECT_EQ(used[1].at_once, 1u) << "of one without limits too: it may have some elsewhere";
  there.hear(1, used, 0);
  int more = 0;
  for (; !there.enter(0, 0); ++more) there.leave(0, 0, 0);
  EXPECT_EQ(more, 6);
  ASSERT_FALSE(there.enter(0, second_ns));
  there.leave(0, 310, second_ns);
  EXPECT_EQ(there.enter(0, second_ns)->quota, "tokens_per_minute");
  // Only who is still there is told of again.
  here.leave(1, 7, 0);
  const auto again = here.new_use(100);
  ASSERT_EQ(again.size(), 2u);
  EXPECT_EQ(again[0].requests, 0u);
  EXPECT_EQ(again[0].tokens, 0u);
  EXPECT_EQ(again[0].at_once, 1u);
  EXPECT_EQ(again[1].tokens, 7u);
  EXPECT_EQ(again[1].at_once, 0u);
  EXPECT_EQ(here.new_use(100).size(), 1u);
  EXPECT_EQ(tenant_mark("abc"), 0xeacf018fbf1678baU) << "SHA-256 is ba7816bf8f01cfea...";
}

TEST(HeardUse, OfManyTenantsComesInTurns) {
  std::vector<Tenant> list;
  for (int i = 0; i < 1000; ++i) list.push_back({.name = "t" + std::to_string(i)});
  Tenants here(list);
  Tenants there(list);
  for (std::size_t i = 0; i < 1000; ++i) {
    ASSERT_FALSE(here.enter(i, 0));
    if (i % 2 == 0) here.leave(i, i, 0);
  }
  std::uint64_t requests = 0, tokens = 0;
  for (int turn = 0; turn < 4; ++turn) {
    const auto used = here.new_use(300);
    EXPECT_EQ(used.size(), 300u);
    there.hear(1, used, 0);
    for (const TenantUse& use : used) {
      requests += use.requests;
      tokens += use.tokens;
    }
  }
  EXPECT_EQ(requests, 1000u);
  EXPECT_EQ(tokens, 499u * 500u);
}

// Levels that others' words have lowered are paid back within the bound, whatever they were, and
// what a tenant owes by himself stays.
TEST(HeardUse, MakesNobodyOweMoreThanTenBuckets) {
  Tenants tenants({{.name = "a", .quota = {.requests_per_second = 2}},
                   {.name = "b", .quota = {.tokens_per_minute = 60}}});
  constexpr std::uint64_t most = ~std::uint64_t{0};
  const std::vector<TenantUse> all = {{tenant_mark("a"), most, most, 0},
                                      {tenant_mark("b"), most, most, 0},
                                      {tenant_mark("c"), most, most, most}};
  for (std::uint64_t gateway = 0; gateway < 9; ++gateway) tenants.hear(gateway, all, 0);
  EXPECT_EQ(tenants.enter(0, 0)->retry_after_s, 11);
  EXPECT_TRUE(tenants.enter(0, 10 * second_ns));
  EXPECT_FALSE(tenants.enter(0, 10 * second_ns + second_ns / 2));
  EXPECT_TRUE(tenants.enter(1, 600 * second_ns));
  ASSERT_FALSE(tenants.enter(1, 601 * second_ns));
  tenants.leave(1, 1000, 601 * second_ns);  // 999 are owed
  tenants.hear(1, all, 601 * second_ns);
  EXPECT_TRUE(tenants.enter(1, (601 + 999) * second_ns)) << "it is no less for that";
  EXPECT_FALSE(tenants.enter(1, (601 + 1000) * second_ns));
}

TEST(HeardUse, RequestsElsewhereCountUntilTheyAreNotSaidAnyMore) {
  Tenants tenants({{.name = "a", .quota = {.requests_at_once = 4}}});
  const auto places = [&] {
    int count = 0;
    while (!tenants.enter(0, 0)) ++count;
    for (int i = 0; i < count; ++i) tenants.leave(0, 0, 0);
    return count;
  };
  const auto says = [&](std::uint64_t gateway, std::uint64_t at_once) {
    tenants.hear(gateway, {{.tenant = tenant_mark("a"), .at_once = at_once}}, 0);
  };
  says(1, 1);
  EXPECT_EQ(places(), 3);
  says(2, 2);
  EXPECT_EQ(places(), 1);
  says(1, 2);
  EXPECT_EQ(places(), 0);
  says(2, 0);
  EXPECT_EQ(places(), 2);
  tenants.hear(1, {{.tenant = tenant_mark("x"), .at_once = 9}}, 0);
  EXPECT_EQ(places(), 4);
  says(3, 1'000'000);
  EXPECT_EQ(places(), 0);
  tenants.hear(3, {}, 0);
  EXPECT_EQ(places(), 4);
  // Listed between two words.
  tenants.hear(1, {{.tenant = tenant_mark("b"), .at_once = 9}}, 0);
  tenants.replace({{.name = "a", .quota = {.requests_at_once = 4}},
                   {.name = "b", .quota = {.requests_at_once = 4}}});
  tenants.hear(1, {}, 0);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(tenants.enter(1, 0));
  EXPECT_TRUE(tenants.enter(1, 0));
}

// Whoever reads while it is replaced sees a list that stood there, whole.
TEST(ReplacedTenants, AreReplacedBesideRequests) {
  const auto list = [](int version) {
    std::vector<Tenant> all;
    for (int i = 0; i < 8; ++i) {
      Tenant tenant = tenant_of("t" + std::to_string(i), "key" + std::to_string(i), unlimited);
      tenant.models = {std::to_string(version), std::to_string(version)};
      all.push_back(tenant);
    }
    return all;
  };
  Tenants tenants(list(0));
  std::atomic<bool> stop{false};
  std::vector<std::thread> askers;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 2; ++t) {
    askers.emplace_back([&, t] {
      Prng prng(static_cast<std::uint64_t>(t));
      while (!stop) {
        const auto number = tenants.of_key("key" + std::to_string(prng.below(8)));
        if (!number || tenants.enter(*number, 0)) {
          ++wrong;
          continue;
        }
        const auto tenant = tenants.at(*number);
        wrong += tenant->models[0] != tenant->models[1] ? 1 : 0;
        tenants.leave(*number, 1, 0);
      }
    });
  }
  for (int version = 1; version < 200; ++version) tenants.replace(list(version));
  stop = true;
  for (std::thread& asker : askers) asker.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace noroshi::gateway
