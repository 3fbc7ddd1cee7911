// A tree for real: a core server with JetStream and two regions' servers as its leaf nodes, three
// nats-servers on the loopback; sites, gateways, control plane and metering as they are. Would
// catch a heartbeat, a desired state or a usage record that does not pass a leaf, a region that
// stands still when it is cut off, records that are lost or doubled when it comes back, and a site
// that is not told that its name is another's.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <list>
#include <map>
#include <set>
#include <thread>

#include "base/process.h"
#include "fleet/agent.h"
#include "fleet/control.h"
#include "fleet/feed.h"
#include "fleet/real_server_test.h"
#include "fleet/runner.h"
#include "meter/meter.h"
#include "meter/ship.h"
#include "trial/leaf_site_test.h"

namespace noroshi::trial {
namespace {

using fleet::wait_s;
using fleet::Watched;

sockaddr_in loopback(int tcp_port) {
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(tcp_port));
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return at;
}

// A way between two servers that can be cut: then nothing passes and nobody is told. Once it is
// mended its old connections end and new ones are taken.
class Way {
 public:
  explicit Way(int to) : to_(to) {
    const fleet::Listener listener = fleet::listen_on_loopback(8);
    listen_fd_ = listener.fd;
    tcp_port = listener.tcp_port;
    thread_ = std::thread([this] { carry(); });
  }
  Way(const Way&) = delete;
  Way& operator=(const Way&) = delete;
  ~Way() {
    stopping_ = true;
    thread_.join();
    close(listen_fd_);
  }
  void cut(bool away) { away_ = away; }

  int tcp_port = 0;

