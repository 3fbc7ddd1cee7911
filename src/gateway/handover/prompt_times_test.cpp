// Catches: a speed that is taken from a prompt of another length though a nearer one is known, or
// from a prompt that was in the cache; a guess where nothing is known.

#include "gateway/handover/prompt_times.h"

#include <gtest/gtest.h>

namespace noroshi::gateway {
namespace {

TEST(PromptTimes, TheNearestLengthCounts) {
  PromptTimes times;
  EXPECT_EQ(times.tokens_per_s(100), 0) << "not known";
  EXPECT_EQ(times.tokens(400), 100) << "four bytes each";
  times.learn(2000, 1000, 1000, 2);
  EXPECT_EQ(times.tokens(2000), 1000);
  EXPECT_NEAR(times.tokens_per_s(1000), 500, 1e-9);
  EXPECT_NEAR(times.tokens_per_s(1), 500, 1e-9);
  EXPECT_NEAR(times.tokens_per_s(1 << 30), 500, 1e-9);
  times.learn(200, 100, 100, 0.1);
  EXPECT_NEAR(times.tokens_per_s(100), 1000, 1e-9);
  EXPECT_NEAR(times.tokens_per_s(1000), 500, 1e-9);
  EXPECT_NEAR(times.tokens_per_s(8000), 500, 1e-9);
  EXPECT_NEAR(times.tokens_per_s(200), 1000, 1e-9);
  EXPECT_NEAR(times.tokens_per_s(500), 500, 1e-9);
}

TEST(PromptTimes, WhatSaysNothingTeachesNothing) {
  PromptTimes times;
  times.learn(4000, 1000, 15, 1);    // nearly all was in the cache
  times.learn(4000, 1000, 2000, 1);  // more than there were
  times.learn(4000, 1000, 1000, 0);
  times.learn(0, 0, 0, 1);
  EXPECT_EQ(times.tokens_per_s(1000), 0);
  times.learn(4000, 1000, 500, 1);
  EXPECT_NEAR(times.tokens_per_s(1000), 500, 1e-9);
  for (int i = 0; i < 40; ++i) times.learn(4000, 1000, 1000, 4);
  EXPECT_NEAR(times.tokens_per_s(1000), 250, 1) << "the newest count most";
}

}  // namespace
}  // namespace noroshi::gateway
