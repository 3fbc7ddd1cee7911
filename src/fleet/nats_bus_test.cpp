// The bus over a real nats-server, started, killed and started again: would catch a message lost or
// doubled, a lost race taken for a broken bus, a watch that is silent after a restart, a handler
// that runs after its subscription's end, a call that outlasts its time limit, a bus that gives up
// after a server that died or fell silent while it greeted.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <nats/nats.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <optional>
#include <set>

#include "base/clock.h"
#include "base/prng.h"
#include "base/process.h"
#include "fleet/nkey.h"
#include "fleet/real_server_test.h"

namespace noroshi::fleet {
namespace {

class NatsBusTest : public testing::Test {
 protected:
  TemporaryFolder folder;
  NatsServer server = start_server({.folder = (folder.path / "nats").string()});
  std::unique_ptr<Bus> bus = connect_to(server.status().url, "test");

  // kill -9, and the next life of the server.
  void kill_and_restart() {
    const NatsServerStatus before = server.status();
    ASSERT_EQ(kill(before.pid, SIGKILL), 0);
    ASSERT_TRUE(server.wait_until(
        [&](const NatsServerStatus& s) { return s.ready && s.restarts > before.restarts; }, wait_s))
        << server.status().last_error;
    ASSERT_EQ(server.status().tcp_port, before.tcp_port);
  }
  void wait_connected() {
    while (!bus->flush(1)) {
    }
  }
};

TEST_F(NatsBusTest, PublishesToEverySubscriptionAndOnceToAQueue) {
  Watched<std::vector<std::string>> all;
  Watched<int> queued;
  const auto a = bus->subscribe("noroshi.*.site1.>", "", [&](const Message& m) {
    all.change([&](auto& v) { v.push_back(m.subject + "=" + m.data); });
  });
  const auto count = [&](const Message&) { queued.change([](int& n) { ++n; }); };
  const auto b = bus->subscribe("noroshi.>", "q", count);
  const auto c = bus->subscribe("noroshi.>", "q", count);
  ASSERT_TRUE(a && b && c);
  ASSERT_TRUE(bus->flush(wait_s));
  ASSERT_TRUE(bus->publish("noroshi.east.site1.beat", "x"));
  ASSERT_TRUE(bus->publish("noroshi.east.site2.beat", "y"));
  ASSERT_TRUE(all.wait([](const auto& v) { return v.size() == 1; }));
  EXPECT_EQ(all.get()[0], "noroshi.east.site1.beat=x");
  EXPECT_TRUE(queued.wait([](int n) { return n == 2; }));
  ASSERT_TRUE(bus->flush(wait_s));
  EXPECT_EQ(queued.get(), 2);
}

TEST_F(NatsBusTest, AnswersRequestsAndSaysWhenNobodyDoes) {
  const auto echo = bus->subscribe("echo", "", [&](const Message& m) {
    EXPECT_FALSE(m.reply.empty());
    EXPECT_TRUE(bus->publish(m.reply, "<" + m.data + ">"));
  });
  const auto mute = bus->subscribe("mute", "", [](const Message&) {});
  ASSERT_TRUE(echo && mute && bus->flush(wait_s));
  const auto answer = bus->request("echo", "hello", wait_s);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, "<hello>");
  const auto nobody = bus->request("nobody", "hello", wait_s);
  ASSERT_FALSE(nobody);
  EXPECT_NE(nobody.error().message.find("nobody listens"), std::string::npos);
  const auto late = bus->request("mute", "hello", 0.05);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("no answer within 50 ms"), std::string::npos)
      << late.error().message;
}

TEST_F(NatsBusTest, NoHandlerRunsAfterTheEndOfItsSubscription) {
  for (int round = 0; round < 50; ++round) {
    auto alive = std::make_shared<std::atomic<bool>>(true);
    std::atomic<int> late{0};
    auto subscription = bus->subscribe("burst", "", [&late, alive](const Message&) {
      if (!alive->load()) late.fetch_add(1);
    });
    ASSERT_TRUE(subscription);
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(bus->publish("burst", "x"));
    subscription->reset();
    alive->store(false);
    ASSERT_TRUE(bus->flush(wait_s));
    EXPECT_EQ(late.load(), 0);
  }
}

TEST_F(NatsBusTest, RefusesTooLargeMessagesByName) {
  const auto sent = bus->publish("big", std::string((1 << 20) + 1, 'x'));
  ASSERT_FALSE(sent);
  EXPECT_NE(sent.error().message.find("1048577 bytes on big"), std::string::npos)
      << sent.error().message;
}

