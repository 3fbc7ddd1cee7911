// Catches: a usage record lost or counted twice on its way from the gateway's disk to the store,
// whatever dies in between; messages that are no records stopping those that are.
//
// A real nats-server; gateways and meters that are killed are real processes: this program again,
// as the two DISABLED tests.

#include "meter/meter.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>
#include <set>
#include <thread>

#include "base/prng.h"
#include "fleet/real_server_test.h"
#include "meter/ship.h"

namespace noroshi::meter {
namespace {

using fleet::TemporaryFolder;
using fleet::wait_s;

std::int64_t now_unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

UsageRecord record(const std::string& id, const std::string& tenant = "acme") {
  const std::int64_t now_ns = now_unix_ns();
  return {.id = id,
          .tenant = tenant,
          .model = "tiny",
          .site = "east1",
          .endpoint = "chat",
          .tokens_prompt = 100,
          .tokens_completion = 10,
          .received_ns = now_ns,
          .done_ns = now_ns};
}

Result<void> append(Spool& spool, std::string bytes) {
  std::promise<Result<void>> outcome;
  spool.append(std::move(bytes), [&](const Result<void>& done) { outcome.set_value(done); });
  return outcome.get_future().get();
}

SpoolConfig spool_in(const std::filesystem::path& folder) {
  return {.directory = folder.string(), .segment_bytes = 1 << 20, .reserve_bytes = 1 << 18};
}

class MeterTest : public testing::Test {
 protected:
  MeterConfig config() {
    return {.store = (folder.path / "usage.db").string(), .acknowledge_s = 1, .retry_ms = 20};
  }
  std::set<std::string> stored() {
    auto store = Store::open(config().store, Access::read);
    EXPECT_TRUE(store) << (store ? "" : store.error().message);
    const auto ids = store->ids();
    return {ids->begin(), ids->end()};
  }
  // kill -9, and its next life.
  void kill_server() {
    const auto before = server.status();
    ASSERT_EQ(kill(before.pid, SIGKILL), 0);
    ASSERT_TRUE(server.wait_until(
        [&](const auto& s) { return s.ready && s.restarts > before.restarts; }, wait_s))
        << server.status().last_error;
  }

  TemporaryFolder folder;
  fleet::NatsServer server = fleet::start_server({.folder = (folder.path / "nats").string()});
  std::unique_ptr<fleet::Bus> bus = fleet::connect_to(server.status().url, "test");
};

TEST_F(MeterTest, RecordsGoFromTheSpoolIntoTheStoreAndOutOfTheSpool) {
  auto meter = Meter::start(*bus, config());
  ASSERT_TRUE(meter) << meter.error().message;
  auto spool = Spool::open(spool_in(folder.path / "spool"));
  ASSERT_TRUE(spool) << spool.error().message;
  auto shipper = Shipper::start(*spool, *bus, {.gateway = "gw1", .retry_ms = 20});
  ASSERT_TRUE(shipper) << shipper.error().message;
  std::set<std::string> sent;
  for (int i = 0; i < 1000; ++i) {
    const std::string id = "r" + std::to_string(i);
    sent.insert(id);
    spool->append(encode_record(record(id)), [](const Result<void>& done) { ASSERT_TRUE(done); });
  }
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.store.inserted == 1000; }, wait_s))
      << meter->counters().last_error << shipper->counters().last_error;
  EXPECT_TRUE(shipper->wait_empty(wait_s));
  EXPECT_EQ(stored(), sent);
  EXPECT_EQ(meter->counters().store.duplicates, 0u);
}

TEST_F(MeterTest, WithoutABusTheSpoolGrowsAndIsShippedOnceLater) {
  ASSERT_TRUE(ensure_usage_stream(*bus, {}, wait_s));
  const std::string url = server.status().url;
  const int tcp_port = server.status().tcp_port;
  auto spool = Spool::open(spool_in(folder.path / "spool"));
  ASSERT_TRUE(spool);
  auto shipper =
      Shipper::start(*spool, *bus, {.gateway = "gw1", .publish_timeout_s = 1, .retry_ms = 5});
  ASSERT_TRUE(shipper);
  server.stop();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(append(*spool, encode_record(record("r" + std::to_string(i)))));
  }
  EXPECT_EQ(spool->counters().waiting, 200u);
  EXPECT_TRUE(spool->accepts());
  server = fleet::start_server({.folder = (folder.path / "nats").string(), .tcp_port = tcp_port});
  ASSERT_TRUE(shipper->wait_empty(wait_s)) << shipper->counters().last_error;
  EXPECT_GT(shipper->counters().failures, 0u);
  auto meter = Meter::start(*bus, config());
  ASSERT_TRUE(meter);
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.store.inserted >= 200; }, wait_s));
  EXPECT_EQ(stored().size(), 200u);
}

