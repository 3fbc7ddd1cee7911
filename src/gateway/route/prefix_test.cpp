// Catches: prompts that share a beginning and do not share hashes, or share hashes and not a
// beginning; a copy credited with a prompt that its cache has dropped or that was sent elsewhere;
// a table that grows.

#include "gateway/route/prefix.h"

#include <gtest/gtest.h>

#include <map>

#include "base/prng.h"
#include "gateway/route/sessions.h"

namespace noroshi::gateway {
namespace {

using Holders = std::array<PrefixIndex::Holder, PrefixIndex::holders_max>;

std::vector<std::uint64_t> blocks_of(std::string_view text, Prng* cuts = nullptr) {
  PrefixHasher hasher("m");
  while (!text.empty()) {
    const std::size_t size =
        cuts ? std::min<std::size_t>(cuts->below(900), text.size()) : text.size();
    hasher.add(text.substr(0, size));
    text.remove_prefix(size);
  }
  return {hasher.blocks().begin(), hasher.blocks().end()};
}

std::string random_text(Prng& prng, std::size_t size) {
  std::string text(size, ' ');
  for (char& c : text) c = static_cast<char>(prng());
  return text;
}

TEST(Prefix, HashesAreEqualExactlyUpToTheFirstDifference) {
  constexpr std::uint64_t seed = 41;
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Prng prng(seed);
  for (int round = 0; round < 100; ++round) {
    const std::string text = random_text(prng, prng.below(200'000));
    const auto blocks = blocks_of(text);
    EXPECT_EQ(blocks_of(text, &prng), blocks) << "pieces must not matter";
    EXPECT_LE(prefix_bytes(blocks.size()), text.size());
    EXPECT_GT(prefix_bytes(blocks.size() + 1), text.size());
    if (text.empty()) continue;
    std::string other = text;
    const std::size_t at = prng.below(text.size());
    other[at] = static_cast<char>(other[at] ^ (1 << prng.below(8)));
    const auto changed = blocks_of(other);
    ASSERT_EQ(changed.size(), blocks.size());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(blocks[i] == changed[i], at >= prefix_bytes(i + 1)) << i;
    }
  }
}

TEST(Prefix, AHugePromptHasABoundedNumberOfBlocks) {
  EXPECT_EQ(prefix_bytes(1), 512u);
  EXPECT_EQ(prefix_bytes(65), 64u * 512 + 1024);
  EXPECT_LT(blocks_of(std::string(1 << 20, 'x')).size(), 400u);
  EXPECT_LE(blocks_of(std::string(300 << 20, 'x')).size(), prefix_blocks_max);
}

TEST(Prefix, FindsWhoHasMost) {
  Prng prng(43);
  const std::string text = random_text(prng, 20'000);
  const auto blocks = blocks_of(text);
  PrefixIndex index(1 << 12);
  for (std::uint32_t copy = 0; copy < 6; ++copy) index.add_copy(copy, 100'000);
  const std::span<const std::uint64_t> all(blocks);
  index.insert(all.first(3), 1);
  index.insert(all.first(30), 2);
  index.insert(all.first(10), 4);
  index.insert(all.first(10), 5);
  Holders holders;
  ASSERT_EQ(index.find(all, holders), 4u);
  EXPECT_EQ(holders[0].copy, 2u);
  EXPECT_EQ(holders[0].blocks, 30u);
  EXPECT_EQ(holders[1].copy, 5u) << "the later one of two equals first";
  EXPECT_EQ(holders[2].copy, 4u);
  EXPECT_EQ(holders[2].blocks, 10u);
  EXPECT_EQ(holders[3].copy, 1u);
  index.forget(2);
  ASSERT_EQ(index.find(all, holders), 3u);
  EXPECT_EQ(holders[0].copy, 5u);
  EXPECT_EQ(index.find(blocks_of(random_text(prng, 9000)), holders), 0u);
  EXPECT_EQ(index.find({}, holders), 0u);
}

TEST(Prefix, ACacheHoldsSoMuchAndTheLeastRecentlyUsedGoes) {
  Prng prng(44);
  PrefixIndex index(1 << 12);
  index.add_copy(0, 32 * 128);  // 32 blocks
  const auto first = blocks_of(random_text(prng, 10 * 512));
  const auto second = blocks_of(random_text(prng, 10 * 512));
  const auto third = blocks_of(random_text(prng, 10 * 512));
  const auto fourth = blocks_of(random_text(prng, 12 * 512));
  Holders holders;
  index.insert(first, 0);
  index.insert(second, 0);
  index.insert(third, 0);
  index.insert(first, 0);  // used again: costs no room
  index.insert(fourth, 0);
  EXPECT_EQ(index.find(first, holders), 1u);
  EXPECT_EQ(index.find(fourth, holders), 1u);
  EXPECT_EQ(index.find(third, holders), 1u);
  const auto fifth = blocks_of(random_text(prng, 20 * 512));
  index.insert(fifth, 0);
  EXPECT_EQ(index.find(second, holders), 0u);
  EXPECT_EQ(index.find(third, holders), 0u);
  EXPECT_EQ(index.find(fifth, holders), 1u);
}

TEST(Prefix, WhatWasForgottenNeverComesBack) {
  Prng prng(46);
  PrefixIndex index(1 << 12);
  index.add_copy(0, 1 << 30);
  const auto blocks = blocks_of(random_text(prng, 4096));
  index.insert(blocks, 0);
  Holders holders;
  ASSERT_EQ(index.find(blocks, holders), 1u);
  for (int i = 0; i < 1000; ++i) {
    index.forget(0);
    ASSERT_EQ(index.find(blocks, holders), 0u) << i;
  }
}

TEST(Prefix, TheTableNeverGrowsAndKeepsTheNewest) {
  Prng prng(45);
  PrefixIndex index(1 << 10);
  for (std::uint32_t copy = 0; copy < 4; ++copy) index.add_copy(copy, 1 << 30);
  const std::size_t bytes = index.memory_bytes();
  std::vector<std::uint64_t> last;
  for (int i = 0; i < 5000; ++i) {
    last = blocks_of(random_text(prng, 4 * 512));
    index.insert(last, static_cast<std::uint32_t>(prng.below(4)));
  }
  EXPECT_EQ(index.memory_bytes(), bytes);
  Holders holders;
  ASSERT_EQ(index.find(last, holders), 1u);
  EXPECT_EQ(holders[0].blocks, 4u);
}

TEST(Sessions, RemembersTheLastTurnAndForgetsTheOldest) {
  Sessions sessions(64);
  for (std::uint64_t session = 1; session <= 8; ++session) {
    sessions.put(session << 32, {static_cast<std::uint32_t>(session), 1, 10});  // all in one bucket
  }
  sessions.put(1ull << 32, {99, 1, 20});
  EXPECT_EQ(sessions.find(1ull << 32)->copy, 99u);
  EXPECT_EQ(sessions.find(1ull << 32)->tokens, 20);
  sessions.put(9ull << 32, {9, 1, 1});
  EXPECT_FALSE(sessions.find(2ull << 32)) << "the one unused for longest";
  EXPECT_TRUE(sessions.find(1ull << 32) && sessions.find(3ull << 32) && sessions.find(9ull << 32));
}

}  // namespace
}  // namespace noroshi::gateway