TEST_F(NatsBusTest, KeepsEachMessageIdOnceOverARestart) {
  ASSERT_TRUE(bus->ensure_stream({.name = "USAGE", .subjects = {"usage.>"}}, wait_s));
  ASSERT_TRUE(bus->ensure_stream({.name = "USAGE", .subjects = {"usage.>"}}, wait_s)) << "again";
  const auto first = bus->publish_kept("usage.site1", "one", "id1", wait_s);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_FALSE(first->duplicate);
  const auto again = bus->publish_kept("usage.site1", "one", "id1", wait_s);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(again->duplicate);
  kill_and_restart();
  wait_connected();
  const auto third = bus->publish_kept("usage.site1", "one", "id1", wait_s);
  ASSERT_TRUE(third) << third.error().message;
  EXPECT_TRUE(third->duplicate);
  ASSERT_TRUE(bus->publish_kept("usage.site2", "two", "id2", wait_s));
  const auto state = bus->stream_state("USAGE", wait_s);
  ASSERT_TRUE(state) << state.error().message;
  EXPECT_EQ(state->messages, 2u);
  const auto lost = bus->publish_kept("elsewhere", "x", "", wait_s);
  ASSERT_FALSE(lost);
  EXPECT_NE(lost.error().message.find("elsewhere"), std::string::npos);
}

// The first refusal ends the wait while the others are on their way: the library must not find the
// memory of an ended subscription freed.
TEST_F(NatsBusTest, EndsWhileAnswersStillComeIn) {
  std::vector<Bus::Kept> homeless;
  for (int i = 0; i < 100; ++i) homeless.push_back({"nowhere." + std::to_string(i), "x", ""});
  for (int i = 0; i < 100; ++i) {
    const auto kept = bus->publish_kept_all(homeless, wait_s);
    ASSERT_FALSE(kept);
    EXPECT_NE(kept.error().message.find("nowhere.0"), std::string::npos);
  }
}

TEST_F(NatsBusTest, HandsOutUntilAcknowledged) {
  ASSERT_TRUE(
      bus->ensure_stream({.name = "WORK", .subjects = {"work.>"}, .until_acked = true}, wait_s));
  std::vector<Bus::Kept> batch;
  for (int i = 0; i < 20; ++i) {
    batch.push_back(
        {"work." + std::to_string(i), std::string(1000, 'x'), "id" + std::to_string(i)});
  }
  const auto kept = bus->publish_kept_all(batch, wait_s);
  ASSERT_TRUE(kept) << kept.error().message;
  ASSERT_TRUE(bus->publish_kept_all(batch, wait_s)) << "the same ids again add nothing";
  auto consumer =
      bus->consume({.stream = "WORK", .durable = "meter", .acknowledge_s = 0.2}, wait_s);
  ASSERT_TRUE(consumer) << consumer.error().message;
  const auto some = (*consumer)->fetch(8, wait_s);
  ASSERT_TRUE(some) << some.error().message;
  ASSERT_EQ(some->size(), 8u);
  EXPECT_EQ((*some)[0].id, "id0");
  for (int i = 0; i < 4; ++i) ASSERT_TRUE((*consumer)->acknowledge((*some)[i], wait_s));
  ASSERT_TRUE((*consumer)->hand_out_again((*some)[4]));
  // 4 are gone, 4 come again, 12 were never handed out.
  std::set<std::string> left;
  bool again = false;
  while (left.size() < 16) {
    const auto more = (*consumer)->fetch(100, wait_s);
    ASSERT_TRUE(more) << more.error().message;
    ASSERT_FALSE(more->empty());
    for (const Delivery& d : *more) {
      ASSERT_TRUE((*consumer)->acknowledge(d, wait_s));
      left.insert(d.id);
      again |= d.deliveries > 1;
    }
  }
  EXPECT_TRUE(again);
  EXPECT_EQ(left.count("id3"), 0u);
  const auto empty = (*consumer)->fetch(1, 0.05);
  ASSERT_TRUE(empty) << empty.error().message;
  EXPECT_TRUE(empty->empty());
  EXPECT_EQ(bus->stream_state("WORK", wait_s)->messages, 0u);
}