TEST_F(MeterTest, AStreamThatNobodyHasMadeYetIsWaitedFor) {
  auto spool = Spool::open(spool_in(folder.path / "spool"));
  ASSERT_TRUE(spool);
  auto shipper = Shipper::start(*spool, *bus, {.gateway = "gw1", .retry_ms = 0});
  ASSERT_TRUE(shipper);
  for (int i = 0; i < 60; ++i) {
    ASSERT_TRUE(append(*spool, encode_record(record("r" + std::to_string(i)))));
  }
  while (shipper->counters().failures < 50) std::this_thread::yield();
  EXPECT_NE(shipper->counters().last_error.find("No responders"), std::string::npos);
  auto meter = Meter::start(*bus, config());
  ASSERT_TRUE(meter);
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.store.inserted == 60; }, wait_s));
  EXPECT_EQ(stored().size(), 60u);
}

TEST_F(MeterTest, AMeterThatDiesBetweenTransactionAndAcknowledgementCountsNothingTwice) {
  ASSERT_TRUE(ensure_usage_stream(*bus, {}, wait_s));
  for (int i = 0; i < 50; ++i) {
    const std::string id = "r" + std::to_string(i);
    ASSERT_TRUE(bus->publish_kept("noroshi.usage.gw1", encode_record(record(id)), id, wait_s));
  }
  // Its consumer stays, as a dead process's does.
  auto consumer = bus->consume(
      {.stream = usage_stream, .durable = "meter", .acknowledge_s = 1, .unacknowledged_max = 2000},
      wait_s);
  {
    // What it did until it died.
    ASSERT_TRUE(consumer) << consumer.error().message;
    const auto batch = (*consumer)->fetch(30, wait_s);
    ASSERT_TRUE(batch);
    ASSERT_FALSE(batch->empty());
    MeterCounters counters;
    const Sorted sorted = sort_batch(*batch, config(), now_unix_ns(), counters);
    auto store = Store::open(config().store, Access::write);
    ASSERT_TRUE(store);
    ASSERT_EQ(store->insert(sorted.records, sorted.aside, now_unix_ns())->inserted, batch->size());
  }
  auto meter = Meter::start(*bus, config());
  ASSERT_TRUE(meter);
  ASSERT_TRUE(meter->wait_until(
      [](const auto& c) { return c.store.inserted + c.store.duplicates >= 50; }, wait_s));
  EXPECT_GT(meter->counters().store.duplicates, 0u);
  EXPECT_GT(meter->counters().redelivered, 0u);
  EXPECT_EQ(stored().size(), 50u);
}

TEST_F(MeterTest, DuplicatesOfEveryKindCountOnce) {
  auto meter = Meter::start(*bus, config());
  ASSERT_TRUE(meter);
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.working; }, wait_s));
  const std::string bytes = encode_record(record("same"));
  const auto publish = [&](const std::string& message_id) {
    const auto published = bus->publish_kept("noroshi.usage.gw1", bytes, message_id, wait_s);
    ASSERT_TRUE(published) << published.error().message;
  };
  publish("same");
  publish("same");     // the stream drops it
  publish("another");  // as after the stream's window: the store knows it
  publish("");
  ASSERT_TRUE(meter->wait_until(
      [](const auto& c) { return c.store.inserted + c.store.duplicates == 3; }, wait_s));
  EXPECT_EQ(meter->counters().store.inserted, 1u);
  EXPECT_EQ(stored(), std::set<std::string>{"same"});
}

TEST_F(MeterTest, HostileMessagesAreKeptAsideAndDisturbNothing) {
  MeterConfig with_tenants = config();
  with_tenants.tenant_known = [](const std::string& tenant) { return tenant == "acme"; };
  auto meter = Meter::start(*bus, with_tenants);
  ASSERT_TRUE(meter);
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.working; }, wait_s));
  const auto publish = [&](const std::string& bytes) {
    ASSERT_TRUE(bus->publish_kept("noroshi.usage.gw1", bytes, "", wait_s));
  };
  Prng prng(3);
  std::string noise;
  for (int i = 0; i < 300; ++i) noise += static_cast<char>(prng());
  publish(noise);
  publish("");
  publish(std::string(500'000, '['));
  publish(R"({"v":1,"id":"x","tenant":"acme","prompt":-5})");
  publish(encode_record(record("good 1")));
  publish(encode_record(record("stranger", "nobody")));
  UsageRecord skewed = record("ahead by a minute and a half");
  skewed.done_ns += 90'000'000'000;
  publish(encode_record(skewed));
  skewed.id = "a year ahead";
  skewed.done_ns += 31'536'000'000'000'000;
  publish(encode_record(skewed));
  publish(encode_record(record("good 2")));
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.messages >= 9; }, wait_s));
  const MeterCounters counters = meter->counters();
  EXPECT_EQ(counters.malformed, 4u);
  EXPECT_EQ(counters.unknown_tenant, 1u);
  EXPECT_EQ(counters.from_the_future, 1u);
  EXPECT_EQ(counters.store.aside, 6u);
  EXPECT_EQ(stored(), (std::set<std::string>{"good 1", "good 2", "ahead by a minute and a half"}));
  ASSERT_EQ(counters.skew_s.size(), 1u);
  EXPECT_GT(counters.skew_s.at("noroshi.usage.gw1"), 60);
  EXPECT_NE(meter->metrics_text().find("noroshi_meter_malformed_total 4"), std::string::npos);
}

