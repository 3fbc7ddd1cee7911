// A region's server as a leaf node of a core that demands TLS and keys, both as `noroshi fleet`
// configures them, on the loopback. Would catch a site's own key that does not reach through, a
// right that a leaf's clients lack, a core that takes a stranger, a region that takes a false core,
// and either that is silent about it or stops the region.

#include <gtest/gtest.h>

#include <cstdio>

#include "base/clock.h"
#include "base/process.h"
#include "fleet/agent.h"
#include "fleet/control.h"
#include "fleet/doors.h"
#include "fleet/folder.h"
#include "fleet/keys.h"
#include "fleet/quotas.h"
#include "fleet/real_server_test.h"
#include "fleet/runner.h"
#include "gateway/route/route.h"
#include "trial/leaf_site_test.h"

namespace noroshi::trial {
namespace {

using fleet::wait_s;
using fleet::Watched;

class SecureLeafTest : public testing::Test {
 protected:
  fleet::TemporaryFolder folder;
  std::string core_folder = (folder.path / "core").string();
  std::string west_folder = (folder.path / "west").string();
  std::string leaf_key;
  int leaf_tcp_port = 0;
  std::string core_ca;
  MonotonicClock clock;
  std::optional<fleet::NatsServer> core;
  std::unique_ptr<fleet::Bus> control_bus;
  std::optional<fleet::Control> control;
  std::optional<fleet::Runner> fast, slow, plan;

  void SetUp() override {
    const fleet::CertificateFiles tls = certificates(core_folder);
    core_ca = tls.ca;
    const std::string key = user(core_folder, "control", "core", "");
    leaf_key = user(core_folder, "leaf", "west", "");
    leaf_tcp_port = free_tcp_port();
    core.emplace(
        fleet::start_server({.name = "core",
                             .folder = core_folder + "/nats",
                             .domain = fleet::core_domain,
                             .leaf_tcp_port = leaf_tcp_port,
                             .certificate_path = tls.certificate,
                             .key_path = tls.key,
                             .ca_path = tls.ca,
                             .users = users_of(core_folder, ""),
                             .leaves = fleet::nats_leaves(*fleet::read_users(core_folder))}));
    control_bus = connect(*core, tls.ca, key, "control", "core", "");
    fleet::ControlConfig config{.id = "core", .instance = 1};
    config.new_session_secret = fleet::new_session_secret;
    control.emplace(*control_bus, clock, std::move(config));
    ASSERT_TRUE(control->start());
    fast.emplace("fast", 0.01, [this] { control->step(); });
    slow.emplace("slow", 0.02, [this] { control->step_slow(); });
    plan.emplace("plan", 0.02, [this] { control->step_plan(); });
  }
  static fleet::CertificateFiles certificates(const std::string& where) {
    const auto made = fleet::make_certificates(where + "/keys", {"localhost", "127.0.0.1"});
    EXPECT_TRUE(made) << made.error().message;
    return *made;
  }
  static std::string user(const std::string& where, const std::string& role,
                          const std::string& name, const std::string& region) {
    const auto key = fleet::add_user(where, role, name, region);
    EXPECT_TRUE(key) << key.error().message;
    return *key;
  }
  static std::vector<fleet::NatsUser> users_of(const std::string& where,
                                               const std::string& domain) {
    return fleet::nats_users(*fleet::read_users(where), domain);
  }
  static std::unique_ptr<fleet::Bus> connect(const fleet::NatsServer& server, const std::string& ca,
                                             const std::string& key, const std::string& role,
                                             const std::string& name, const std::string& domain) {
    auto bus = fleet::connect_nats({.urls = {server.status().url},
                                    .name = name,
                                    .nkey_seed_path = key,
                                    .ca_path = ca,
                                    .role = role,
                                    .domain = domain},
                                   wait_s);
    EXPECT_TRUE(bus) << bus.error().message;
    return *std::move(bus);
  }
  fleet::NatsServer region_server(const std::string& key, const std::string& ca) {
    fleet::LeafLogin login;
    if (!key.empty()) login = *fleet::leaf_login(key);
    const fleet::CertificateFiles tls = certificates(west_folder);
    return fleet::start_server(
        {.name = "west",
         .folder = west_folder + "/nats",
         .jetstream = false,
         .remotes = {{.url = "tls://127.0.0.1:" + std::to_string(leaf_tcp_port),
                      .user = login.user,
                      .password = login.password,
                      .ca_path = ca}},
         .certificate_path = tls.certificate,
         .key_path = tls.key,
         .ca_path = tls.ca,
         .users = users_of(west_folder, fleet::core_domain)});
  }