TEST_F(NatsBusTest, OneWinsEachCompareAndSet) {
  ASSERT_TRUE(bus->ensure_bucket({.name = "leader"}, wait_s));
  ASSERT_FALSE(bus->kv_get("leader", "lease", wait_s)->has_value());
  auto other = connect_to(server.status().url, "other");
  const auto mine = bus->kv_update("leader", "lease", "a", 0, wait_s);
  ASSERT_TRUE(mine) << mine.error().message;
  ASSERT_TRUE(mine->has_value());
  const auto theirs = other->kv_update("leader", "lease", "b", 0, wait_s);
  ASSERT_TRUE(theirs) << theirs.error().message;
  EXPECT_FALSE(theirs->has_value());
  const auto next = other->kv_update("leader", "lease", "b", **mine, wait_s);
  ASSERT_TRUE(next && next->has_value());
  EXPECT_GT(**next, **mine);
  EXPECT_FALSE(bus->kv_update("leader", "lease", "a", **mine, wait_s)->has_value()) << "fenced off";
  EXPECT_EQ((*bus->kv_get("leader", "lease", wait_s))->value, "b");
  ASSERT_TRUE(bus->kv_erase("leader", "lease", wait_s));
  EXPECT_TRUE((*bus->kv_get("leader", "lease", wait_s))->erased);
  const auto fresh = bus->kv_update("leader", "lease", "c", 0, wait_s);
  ASSERT_TRUE(fresh && fresh->has_value()) << "an erased key is not there";
}

TEST_F(NatsBusTest, AWatchSeesEveryLastValueOverRestarts) {
  struct Seen {
    std::map<std::string, std::string> values;
    std::map<std::string, std::uint64_t> revisions;
    bool went_back = false;
  };
  Watched<Seen> seen;
  auto watch = bus->kv_watch("models", ">", [&](const KvEntry& e) {
    seen.change([&](Seen& s) {
      s.went_back |= s.revisions[e.key] >= e.revision;
      s.revisions[e.key] = e.revision;
      s.values[e.key] = e.erased ? "(erased)" : e.value;
    });
  });
  ASSERT_TRUE(watch);
  ASSERT_TRUE(bus->ensure_bucket({.name = "models"}, wait_s)) << "after the watch";
  ASSERT_TRUE(bus->kv_put("models", "east.a", "1", wait_s));
  ASSERT_TRUE(bus->kv_put("models", "east.b", "1", wait_s));
  EXPECT_TRUE(seen.wait([](const Seen& s) { return s.values.size() == 2; }));
  kill_and_restart();
  wait_connected();
  ASSERT_TRUE(bus->kv_put("models", "east.a", "2", wait_s));
  ASSERT_TRUE(bus->kv_erase("models", "east.b", wait_s));
  EXPECT_TRUE(seen.wait([](const Seen& s) {
    return s.values.at("east.a") == "2" && s.values.at("east.b") == "(erased)";
  }));
  EXPECT_FALSE(seen.get().went_back);
}

TEST_F(NatsBusTest, ObjectsComeBackWholeOrNotAtAll) {
  constexpr std::uint64_t seed = 7;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  Prng prng(seed);
  ASSERT_TRUE(ensure_objects(*bus, "sessions", 60, 64 << 20, wait_s));
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{512 << 10}, std::size_t{3'000'001}}) {
    std::string data(size, '\0');
    for (char& c : data) c = static_cast<char>(prng());
    const std::string name = "s" + std::to_string(size);
    const auto put = put_object(*bus, "sessions", name, data, wait_s);
    ASSERT_TRUE(put) << put.error().message;
    const auto back = get_object(*bus, "sessions", name, wait_s);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_TRUE(*back == data) << size;
  }
  ASSERT_TRUE(erase_object(*bus, "sessions", "s3000001", wait_s));
  const auto gone = get_object(*bus, "sessions", "s3000001", 0.1);
  ASSERT_FALSE(gone);
  EXPECT_NE(gone.error().message.find("is not there"), std::string::npos) << gone.error().message;
  // A chunk that somebody else wrote between: the hash tells.
  ASSERT_TRUE(bus->publish_kept("noroshi.object.sessions.evil.0", "abc", "", wait_s));
  ASSERT_TRUE(bus->publish_kept("noroshi.object.sessions.evil.end", "3 0000", "", wait_s));
  const auto forged = get_object(*bus, "sessions", "evil", wait_s);
  ASSERT_FALSE(forged);
  EXPECT_NE(forged.error().message.find("another hash"), std::string::npos);
  EXPECT_FALSE(put_object(*bus, "sessions", "../x", "y", wait_s));
}