TEST_F(MeterTest, AStoreThatFailsIsTriedAgain) {
  auto meter = Meter::start(*bus, config());
  ASSERT_TRUE(meter);
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.working; }, wait_s));
  // Another program locks the database for longer than the meter waits... here: takes the table.
  auto sql = open_sqlite(config().store, Access::write);
  ASSERT_TRUE(sql);
  ASSERT_TRUE((*sql)->run("ALTER TABLE noroshi_usage RENAME TO gone"));
  ASSERT_TRUE(bus->publish_kept("noroshi.usage.gw1", encode_record(record("r")), "r", wait_s));
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.failures > 0; }, wait_s));
  EXPECT_NE(meter->counters().last_error.find("noroshi_usage"), std::string::npos);
  ASSERT_TRUE((*sql)->run("ALTER TABLE gone RENAME TO noroshi_usage"));
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.store.inserted == 1; }, wait_s));
  EXPECT_EQ(stored(), std::set<std::string>{"r"});
}

TEST_F(MeterTest, NamesThatAreNoWordsAreRefused) {
  auto spool = Spool::open(spool_in(folder.path / "spool"));
  ASSERT_TRUE(spool);
  const auto shipper = Shipper::start(*spool, *bus, {.gateway = "gw.>"});
  ASSERT_FALSE(shipper);
  EXPECT_NE(shipper.error().message.find("'gw.>'"), std::string::npos);
  MeterConfig wrong = config();
  wrong.batch = 0;
  EXPECT_NE(Meter::start(*bus, wrong).error().message.find("batch 0"), std::string::npos);
  wrong = config();
  wrong.store = "/no/such/folder/usage.db";
  EXPECT_NE(Meter::start(*bus, wrong).error().message.find("/no/such/folder"), std::string::npos);
}

// --- everything dies ---------------------------------------------------------------------------

// This program again, as one of the DISABLED tests below.
struct Child {
  pid_t pid = 0;
  int fd = -1;  // what it writes

  void start(const char* test, const std::string& url, const std::string& folder,
             const std::string& life) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const std::string output = std::to_string(ends[1]);
    const std::string filter = std::string("--gtest_filter=") + test;
    pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(ends[0]);
      setenv("METER_CHILD_URL", url.c_str(), 1);
      setenv("METER_CHILD_FOLDER", folder.c_str(), 1);
      setenv("METER_CHILD_LIFE", life.c_str(), 1);
      setenv("METER_CHILD_OUTPUT", output.c_str(), 1);
      dup2(open("/dev/null", O_WRONLY), 1);
      execl("/proc/self/exe", "meter_test", filter.c_str(), "--gtest_also_run_disabled_tests",
            nullptr);
      _exit(127);
    }
    close(ends[1]);
    fd = ends[0];
  }
  void kill_now() {
    ASSERT_EQ(kill(pid, SIGKILL), 0);
    int status = 0;
    waitpid(pid, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << "it ended by itself: " << status;
  }
};

// Words of a child that cannot go on; its standard output goes nowhere.
template <class T>
std::string complaint(const Result<T>& result) {
  const std::string text = result ? "" : result.error().message;
  std::fprintf(stderr, "child: %s\n", text.c_str());
  return text;
}