 private:
  struct Pair {
    int ends[2];
    Pair(int in, int out) : ends{in, out} {}
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
    ~Pair() {
      for (const int fd : ends) close(fd);
    }
  };
  static bool pass(int from, int to) {
    char bytes[65536];
    const ssize_t size = read(from, bytes, sizeof bytes);
    for (ssize_t at = 0; at < size;) {
      const ssize_t sent = send(to, bytes + at, static_cast<std::size_t>(size - at), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      at += sent;
    }
    return size > 0;
  }
  void take_one() {
    const int in = accept(listen_fd_, nullptr, nullptr);
    const int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in at = loopback(to_);
    if (in >= 0 && connect(out, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) {
      pairs_.emplace_back(in, out);
      return;
    }
    close(in);
    close(out);
  }
  void carry() {
    bool was_away = false;
    while (!stopping_) {
      if (std::exchange(was_away, away_.load()) && !away_) pairs_.clear();
      std::vector<pollfd> fds;
      if (!away_) {
        fds.push_back({listen_fd_, POLLIN, 0});
        for (const Pair& pair : pairs_) {
          for (const int fd : pair.ends) fds.push_back({fd, POLLIN, 0});
        }
      }
      poll(fds.data(), fds.size(), 10);
      if (fds.empty()) continue;
      std::size_t at = 1;
      for (auto pair = pairs_.begin(); pair != pairs_.end(); at += 2) {
        bool open = true;
        for (int i = 0; i < 2 && open; ++i) {
          if (fds[at + static_cast<std::size_t>(i)].revents == 0) continue;
          open = pass(pair->ends[i], pair->ends[1 - i]);
        }
        pair = open ? std::next(pair) : pairs_.erase(pair);
      }
      if (fds[0].revents != 0) take_one();
    }
    pairs_.clear();
  }

  const int to_;
  int listen_fd_ = -1;
  std::list<Pair> pairs_;
  std::atomic<bool> away_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// One region: a leaf server, a site, and a gateway with its spool.
struct Region {
  std::string name;
  std::string site;
  Way way;
  fleet::NatsServer server;
  std::unique_ptr<fleet::Bus> bus;
  MonotonicClock clock;

  Watched<std::set<std::string>> known;  // to the gateway
  Watched<std::map<std::string, int>> lost;

  LeafSite here;
  std::optional<fleet::Feed> feed;
  std::optional<meter::Spool> spool;
  std::optional<meter::Shipper> shipper;
  std::optional<fleet::Runner> fast, slow;

  Region(const std::filesystem::path& folder, const std::string& region, int hub_tcp_port)
      : name(region),
        site(region.substr(0, 1) + "1"),
        way(hub_tcp_port),
        server(fleet::start_server(
            {.name = region,
             .folder = (folder / region).string(),
             .jetstream = false,
             .remotes = {{.url = "nats-leaf://127.0.0.1:" + std::to_string(way.tcp_port)}}})),
        bus(*fleet::connect_nats(
            {.urls = {server.status().url}, .name = "in-" + region, .domain = fleet::core_domain},
            wait_s)) {}

  void start(const std::filesystem::path& folder) {
    here.start(*bus, clock, site, name, [this](fleet::SiteReport& report) { describe(report); });
    feed.emplace(*bus, clock, fleet::FeedConfig{.region = name, .id = "gw-" + name},
                 fleet::FeedSink{.update =
                                     [this](const gateway::SiteState& s) {
                                       known.change([&](auto& k) { k.insert(s.name); });
                                       return Result<void>();
                                     },
                                 .lost =
                                     [this](const std::string& s) {
                                       known.change([&](auto& k) { k.erase(s); });
                                       lost.change([&](auto& l) { ++l[s]; });
                                     },
                                 .allow = [](const std::string&, std::vector<std::string>) {}});
    ASSERT_TRUE(feed->start());
    auto opened = meter::Spool::open({.directory = (folder / ("spool-" + name)).string(),
                                      .segment_bytes = 1 << 20,
                                      .reserve_bytes = 1 << 18});
    ASSERT_TRUE(opened) << opened.error().message;
    spool.emplace(*std::move(opened));
    auto ships = meter::Shipper::start(
        *spool, *bus, {.gateway = "gw-" + name, .publish_timeout_s = 0.5, .retry_ms = 20});
    ASSERT_TRUE(ships) << ships.error().message;
    shipper.emplace(*std::move(ships));
    fast.emplace("fast", 0.01, [this] {
      here.agent->step();
      feed->step();
    });
    slow.emplace("slow", 0.05, [this] {
      here.agent->step_desired();
      here.agent->step_slow();
    });
  }
  void describe(fleet::SiteReport& report) {
    for (const fleet::ModelFile& model : here.desired.get().models) {
      report.site.models.push_back({.name = model.name, .content_hash = model.content_hash});
    }
    report.site.ready = !report.site.models.empty();
  }
  bool runs(std::size_t models) {
    return here.desired.wait(
        [&](const fleet::DesiredSite& d) { return d.models.size() == models; });
  }
  bool knows(const std::set<std::string>& sites) {
    return known.wait([&](const auto& k) { return k == sites; });
  }
  // Answers, each on the disk before the next.
  void answer(int requests, std::set<std::string>& answered) {
    for (int i = 0; i < requests; ++i) {
      const std::string id = name + "-" + std::to_string(answered.size());
      std::promise<bool> kept;
      spool->append(meter::encode_record({.id = id,
                                          .tenant = "acme",
                                          .model = "m",
                                          .site = site,
                                          .endpoint = "chat",
                                          .received_ns = 1'700'000'000'000'000'000,
                                          .done_ns = 1'700'000'000'000'000'001}),
                    [&](const Result<void>& done) { kept.set_value(done.ok()); });
      ASSERT_TRUE(kept.get_future().get());
      answered.insert(id);
    }
  }
};

class LeafTest : public testing::Test {
 protected:
  void SetUp() override {
    leaf_tcp_port = free_tcp_port();
    hub.emplace(fleet::start_server({.name = "hub",
                                     .folder = (folder.path / "hub").string(),
                                     .domain = fleet::core_domain,
                                     .leaf_tcp_port = leaf_tcp_port}));
    bus = fleet::connect_to(hub->status().url, "control");
    control.emplace(*bus, clock, fleet::ControlConfig{.id = "core", .instance = 1});
    ASSERT_TRUE(control->start());
    fast.emplace("fast", 0.01, [this] { control->step(); });
    slow.emplace("slow", 0.02, [this] {
      control->step_slow();
      control->step_plan();
    });
    auto started =
        meter::Meter::start(*bus, {.store = store_path(), .acknowledge_s = 1, .retry_ms = 20});
    ASSERT_TRUE(started) << started.error().message;
    meter.emplace(*std::move(started));
    for (auto [region, name] : {std::pair{&east, "east"}, {&west, "west"}}) {
      region->emplace(folder.path, name, leaf_tcp_port);
      (*region)->start(folder.path);
      if (HasFatalFailure()) return;
    }
  }
  std::string store_path() const { return (folder.path / "usage.db").string(); }
  std::set<std::string> stored() {
    auto store = meter::Store::open(store_path(), meter::Access::read);
    EXPECT_TRUE(store);
    const auto ids = store->ids();
    return {ids->begin(), ids->end()};
  }
  // From the other end of the tree.
  std::string ask(const fleet::Command& command) {
    const auto reply =
        east->bus->request(fleet::command_subject, fleet::command_text(command), wait_s);
    if (!reply) return reply.error().message;
    const auto answer = fleet::parse_answer(*reply);
    return !answer ? answer.error().message : answer->ok ? "" : answer->message;
  }

  fleet::TemporaryFolder folder;
  int leaf_tcp_port = 0;
  std::optional<fleet::NatsServer> hub;
  std::unique_ptr<fleet::Bus> bus;
  MonotonicClock clock;
  std::optional<fleet::Control> control;
  std::optional<meter::Meter> meter;
  std::optional<Region> east, west;
  std::optional<fleet::Runner> fast, slow;  // of the control plane
};

TEST_F(LeafTest, ARegionServesOnWhenItIsCutOffAndItsRecordsComeLaterOnce) {
  const std::set<std::string> both = {"e1", "w1"};
  ASSERT_TRUE(east->knows(both)) << "heartbeats within, digests across";
  ASSERT_TRUE(west->knows(both));
  while (!control->leads()) std::this_thread::yield();
  // Desired state: from a person in the east through the core to both sites.
  fleet::Command place{.kind = fleet::CommandKind::place, .by = "test"};
  place.model = {.name = "m", .content_hash = leaf_content, .copies_min = 2};
  std::string refused;  // facts are on the way
  ASSERT_TRUE(fleet::becomes_so([&] { return (refused = ask(place)).empty(); }))
      << refused << east->here.agent->status().last_error << west->here.agent->status().last_error;
  EXPECT_TRUE(east->runs(1));
  EXPECT_TRUE(west->runs(1));
  std::set<std::string> in_east, in_west;
  east->answer(50, in_east);
  west->answer(50, in_west);
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.store.inserted == 100; }, wait_s))
      << meter->counters().last_error << east->shipper->counters().last_error;