TEST_F(NatsBusTest, SaysAtOnceThatTheServerIsGone) {
  Watched<int> heard;
  const auto sub =
      bus->subscribe("beat", "", [&](const Message&) { heard.change([](int& n) { ++n; }); });
  ASSERT_TRUE(sub);
  server.stop();
  while (bus->connected()) {
  }
  for (const auto& error :
       {bus->publish("beat", "x").error(), bus->request("beat", "x", 1).error(),
        bus->publish_kept("beat", "x", "i", 1).error(), bus->kv_get("b", "k", 1).error()}) {
    EXPECT_NE(error.message.find("no connection"), std::string::npos) << error.message;
  }
}

// Its own control plane, first of all, must find it there.
TEST_F(NatsBusTest, AServerOnOneAddressIsFoundByItsUrl) {
  const NatsServer second =
      start_server({.folder = (folder.path / "second").string(), .address = "127.0.0.2"});
  EXPECT_TRUE(second.status().url.starts_with("nats://127.0.0.2:")) << second.status().url;
  const auto client = connect_to(second.status().url, "client");
  ASSERT_TRUE(client);
  EXPECT_TRUE(client->flush(wait_s));
  EXPECT_EQ(own_url({.address = "0.0.0.0"}, 5), "nats://127.0.0.1:5");
  EXPECT_EQ(own_url({.address = "::1"}, 5), "nats://[::1]:5");
  EXPECT_EQ(own_url({.address = "::", .certificate_path = "c"}, 5), "tls://127.0.0.1:5");
}

TEST_F(NatsBusTest, ConnectsOnceAServerComes) {
  const int tcp_port = free_tcp_port();
  auto early =
      connect_nats({.urls = {"nats://127.0.0.1:" + std::to_string(tcp_port)}, .name = "early"}, 0);
  ASSERT_TRUE(early) << early.error().message;
  EXPECT_FALSE((*early)->connected());
  Watched<int> heard;
  const auto sub =
      (*early)->subscribe("beat", "", [&](const Message&) { heard.change([](int& n) { ++n; }); });
  ASSERT_TRUE(sub);
  NatsServer late = start_server({.folder = (folder.path / "late").string(), .tcp_port = tcp_port});
  const auto other = connect_to(late.status().url, "other");
  do {
    ASSERT_TRUE(other->publish("beat", "x"));
  } while (heard.get() == 0);
}

// A server that says some of its greeting to its first clients and then takes no more.
class FakeServer {
 public:
  FakeServer() {
    const Listener listener = listen_on_loopback(1);
    listen_fd_ = listener.fd;
    tcp_port = listener.tcp_port;
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;
  ~FakeServer() { hang_up(); }

  // Only the last one finds no listener behind it.
  void greet(std::string_view words, bool last = true) {
    hang_up();
    client_fd_ = accept(listen_fd_, nullptr, nullptr);
    EXPECT_GE(client_fd_, 0);
    EXPECT_EQ(write(client_fd_, words.data(), words.size()), static_cast<ssize_t>(words.size()));
    if (last) close(listen_fd_);
  }
  // What the client says after the greeting, up to its first PING or its end.
  std::string hear() {
    std::string heard;
    char byte = 0;
    while (heard.find("PING\r\n") == std::string::npos && read(client_fd_, &byte, 1) == 1) {
      heard += byte;
    }
    return heard;
  }
  void answer(std::string_view words) {
    hear();
    EXPECT_EQ(write(client_fd_, words.data(), words.size()), static_cast<ssize_t>(words.size()));
  }
  void hang_up() {
    if (client_fd_ >= 0) close(client_fd_);
    client_fd_ = -1;
  }

  int tcp_port = 0;

 private:
  int listen_fd_ = -1;
  int client_fd_ = -1;
};

constexpr std::string_view greeting =
    R"(INFO {"server_id":"FAKE","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576})"
    "\r\n";