  // A site of the region with its own key, as far as it gets.
  struct Site {
    std::unique_ptr<fleet::Bus> bus;
    LeafSite here;
    std::optional<fleet::Runner> fast, slow;

    Site(std::unique_ptr<fleet::Bus> its_bus, Clock& clock) : bus(std::move(its_bus)) {
      here.start(*bus, clock, "w1", "west",
                 [](fleet::SiteReport& report) { report.site.ready = true; });
      fast.emplace("fast", 0.01, [this] { here.agent->step(); });
      slow.emplace("slow", 0.05, [this] {
        here.agent->step_desired();
        here.agent->step_slow();
      });
    }
  };
};

TEST_F(SecureLeafTest, ASitesKeyReachesThroughTheRegionsServerIntoTheCore) {
  const std::string site_key = user(west_folder, "site", "w1", "west");
  fleet::NatsServer west = region_server(leaf_key, core_ca);
  Site site(connect(west, west_folder + "/keys/ca.pem", site_key, "site", "w1", fleet::core_domain),
            clock);
  const std::string admin_key = user(core_folder, "admin", "root", "");
  ASSERT_TRUE(core->set_users(users_of(core_folder, ""),
                              fleet::nats_leaves(*fleet::read_users(core_folder))));
  const auto admin = connect(*core, core_ca, admin_key, "admin", "root", "");
  fleet::Command place{.kind = fleet::CommandKind::place, .by = "test"};
  place.model = {.name = "m", .content_hash = leaf_content, .copies_min = 1};
  // Facts, and the leader's own term, are on the way.
  std::string why;
  const auto placed = [&] {
    const auto reply = admin->request(fleet::command_subject, fleet::command_text(place), wait_s);
    const auto answer =
        reply ? fleet::parse_answer(*reply) : Result<fleet::CommandAnswer>(reply.error());
    why = !answer ? answer.error().message : answer->ok ? "" : answer->message;
    return why.empty();
  };
  ASSERT_TRUE(fleet::becomes_so(placed))
      << why << "; " << site.here.agent->status().last_error << "; " << west.status().leaf_error;
  EXPECT_TRUE(site.here.desired.wait([](const auto& d) { return d.models.size() == 1; }))
      << site.here.agent->status().last_error;
  EXPECT_TRUE(west.wait_until([](const auto& s) { return s.leaf_error.empty(); }, wait_s));
  EXPECT_EQ(site.bus->trouble(), "") << "it may do all that it does";
  // The region's server holds it to its rights: it is not heard as another site.
  Watched<int> heard;
  const auto listening =
      control_bus->subscribe("noroshi.west.w2.beat", "",
                             [&](const fleet::Message&) { heard.change([](int& n) { ++n; }); });
  ASSERT_TRUE(listening);
  ASSERT_TRUE(control_bus->flush(wait_s));
  static_cast<void>(site.bus->publish("noroshi.west.w2.beat", "x"));
  ASSERT_TRUE(site.bus->flush(wait_s));
  const std::uint64_t beats = control->counters().beats;
  while (control->counters().beats < beats + 3) std::this_thread::yield();  // all came that will
  EXPECT_EQ(heard.get(), 0);
}

// One door at the core, one behind a region's server, each with its own key: they share the secret,
// and a session's turn and a tenant's use at one are known at the other, both ways.
TEST_F(SecureLeafTest, DoorsOfTwoRegionsAreOne) {
  const std::string core_key = user(core_folder, "gateway", "gc", "east");
  ASSERT_TRUE(core->set_users(users_of(core_folder, ""),
                              fleet::nats_leaves(*fleet::read_users(core_folder))));
  const std::string west_key = user(west_folder, "gateway", "gw", "west");
  fleet::NatsServer west = region_server(leaf_key, core_ca);
  struct Door {
    std::unique_ptr<fleet::Bus> bus;
    gateway::Router router;
    fleet::Doors doors;
    gateway::Tenants tenants{{{.name = "a", .quota = {.requests_at_once = 1}}}};
    fleet::Quotas quotas;
    fleet::Runner runner{"door", 0.01, [this] {
                           doors.step();
                           quotas.step();
                         }};

    Door(std::unique_ptr<fleet::Bus> its_bus, Clock& clock, const std::string& id,
         std::uint64_t origin)
        : bus(std::move(its_bus)),
          router({.sessions_told_max = 1 << 10}, origin),
          doors(*bus, clock, {.id = id, .origin = origin, .secret = id},
                fleet::doors_sink_of(router)),
          quotas(*bus, clock, {.id = id, .origin = origin}, tenants) {
      EXPECT_TRUE(doors.start());
      EXPECT_TRUE(quotas.start());
      for (const char* name : {"s0", "s1"}) {
        gateway::SiteState site{.name = name, .host = "10.0.0.1", .tcp_port = 1, .ready = true};
        site.models = {{.name = "m"}};
        EXPECT_TRUE(router.update(site));
      }
    }
    std::string turn(std::uint64_t session, std::int64_t now_ns) {
      const auto choice = router.choose({"m", {}, {}, session, 1000, 10, {}}, now_ns);
      router.finished(choice, {gateway::Fate::left}, now_ns);
      return choice.at->name;
    }
  };
  Door at_core(connect(*core, core_ca, core_key, "gateway", "gc", ""), clock, "gc", 1);
  Door at_west(
      connect(west, west_folder + "/keys/ca.pem", west_key, "gateway", "gw", fleet::core_domain),
      clock, "gw", 2);
  ASSERT_TRUE(fleet::becomes_so([&] {
    return at_core.doors.counters().shares_secret && at_west.doors.counters().shares_secret;
  })) << west.status().leaf_error;
  EXPECT_EQ(at_core.doors.secret(), at_west.doors.secret());
  EXPECT_EQ(at_core.doors.secret().size(), 64u);
  std::uint64_t session = 0;
  for (const auto& [from, to] : {std::pair{&at_core, &at_west}, {&at_west, &at_core}}) {
    for (int i = 0; i < 8; ++i) {
      ++session;
      const std::string where = from->turn(session, clock.now_ns());
      const std::uint64_t heard = to->router.counters().turns_heard;
      ASSERT_TRUE(fleet::becomes_so([&] { return to->router.counters().turns_heard > heard; }))
          << from->bus->trouble() << to->bus->trouble() << west.status().leaf_error;
      EXPECT_EQ(to->turn(session, clock.now_ns()), where);
    }
    ASSERT_FALSE(from->tenants.enter(0, clock.now_ns()));
    const auto enters = [&] {
      if (to->tenants.enter(0, clock.now_ns())) return false;
      to->tenants.leave(0, 0, clock.now_ns());
      return true;
    };
    ASSERT_TRUE(fleet::becomes_so([&] { return !enters(); })) << from->bus->trouble();
    from->tenants.leave(0, 0, clock.now_ns());
    ASSERT_TRUE(fleet::becomes_so(enters)) << from->bus->trouble();
  }
  EXPECT_EQ(at_core.bus->trouble() + at_west.bus->trouble(), "");
  EXPECT_EQ(at_core.router.counters().turns_nowhere + at_west.router.counters().turns_nowhere, 0u);
}

TEST_F(SecureLeafTest, ARefusedRegionSaysWhyAndGoesOnByItself) {
  const std::string site_key = user(west_folder, "site", "w1", "west");
  const std::string gateway_key = user(west_folder, "gateway", "gw", "west");
  const std::string stranger = user((folder.path / "elsewhere").string(), "leaf", "west", "");
  const fleet::CertificateFiles other = certificates((folder.path / "other").string());
  struct Case {
    std::string what, key, ca, words;
  };
  const Case cases[] = {
      {"a key that the core does not know", stranger, core_ca, "uthorization"},
      {"no key", "", core_ca, "uthorization"},
      {"a core with another authority's certificate", leaf_key, other.ca, "certificate"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    fleet::NatsServer west = region_server(one.key, one.ca);
    const auto told = [&](const fleet::NatsServerStatus& s) {
      return s.leaf_error.find(one.words) != std::string::npos;
    };
    EXPECT_TRUE(west.wait_until(told, wait_s)) << west.status().leaf_error;
    std::printf("%s: %s\n", one.what.c_str(), west.status().leaf_error.c_str());
    // Within the region a beat is heard all the same.
    Watched<int> heard;
    const std::string ca = west_folder + "/keys/ca.pem";
    const auto gateway = connect(west, ca, gateway_key, "gateway", "gw", fleet::core_domain);
    const auto listening =
        gateway->subscribe("noroshi.west.*.beat", "",
                           [&](const fleet::Message&) { heard.change([](int& n) { ++n; }); });
    ASSERT_TRUE(listening);
    ASSERT_TRUE(gateway->flush(wait_s));
    Site site(connect(west, ca, site_key, "site", "w1", fleet::core_domain), clock);
    EXPECT_TRUE(heard.wait([](int n) { return n >= 2; }));
    EXPECT_EQ(control->counters().beats, 0u) << "the core hears nothing of it";
  }
  // With the right ones it is let in; nothing else was wrong.
  Watched<int> through;
  const auto listening =
      control_bus->subscribe("noroshi.west.w1.beat", "",
                             [&](const fleet::Message&) { through.change([](int& n) { ++n; }); });
  ASSERT_TRUE(listening);
  fleet::NatsServer west = region_server(leaf_key, core_ca);
  Site site(connect(west, west_folder + "/keys/ca.pem", site_key, "site", "w1", fleet::core_domain),
            clock);
  EXPECT_TRUE(through.wait([](int n) { return n >= 2; })) << west.status().leaf_error;
}

TEST_F(SecureLeafTest, ARegionThatIsNoLongerListedIsCutOffAndLetInWithANewKeyAlone) {
  fleet::NatsServer west = region_server(leaf_key, core_ca);
  const std::string site_key = user(west_folder, "site", "w1", "west");
  ASSERT_TRUE(west.set_users(users_of(west_folder, fleet::core_domain)));
  Site site(connect(west, west_folder + "/keys/ca.pem", site_key, "site", "w1", fleet::core_domain),
            clock);
  while (control->counters().beats == 0) std::this_thread::yield();
  const auto removed = fleet::remove_user(core_folder, "leaf", "west");
  ASSERT_TRUE(removed) << removed.error().message;
  ASSERT_TRUE(core->set_users(users_of(core_folder, ""), {}));
  const auto refused = [](const fleet::NatsServerStatus& s) {
    return s.leaf_error.find("uthorization") != std::string::npos;
  };
  EXPECT_TRUE(west.wait_until(refused, wait_s)) << west.status().leaf_error;
  const std::string new_key = user(core_folder, "leaf", "west", "");
  ASSERT_TRUE(core->set_users(users_of(core_folder, ""),
                              fleet::nats_leaves(*fleet::read_users(core_folder))));
  west.stop();
  {
    fleet::NatsServer old = region_server(*removed, core_ca);
    EXPECT_TRUE(old.wait_until(refused, wait_s)) << old.status().leaf_error;
  }
  const std::uint64_t beats = control->counters().beats;
  fleet::NatsServer again = region_server(new_key, core_ca);
  Site site_again(
      connect(again, west_folder + "/keys/ca.pem", site_key, "site", "w1", fleet::core_domain),
      clock);
  while (control->counters().beats == beats) std::this_thread::yield();
  EXPECT_EQ(again.status().leaf_error, "");
}

TEST(LeafNews, IsTheLastLineThatSpeaksOfIt) {
  EXPECT_FALSE(fleet::leaf_news(""));
  EXPECT_FALSE(fleet::leaf_news("[1] 2026/11/25 [INF] Server is ready\n[1] [ERR] disk full\n"));
  EXPECT_EQ(fleet::leaf_news("[1] [ERR] 127.0.0.1:5 - lid:7 - Leafnode Error 'no'\n"),
            "Leafnode Error 'no'");
  EXPECT_EQ(fleet::leaf_news("[1] [ERR] Error trying to connect as leafnode to remote server "
                             "\"h:1\" (attempt 12): refused\n[1] [INF] other"),
            "Error trying to connect as leafnode to remote server \"h:1\": refused");
  EXPECT_EQ(fleet::leaf_news("[ERR] x - lid:7 - Leafnode Error 'no'\n"
                             "[INF] x - lid:8 - Leafnode connection created for account: $G "),
            "");
  for (const char* odd : {"[ERR] leafnode", "[ERR] leafnode - lid:", "[ERR] leafnode (attempt ",
                          "leafnode\n\n\n", "[ERR] \n leafnode"}) {
    const auto news = fleet::leaf_news(odd);
    EXPECT_LE(news.value_or("").size(), std::string(odd).size());
  }
}

}  // namespace
}  // namespace noroshi::trial
