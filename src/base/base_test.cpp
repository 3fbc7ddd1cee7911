// Catches: a view that computes a wrong offset, a ring that loses or reorders, a histogram whose
// quantile leaves its bin, a generator that changes (replays would break).

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/bench.h"
#include "base/clock.h"
#include "base/every_target.h"
#include "base/histogram.h"
#include "base/loopback.h"
#include "base/prng.h"
#include "base/ring.h"
#include "base/slot.h"
#include "base/units.h"
#include "base/view.h"

namespace noroshi {
namespace {

TEST(View, LastIndexIsFastest) {
  std::vector<int> data(2 * 3 * 5);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<int>(i);
  const View<int, 3> view(data.data(), 2, 3, 5);
  EXPECT_EQ(view(1, 2, 4), 29);
  EXPECT_EQ(view[1][0][3], 18);
  EXPECT_EQ(view[1].subview(1, 2)(0, 0), 20);
  const View<const int, 3> read_only = view;
  EXPECT_EQ(read_only.size(), data.size());
}

TEST(Ring, KeepsOrderAndRefusesWhenFull) {
  Ring<int> ring(4);
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(ring.push(i));
  EXPECT_FALSE(ring.push(4));
  for (int i = 0; i < 4; ++i) {
    ASSERT_NE(ring.front(), nullptr);
    EXPECT_EQ(*ring.front(), i);
    ring.pop();
  }
  EXPECT_EQ(ring.front(), nullptr);
}

TEST(Histogram, QuantileIsWithinOneBin) {
  Histogram histogram;
  std::vector<std::uint64_t> values;
  Prng prng(7);
  for (int i = 0; i < 10'000; ++i) {
    values.push_back(static_cast<std::uint64_t>(prng.exponential() * 100'000));
    histogram.add(values.back());
  }
  std::ranges::sort(values);
  for (const double q : {0.01, 0.5, 0.99, 0.999}) {
    const auto exact = static_cast<double>(values[static_cast<std::size_t>(q * 10'000) - 1]);
    EXPECT_GE(static_cast<double>(histogram.quantile(q)), exact);
    EXPECT_LE(static_cast<double>(histogram.quantile(q)), exact * 1.01 + 1);
  }
  EXPECT_EQ(histogram.max(), values.back());
  EXPECT_EQ(histogram.quantile(1.0), values.back());
}

TEST(Prng, IsTheSameForever) {
  Prng prng(1);
  EXPECT_EQ(prng(), 14971601782005023387u);
  double sum = 0;
  double squares = 0;
  for (int i = 0; i < 100'000; ++i) {
    const double x = prng.normal();
    sum += x;
    squares += x * x;
  }
  EXPECT_NEAR(sum / 1e5, 0, 0.02);
  EXPECT_NEAR(squares / 1e5, 1, 0.03);
}

TEST(Bits, MostSignificantFirst) {
  std::uint8_t bytes[2] = {0, 0};
  set_bit(bytes, 0, true);
  set_bit(bytes, 15, true);
  EXPECT_EQ(bytes[0], 0x80);
  EXPECT_EQ(bytes[1], 0x01);
  EXPECT_TRUE(bit_at(bytes, 15));
  EXPECT_FALSE(bit_at(bytes, 8));
}

TEST(Loopback, IsThisMachineAndNothingElse) {
  for (const char* own : {"localhost", "127.0.0.1", "127.9.8.7", "::1", "[::1]"}) {
    EXPECT_TRUE(is_loopback(own)) << own;
  }
  for (const char* other : {"", "0.0.0.0", "::", "10.0.0.1", "128.0.0.1", "127.example.net",
                            "127.0.0.1.example.net", "localhost.example.net", "[::]", "[", "::2"}) {
    EXPECT_FALSE(is_loopback(other)) << other;
  }
  for (const char* own : {"nats://127.0.0.1:4222", "tls://localhost", "nats://[::1]:4222",
                          "nats://[::1]", "tls://localhost:1/"}) {
    EXPECT_TRUE(is_loopback_url(own)) << own;
  }
  for (const char* other : {"tls://core.example.net:7422", "nats://10.0.0.1", "nats://[::2]:4222",
                            "nats://", "tls://example.net:1/127.0.0.1"}) {
    EXPECT_FALSE(is_loopback_url(other)) << other;
  }
}

TEST(Slot, NamesWrapAtTheFrameCycle) {
  EXPECT_EQ(slot_name(20 * 1024 + 21, 30), (SlotName{1, 1}));
  EXPECT_EQ(slot_duration_ns(30), 500'000);
}

TEST(Clock, ManualMovesOnlyWhenTold) {
  ManualClock clock;
  clock.sleep_until_ns(50);
  clock.sleep_until_ns(20);
  EXPECT_EQ(clock.now_ns(), 50);
  MonotonicClock real;
  const std::int64_t start = real.now_ns();
  real.sleep_until_ns(start + 1'000'000);
  EXPECT_GE(real.now_ns(), start + 1'000'000);
}

TEST(Bench, FailureRateStopsAtItsBounds) {
  Bench bench("x", {});
  bench.failure_rate("every third", 5, 1000, [](std::uint64_t trial) { return trial % 3 == 2; });
  bench.failure_rate("never", 5, 200, [](std::uint64_t) { return false; });
  ASSERT_EQ(bench.results().size(), 2u);
  EXPECT_EQ(bench.results()[0].runs, 15);
  EXPECT_DOUBLE_EQ(bench.results()[0].median, 1.0 / 3);
  EXPECT_EQ(bench.results()[1].runs, 200);
  EXPECT_EQ(bench.results()[1].median, 0);
  // Wilson's interval, by hand: 5 of 15, and 0 of 200 (z^2 / (n + z^2)).
  EXPECT_NEAR(bench.results()[0].low, 0.1518, 1e-4);
  EXPECT_NEAR(bench.results()[0].high, 0.5829, 1e-4);
  EXPECT_EQ(bench.results()[1].low, 0);
  EXPECT_NEAR(bench.results()[1].high, 0.01884, 1e-5);
}

TEST(EveryTarget, AnUnknownNameIsAnErrorThatListsWhatThereIs) {
  const auto chosen = use_target_named("avx1024");
  ASSERT_FALSE(chosen);
  EXPECT_NE(chosen.error().message.find("'avx1024'"), std::string::npos);
  int targets = 0;
  on_every_target([&](const char*) { ++targets; });
  EXPECT_GE(targets, 1);
  EXPECT_TRUE(use_target_named("scalar"));
  use_target(0);
}

TEST(Bench, CountsRunsAndFilters) {
  Bench bench("x", {.case_filter = "yes", .stop_after_one = true});
  int runs = 0;
  bench.time_us("no", [&] { return static_cast<std::uint64_t>(++runs); });
  bench.time_us("yes", [&] { return static_cast<std::uint64_t>(++runs); });
  EXPECT_EQ(runs, 1);
  ASSERT_EQ(bench.results().size(), 1u);
  EXPECT_EQ(bench.results()[0].hash, 1u);
}

}  // namespace
}  // namespace noroshi