class NatsGreetingTest : public testing::Test {
 protected:
  // What was asked for before there was a server works once there is one.
  void begin() {
    auto made = connect_nats({.urls = {"nats://127.0.0.1:" + std::to_string(fake.tcp_port)},
                              .name = "early",
                              .connect_timeout_s = 0.3},
                             0);
    ASSERT_TRUE(made) << made.error().message;
    bus = *std::move(made);
    auto subscribed =
        bus->subscribe("beat", "", [&](const Message&) { heard.change([](int& n) { ++n; }); });
    ASSERT_TRUE(subscribed) << subscribed.error().message;
    subscription = *std::move(subscribed);
    auto watched = bus->kv_watch("models", ">", [&](const KvEntry& e) {
      seen.change([&](std::string& s) { s = e.value; });
    });
    ASSERT_TRUE(watched);
    watch = *std::move(watched);
  }
  void expect_alive() {
    server.emplace(
        start_server({.folder = (folder.path / "nats").string(), .tcp_port = fake.tcp_port}));
    const auto other = connect_to(server->status().url, "other");
    ASSERT_TRUE(other->ensure_bucket({.name = "models"}, wait_s));
    ASSERT_TRUE(other->kv_put("models", "a", "1", wait_s));
    EXPECT_TRUE(seen.wait([](const std::string& s) { return s == "1"; }));
    ASSERT_TRUE(bus->flush(wait_s));
    ASSERT_TRUE(other->publish("beat", "x"));
    EXPECT_TRUE(heard.wait([](int n) { return n == 1; }));
    ASSERT_TRUE(bus->ensure_stream({.name = "LATER", .subjects = {"later.>"}}, wait_s));
  }

  TemporaryFolder folder;
  FakeServer fake;
  std::optional<NatsServer> server;
  Watched<int> heard;
  Watched<std::string> seen;
  std::unique_ptr<Bus> bus;
  std::unique_ptr<Subscription> subscription;
  std::unique_ptr<Subscription> watch;
};

TEST_F(NatsGreetingTest, AServerThatDiesInTheMiddleOfItIsTriedAgain) {
  begin();
  fake.greet(greeting.substr(0, greeting.size() / 2));
  fake.hang_up();
  expect_alive();
}

TEST_F(NatsGreetingTest, AServerThatDiesAfterItIsTriedAgain) {
  begin();
  fake.greet(greeting);
  fake.hang_up();
  expect_alive();
}

TEST_F(NatsGreetingTest, AServerThatFallsSilentIsGivenUp) {
  begin();
  fake.greet(greeting);
  expect_alive();
}

TEST_F(NatsGreetingTest, ABusEndsWhileAServerIsSilent) {
  begin();
  fake.greet(greeting);
  subscription.reset();
  watch.reset();
  bus.reset();
  EXPECT_EQ(heard.get(), 0);
}

// Closed by the server for good, as one does that finds what we say wrong: the library gives up.
TEST_F(NatsGreetingTest, AConnectionThatTheServerEndsIsMadeAgain) {
  begin();
  fake.greet(greeting);
  fake.answer("PONG\r\n-ERR 'Maximum Connections Exceeded'\r\n");
  expect_alive();
}

// Whoever stays with the second server is cut off with it, though the first is back.
TEST(NatsHomeTest, ABusGoesBackToItsFirstServer) {
  TemporaryFolder folder;
  const auto place = [&](const char* name) { return (folder.path / name).string(); };
  std::optional<NatsServer> near = start_server({.folder = place("near")});
  const NatsServer far = start_server({.folder = place("far")});
  const NatsServerStatus home = near->status();
  const auto made = connect_nats(
      {.urls = {home.url, far.status().url}, .name = "mover", .home_wait_s = 0.05}, wait_s);
  ASSERT_TRUE(made) << made.error().message;
  Bus& bus = **made;
  Watched<int> heard;
  const auto subscription =
      bus.subscribe("beat", "", [&](const Message&) { heard.change([](int& n) { ++n; }); });
  Watched<std::string> seen;
  const auto watch = bus.kv_watch(
      "models", ">", [&](const KvEntry& e) { seen.change([&](std::string& s) { s = e.value; }); });
  ASSERT_TRUE(subscription && watch);
  const auto asked_at = [&](const std::string& url) {  // until it is heard there
    const auto other = connect_to(url, "other");
    const int before = heard.get();
    MonotonicClock clock;
    const std::int64_t until_ns = clock.now_ns() + static_cast<std::int64_t>(wait_s * 1e9);
    while (heard.get() == before && clock.now_ns() < until_ns) {
      EXPECT_TRUE(other->publish("beat", "x"));
      EXPECT_TRUE(other->flush(wait_s));
    }
    EXPECT_GT(heard.get(), before) << "not at " << url;
  };
  asked_at(home.url);
  near.reset();
  asked_at(far.status().url);
  near.emplace(start_server({.folder = place("near"), .tcp_port = home.tcp_port}));
  asked_at(near->status().url);
  const auto other = connect_to(near->status().url, "writer");
  ASSERT_TRUE(other->ensure_bucket({.name = "models"}, wait_s));
  ASSERT_TRUE(other->kv_put("models", "a", "1", wait_s));
  EXPECT_TRUE(seen.wait([](const std::string& s) { return s == "1"; }));
  const int before = heard.get();
  ASSERT_TRUE(bus.flush(wait_s));
  ASSERT_TRUE(other->publish("beat", "x"));
  EXPECT_TRUE(heard.wait([&](int n) { return n == before + 1; })) << "once";
}

