// Catches: traffic files read wrongly or refused without file, line and column; offered rates that
// are not the configured ones; replays that stop, repeat or skip.

#include "mac/traffic.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace noroshi::mac {
namespace {

TEST(TrafficCsv, ReadsArrivals) {
  const auto arrivals = parse_traffic_csv("time_s,bytes\r\n0,100\r\n0.5,1500\n0.5,1", "t");
  ASSERT_TRUE(arrivals.ok()) << arrivals.error().message;
  const std::vector<std::pair<double, std::int64_t>> expected = {{0, 100}, {0.5, 1500}, {0.5, 1}};
  EXPECT_EQ(*arrivals, expected);
}

TEST(TrafficCsv, ErrorsNameLineAndColumn) {
  const struct {
    const char* text;
    const char* where;
  } cases[] = {
      {"", "t:1:1: "},
      {"bytes,time_s\n1,2\n", "t:1:1: "},
      {"time_s,bytes\n", "t:1:1: "},
      {"time_s,bytes\n1,2\nx,2\n", "t:3:1: "},
      {"time_s,bytes\n-1,2\n", "t:2:1: "},
      {"time_s,bytes\nnan,2\n", "t:2:1: "},
      {"time_s,bytes\n1,2\n0.5,2\n", "t:3:1: "},
      {"time_s,bytes\n1.25\n", "t:2:5: "},
      {"time_s,bytes\n1.25;3\n", "t:2:5: "},
      {"time_s,bytes\n1.25,\n", "t:2:6: "},
      {"time_s,bytes\n1.25,0\n", "t:2:6: "},
      {"time_s,bytes\n1.25,99999999999999999999\n", "t:2:6: "},
      {"time_s,bytes\n1.25,17 \n", "t:2:8: "},
      {"time_s,bytes\n1,2\n\n3,4\n", "t:3:1: "},
  };
  for (const auto& c : cases) {
    const auto arrivals = parse_traffic_csv(c.text, "t");
    ASSERT_FALSE(arrivals.ok()) << c.text;
    EXPECT_EQ(arrivals.error().message.rfind(c.where, 0), 0u) << arrivals.error().message;
  }
}

TEST(TrafficCsv, ReadsFilesAndNamesThoseItCannot) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("noroshi_traffic_" +
                     std::to_string(::testing::UnitTest::GetInstance()->random_seed()) + ".csv");
  std::ofstream(path) << "time_s,bytes\n2,7\n";
  const auto arrivals = read_traffic_csv(path.string());
  ASSERT_TRUE(arrivals.ok());
  EXPECT_EQ(arrivals->at(0).second, 7);
  std::filesystem::remove(path);
  const auto missing = read_traffic_csv(path.string());
  ASSERT_FALSE(missing.ok());
  EXPECT_NE(missing.error().message.find(path.string()), std::string::npos);
}

TEST(Traffic, PoissonOffersTheConfiguredRate) {
  Traffic traffic;
  traffic.kind = Traffic::Kind::poisson;
  traffic.mbps = 8;
  traffic.packet_bytes = 500;  // 2000 packets a second
  constexpr std::uint64_t seed = 5;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  TrafficQueue queue(traffic, seed, 1);
  std::int64_t total = 0;
  int empty = 0;
  for (int slot = 1; slot <= 40'000; ++slot) {
    arrive(queue, slot * 500e-6);
    total += queue.backlog_bytes;
    empty += queue.backlog_bytes == 0;
    EXPECT_EQ(queue.backlog_bytes % 500, 0);
    depart(queue, queue.backlog_bytes);
  }
  EXPECT_NEAR(static_cast<double>(total), 20e6, 4 * 500 * 200);  // 4 sigma of 40000 packets
  EXPECT_NEAR(empty, 40'000 / 2.718282, 4 * 100);                // one packet a slot on average
}

TEST(Traffic, ReplayLoopsOrEnds) {
  Traffic traffic;
  traffic.kind = Traffic::Kind::replay;
  traffic.arrivals = {{0.0, 10}, {0.2, 20}, {1.0, 30}};
  for (const bool loop : {true, false}) {
    traffic.loop = loop;
    TrafficQueue queue(traffic, 1, 1);
    arrive(queue, 0.1);
    EXPECT_EQ(queue.backlog_bytes, 10);
    arrive(queue, 0.999);
    EXPECT_EQ(queue.backlog_bytes, 30);
    arrive(queue, 1.0);  // the end of one round is the start of the next
    EXPECT_EQ(queue.backlog_bytes, loop ? 70 : 60);
    arrive(queue, 2.5);
    EXPECT_EQ(queue.backlog_bytes, loop ? 60 + 60 + 30 : 60);
    depart(queue, 1000);
    EXPECT_EQ(queue.backlog_bytes, 0);
  }
}

TEST(Traffic, ReplayAtOneInstantDoesNotHang) {
  Traffic traffic;
  traffic.kind = Traffic::Kind::replay;
  traffic.arrivals = {{0.0, 10}};
  TrafficQueue queue(traffic, 1, 1);
  arrive(queue, 1e6);
  EXPECT_GT(queue.backlog_bytes, 0);
  EXPECT_LE(queue.backlog_bytes, 10 * 4096);
}

}  // namespace
}  // namespace noroshi::mac