  west->way.cut(true);
  ASSERT_TRUE(east->knows({"e1"})) << "the west's site is lost to the east";
  EXPECT_EQ(west->lost.get().count("w1"), 0u) << "and not to its own region";
  west->answer(200, in_west);
  east->answer(50, in_east);
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.store.inserted == 150; }, wait_s));
  EXPECT_TRUE(west->shipper->wait_empty(0) == false) << "they wait in the west";
  EXPECT_EQ(west->known.get().count("w1"), 1u);
  fleet::Command drain{.kind = fleet::CommandKind::drain, .by = "test"};
  drain.site = "w1";
  ASSERT_EQ(ask(drain), "") << "decided without the west";
  EXPECT_FALSE(west->here.desired.get().draining);

  west->way.cut(false);
  EXPECT_TRUE(west->here.desired.wait([](const fleet::DesiredSite& d) { return d.draining; }));
  EXPECT_TRUE(east->knows(both));
  EXPECT_TRUE(west->shipper->wait_empty(wait_s)) << west->shipper->counters().last_error;
  ASSERT_TRUE(meter->wait_until([](const auto& c) { return c.store.inserted >= 350; }, wait_s));
  std::set<std::string> all = in_east;
  all.insert(in_west.begin(), in_west.end());
  EXPECT_EQ(stored(), all);
  EXPECT_EQ(meter->counters().store.conflicts, 0u);
  EXPECT_EQ(west->lost.get().count("w1"), 0u);
}

// While the west is cut off, somebody starts a site there by the name of one of the east.
TEST_F(LeafTest, TheYoungerOfTwoNamesakesIsToldWhenTheCutHeals) {
  const std::set<std::string> both = {"e1", "w1"};
  ASSERT_TRUE(east->knows(both));
  ASSERT_TRUE(west->knows(both));
  west->way.cut(true);
  ASSERT_TRUE(east->knows({"e1"}));
  const auto younger_bus = *fleet::connect_nats(
      {.urls = {west->server.status().url}, .name = "younger", .domain = fleet::core_domain},
      wait_s);
  LeafSite younger;
  younger.start(*younger_bus, clock, "e1", "west", [](fleet::SiteReport&) {});
  std::optional<fleet::Runner> beats, reads;
  beats.emplace("beats", 0.01, [&] { younger.agent->step(); });
  reads.emplace("reads", 0.05, [&] {
    younger.agent->step_desired();
    younger.agent->step_slow();
  });
  const auto is = [](const LeafSite& site, fleet::AgentState state) {
    return fleet::becomes_so([&] { return site.agent->status().state == state; });
  };
  ASSERT_TRUE(is(younger, fleet::AgentState::joined)) << "it hears nobody";
  west->way.cut(false);
  ASSERT_TRUE(is(younger, fleet::AgentState::refused)) << younger.agent->status().last_error;
  EXPECT_NE(younger.agent->status().refusal.find("region 'east' has a site named 'e1'"),
            std::string::npos)
      << younger.agent->status().refusal;
  EXPECT_EQ(east->here.agent->status().state, fleet::AgentState::joined);
  ASSERT_TRUE(east->knows(both));
  ASSERT_TRUE(west->knows(both));
  // The elder goes: the name is free.
  east->fast.reset();
  east->here.agent->leave();
  ASSERT_TRUE(is(younger, fleet::AgentState::joined)) << younger.agent->status().refusal;
  EXPECT_EQ(younger.agent->status().refusal, "");
  reads.reset();
  beats.reset();
}

}  // namespace
}  // namespace noroshi::trial