// libnats takes a signature that begins with a zero byte for none, and the server would refuse us.
TEST(NatsKeyTest, AnUnluckyNonceIsNotSigned) {
  TemporaryFolder folder;
  const std::string path = (folder.path / "key.nk").string();
  const Nkey key = nkey_from({1, 2, 3});
  ASSERT_TRUE(write_nkey(key, path));
  const auto first_byte = [&key](const std::string& nonce) {
    unsigned char* signature = nullptr;
    int size = 0;
    EXPECT_EQ(nats_Sign(key.seed.c_str(), nonce.c_str(), &signature, &size), NATS_OK);
    const unsigned char byte = signature[0];
    std::free(signature);
    return byte;
  };
  ASSERT_EQ(nats_Open(-1), NATS_OK);
  int n = 0;
  while (first_byte(std::to_string(n)) != 0) ++n;
  int other = n + 1;
  while (first_byte(std::to_string(other)) == 0) ++other;
  const auto info = [](int nonce) {
    return R"(INFO {"server_id":"FAKE","version":"2.9.10","proto":1,"nonce":")" +
           std::to_string(nonce) + "\"}\r\n";
  };
  FakeServer fake;
  const auto bus = connect_nats({.urls = {"nats://127.0.0.1:" + std::to_string(fake.tcp_port)},
                                 .name = "unlucky",
                                 .nkey_seed_path = path},
                                0);
  ASSERT_TRUE(bus) << bus.error().message;
  fake.greet(info(n), false);
  EXPECT_EQ(fake.hear(), "");
  fake.greet(info(other));
  EXPECT_NE(fake.hear().find(R"("sig":")"), std::string::npos);
}

TEST(NatsUrlTest, AnUrlThatIsNoneIsRefusedAtOnce) {
  for (const char* url : {"", "127.0.0.1:4222", "http://a:1", "nats://", "nats://:4222",
                          "nats://a:0", "nats://a:65536", "nats://a:4x", "nats://a b:1"}) {
    const auto made = connect_nats({.urls = {url}, .name = "x"}, 0);
    ASSERT_FALSE(made) << url;
    EXPECT_NE(made.error().message.find("'" + std::string(url) + "'"), std::string::npos)
        << made.error().message;
  }
  for (const char* url : {"nats://localhost", "nats://[::1]:4222", "tls://a.example:1"}) {
    const auto made = connect_nats({.urls = {url}, .name = "x"}, 0);
    EXPECT_TRUE(made) << url;
  }
}

TEST(NatsUrlTest, ACoreThatIsNoneIsRefusedBeforeTheServerStarts) {
  const auto text_for = [](const std::string& url) {
    return nats_server_text({.folder = "/tmp", .remotes = {{.url = url}}});
  };
  for (const char* url : {"", "http://x", "nats://a:7422", "nats-leaf://", "nats-leaf://x:99999",
                          "nats-leaf://x:", "tls://a\nb"}) {
    const auto text = text_for(url);
    ASSERT_FALSE(text) << url;
    EXPECT_NE(text.error().message.find("core's URL '" + std::string(url) + "'"), std::string::npos)
        << text.error().message;
  }
  for (const char* url : {"nats-leaf://core.example", "nats-leaf://[::1]:7422", "tls://a:1"}) {
    EXPECT_TRUE(text_for(url)) << url;
  }
}

TEST(NatsServerTest, SaysWhyItCannotStart) {
  TemporaryFolder folder;
  const std::string place = (folder.path / "nats").string();
  const auto nowhere =
      NatsServer::start({.executable = "/no/nats-server", .folder = place}, wait_s);
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("/no/nats-server"), std::string::npos);
  const auto open = NatsServer::start({.folder = place, .address = "0.0.0.0"}, wait_s);
  ASSERT_FALSE(open);
  EXPECT_NE(open.error().message.find("needs TLS and keys"), std::string::npos);
  NatsServer first = start_server({.folder = place});
  const auto second = NatsServer::start(
      {.folder = (folder.path / "second").string(), .tcp_port = first.status().tcp_port}, wait_s);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("address already in use"), std::string::npos)
      << second.error().message;
}

}  // namespace
}  // namespace noroshi::fleet