// Answers requests without end: each record's id goes to the parent when it is safe.
TEST(MeterChild, DISABLED_Gateway) {
  const char* url = std::getenv("METER_CHILD_URL");
  if (url == nullptr) GTEST_SKIP() << "a part of another test";
  const std::string folder = std::getenv("METER_CHILD_FOLDER");
  const std::string life = std::getenv("METER_CHILD_LIFE");
  const int output = std::stoi(std::getenv("METER_CHILD_OUTPUT"));
  auto bus = fleet::connect_nats({.urls = {url}, .name = "gateway"}, 0);
  ASSERT_TRUE(bus) << complaint(bus);
  auto spool = Spool::open(spool_in(folder + "/spool"));
  ASSERT_TRUE(spool);
  auto shipper = Shipper::start(
      *spool, **bus, {.gateway = "gw1", .batch = 16, .publish_timeout_s = 1, .retry_ms = 5});
  ASSERT_TRUE(shipper);
  for (int n = 0;; ++n) {
    const std::string id = life + "-" + std::to_string(n);
    const auto done = [&](const Result<void>& outcome) {
      const std::string line = id + "\n";
      if (outcome && write(output, line.data(), line.size()) < 0) _exit(1);
    };
    done(append(*spool, encode_record(record(id))));
  }
}

TEST(MeterChild, DISABLED_Meter) {
  const char* url = std::getenv("METER_CHILD_URL");
  if (url == nullptr) GTEST_SKIP() << "a part of another test";
  const std::string folder = std::getenv("METER_CHILD_FOLDER");
  const int output = std::stoi(std::getenv("METER_CHILD_OUTPUT"));
  auto bus = fleet::connect_nats({.urls = {url}, .name = "meter"}, 0);
  ASSERT_TRUE(bus) << complaint(bus);
  auto meter = Meter::start(
      **bus, {.store = folder + "/usage.db", .batch = 20, .acknowledge_s = 1, .retry_ms = 5});
  ASSERT_TRUE(meter);
  for (std::uint64_t seen = 0;;) {
    meter->wait_until([&](const auto& c) { return c.store.inserted > seen; }, 3600);
    seen = meter->counters().store.inserted;
    if (write(output, ".", 1) != 1) _exit(1);
  }
}

TEST_F(MeterTest, WhateverDiesEveryRecordIsThereOnce) {
  const char* text = std::getenv("NOROSHI_TEST_SEED");
  const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  ASSERT_TRUE(ensure_usage_stream(*bus, {}, wait_s));
  const std::string url = server.status().url;
  const std::string path = folder.path.string();
  Child gateway, meter;
  int life = 0;
  gateway.start("MeterChild.DISABLED_Gateway", url, path, "a");
  meter.start("MeterChild.DISABLED_Meter", url, path, "");
  std::set<std::string> safe;
  std::string line;
  const auto read_safe = [&](std::size_t until) {
    char c = 0;
    while (safe.size() < until && read(gateway.fd, &c, 1) == 1) {
      if (c != '\n') {
        line += c;
        continue;
      }
      safe.insert(line);
      line.clear();
    }
  };
  const auto read_rest = [&] {
    read_safe(~std::size_t{0});
    close(gateway.fd);
    line.clear();
  };
  for (int round = 0; round < 9; ++round) {
    SCOPED_TRACE(round);
    read_safe(safe.size() + 20 + prng.below(200));
    switch (round % 3) {
      case 0:
        gateway.kill_now();
        read_rest();
        gateway.start("MeterChild.DISABLED_Gateway", url, path,
                      std::string(1, static_cast<char>('b' + life++)));
        break;
      case 1: {
        char c = 0;
        ASSERT_EQ(read(meter.fd, &c, 1), 1) << "the meter ended by itself; it says why on stderr";
        meter.kill_now();
        close(meter.fd);
        meter.start("MeterChild.DISABLED_Meter", url, path, "");
        break;
      }
      default:
        kill_server();
    }
    if (HasFatalFailure()) return;
  }
  read_safe(safe.size() + 100);
  gateway.kill_now();
  read_rest();
  meter.kill_now();
  close(meter.fd);

  // What is left in the spool and in the stream.
  auto spool = Spool::open(spool_in(folder.path / "spool"));
  ASSERT_TRUE(spool) << spool.error().message;
  auto shipper = Shipper::start(*spool, *bus, {.gateway = "gw1", .retry_ms = 5});
  auto last = Meter::start(*bus, config());
  ASSERT_TRUE(last) << last.error().message;
  ASSERT_TRUE(shipper->wait_empty(wait_s)) << shipper->counters().last_error;
  // One more record at the end of the stream... and what a dead meter held comes after its time.
  ASSERT_TRUE(last->wait_until(
      [&](const MeterCounters&) {
        const std::set<std::string> there = stored();
        return std::ranges::includes(there, safe);
      },
      wait_s))
      << last->counters().last_error;
  EXPECT_EQ(last->counters().malformed, 0u);
  EXPECT_EQ(last->counters().store.conflicts, 0u);
  // The key makes doubled ones impossible; what must not be there is a record that no life made.
  EXPECT_LE(stored().size(), safe.size() + 10);
  EXPECT_GT(safe.size(), 300u);
}

}  // namespace
}  // namespace noroshi::meter
