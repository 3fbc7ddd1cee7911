// Catches: use of a quota that is changed on its way between gateways, a malformed or hostile
// message that is taken, or refused without naming what is wrong, one that does not fit.

#include "fleet/tenant_use.h"

#include <gtest/gtest.h>

#include "base/prng.h"

namespace noroshi::fleet {
namespace {

UseMessage any_message(Prng& prng, std::size_t tenants) {
  UseMessage message{.origin = prng(), .number = prng() >> prng.below(64)};
  for (std::size_t i = 0; i < tenants; ++i) {
    message.used.push_back({.tenant = prng(),
                            .requests = prng.below(1000),
                            .tokens = prng() >> (16 + prng.below(40)),
                            .at_once = prng.below(100)});
    message.used.back().tokens %= told_tokens_max + 1;
  }
  return message;
}

TEST(TenantUse, ComesBackAsItWas) {
  Prng prng(91);
  for (int round = 0; round < 100; ++round) {
    const UseMessage sent = any_message(prng, prng.below(100));
    const auto read = parse_use("noroshi.quotas.g", use_bytes(sent));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->origin, sent.origin);
    EXPECT_EQ(read->number, sent.number);
    ASSERT_EQ(read->used.size(), sent.used.size());
    for (std::size_t i = 0; i < sent.used.size(); ++i) {
      EXPECT_EQ(read->used[i].tenant, sent.used[i].tenant);
      EXPECT_EQ(read->used[i].requests, sent.used[i].requests);
      EXPECT_EQ(read->used[i].tokens, sent.used[i].tokens);
      EXPECT_EQ(read->used[i].at_once, sent.used[i].at_once);
    }
  }
}

TEST(TenantUse, OfTheMostTenantsFitsAndCountsAreTheMostAtMost) {
  constexpr std::uint64_t most = ~std::uint64_t{0};
  UseMessage message{.origin = most, .number = most};
  message.used.assign(told_tenants_max, {most, most, most, most});
  const std::string bytes = use_bytes(message);
  EXPECT_LE(bytes.size(), use_bytes_max);
  const auto read = parse_use("noroshi.quotas.g", bytes);
  ASSERT_TRUE(read) << read.error().message;
  ASSERT_EQ(read->used.size(), told_tenants_max);
  EXPECT_EQ(read->used.back().requests, told_requests_max);
  EXPECT_EQ(read->used.back().tokens, told_tokens_max);
  EXPECT_EQ(read->used.back().at_once, told_at_once_max);
}

TEST(TenantUse, EachCutAndEachChangedByteIsReadOrRefused) {
  Prng prng(92);
  const std::string whole = use_bytes(any_message(prng, 20));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_use("noroshi.quotas.g", whole.substr(0, size))) << size;
  }
  EXPECT_FALSE(parse_use("noroshi.quotas.g", whole + "x"));
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = whole;
    bytes[prng.below(bytes.size())] = static_cast<char>(prng());
    const auto read = parse_use("noroshi.quotas.g", bytes);
    if (!read) continue;
    for (const gateway::TenantUse& use : read->used) {
      EXPECT_LE(use.requests, told_requests_max);
      EXPECT_LE(use.tokens, told_tokens_max);
      EXPECT_LE(use.at_once, told_at_once_max);
    }
  }
}

TEST(TenantUse, IsRefusedWithFieldAndValue) {
  const auto refused = [](const std::string& bytes, const std::string& words) {
    const auto read = parse_use("noroshi.quotas.g\n", bytes);
    ASSERT_FALSE(read) << words;
    EXPECT_NE(read.error().message.find(words), std::string::npos) << read.error().message;
    EXPECT_NE(read.error().message.find("noroshi.quotas.g?"), std::string::npos);
  };
  refused("", "none of version 1");
  refused("NRQ\x02", "none of version 1");
  refused(std::string(1 << 20, 'x'), "has 1048576 bytes (allowed: 524288)");
  const std::string head = std::string("NRQ\x01") + std::string(8, '\1') + '\1';
  refused(head + "\xff\xff\x03", "tenants is 65535 (allowed: 0 to 16384)");
  refused(std::string("NRQ\x01") + std::string(8, '\1') + std::string(11, '\xff'),
          "number is no number");
  const std::string one = head + "\1" + std::string(8, 'm');
  refused(one + "\xff\xff\xff\xff\x7f", "requests is 34359738367 (allowed: 0 to 1000000000)");
  refused(one + "\1\xff\xff\xff\xff\xff\xff\xff\x7f", "tokens is 72057594037927935");
  refused(one + "\1\1\xff\xff\x7f", "at_once is 2097151 (allowed: 0 to 1000000)");
  refused(one + "\1\1", "at_once is cut off");
  refused(one + "\1\1\1z", "bytes follow its end");
  EXPECT_TRUE(parse_use("noroshi.quotas.g", one + "\1\1\1"));
}

}  // namespace
}  // namespace noroshi::fleet
