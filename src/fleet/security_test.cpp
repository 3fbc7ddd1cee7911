// Keys and permissions at a real nats-server with TLS: would catch a stolen site key that can beat
// for, command or watch another site, a client without key or with a stranger's, a server that is
// not the fleet's own, threads that break one another's TLS connection.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "fleet/command.h"
#include "fleet/desired.h"
#include "fleet/keys.h"
#include "fleet/nats_tls.h"
#include "fleet/nkey.h"
#include "fleet/report.h"
#include "fleet/security_test.h"
#include "fleet/standing.h"

namespace noroshi::fleet {
namespace {

TEST(Nkey, IsTheDocumentedFormat) {
  // The pair that NATS's documentation shows.
  const std::string seed = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";
  const auto key = nkey_of_seed(" " + seed + "\n");
  ASSERT_TRUE(key) << key.error().message;
  EXPECT_EQ(key->seed, seed);
  EXPECT_TRUE(is_public_nkey(key->public_key));
  EXPECT_EQ(key->public_key, "UDXU4RCSJNZOIQHZNWXHXORDPRTGNJAHAHFRGZNEEJCPQTT2M7NLCNF4");
  for (const char* bad :
       {"", "SU", "hello", "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VA"}) {
    EXPECT_FALSE(nkey_of_seed(bad)) << bad;
  }
  const auto fresh = nkey_new();
  ASSERT_TRUE(fresh);
  EXPECT_EQ(nkey_of_seed(fresh->seed)->public_key, fresh->public_key);
  EXPECT_FALSE(nkey_of_seed(fresh->public_key)) << "a public key is no seed";
  std::string changed = fresh->public_key;
  changed[20] = changed[20] == 'A' ? 'B' : 'A';
  EXPECT_FALSE(is_public_nkey(changed));
}

TEST_F(SecurityTest, WhatTheServerDoesNotPermitIsTold) {
  auto bus = connect(site1, "site", "site1");
  ASSERT_TRUE(bus) << bus.error().message;
  Standing standing(**bus, "fleet.region");
  EXPECT_TRUE((*bus)->publish(beat_subject("east", "site1"), "x"));
  ASSERT_TRUE((*bus)->flush(wait_s));
  EXPECT_EQ((*bus)->trouble(), "");
  EXPECT_EQ(standing.news(), "");
  EXPECT_TRUE((*bus)->publish(beat_subject("west", "site1"), "x"));
  ASSERT_TRUE(denied("noroshi.west.site1.beat"));
  EXPECT_NE((*bus)->trouble().find("noroshi.west.site1.beat"), std::string::npos)
      << (*bus)->trouble();
  const auto heard = (*bus)->subscribe(beat_subject("west", "site2"), "", [](const Message&) {});
  ASSERT_TRUE(denied("Subscription to \"noroshi.west"));
  const std::string news = standing.news();
  EXPECT_NE(news.find("not in the fleet: "), std::string::npos) << news;
  EXPECT_NE(news.find("Permissions Violation for Subscription"), std::string::npos) << news;
  EXPECT_NE(news.find("look at fleet.region"), std::string::npos) << news;
  EXPECT_EQ(standing.news(), "");
}

TEST_F(SecurityTest, AStolenSiteKeyCommandsNoOtherSite) {
  auto boss = connect(control, "control", "c1");
  ASSERT_TRUE(boss) << boss.error().message;
  ASSERT_TRUE((*boss)->ensure_bucket({.name = "noroshi-east"}, wait_s));
  ASSERT_TRUE((*boss)->ensure_bucket({.name = "noroshi-fleet"}, wait_s));
  ASSERT_TRUE((*boss)->kv_put("noroshi-east", "desired.site1", "mine", wait_s));
  Watched<std::vector<std::string>> heard;
  const auto all = (*boss)->subscribe("noroshi.>", "", [&](const Message& m) {
    heard.change([&](auto& h) { h.push_back(m.subject); });
  });
  ASSERT_TRUE(all && (*boss)->flush(wait_s));

  auto thief = connect(site1, "site", "site1");
  ASSERT_TRUE(thief) << thief.error().message;
  // What a site does.
  const auto desired = (*thief)->kv_get("noroshi-east", "desired.site1", wait_s);
  ASSERT_TRUE(desired) << desired.error().message;
  EXPECT_EQ((*desired)->value, "mine");
  const auto facts = (*thief)->kv_put("noroshi-east", "facts.site1", "x", wait_s);
  EXPECT_TRUE(facts) << facts.error().message;
  EXPECT_TRUE((*thief)->publish(beat_subject("east", "site1"), "x"));
  EXPECT_TRUE(heard.wait([](const auto& h) { return !h.empty(); }));

  // What it may not.
  for (const char* subject : {"noroshi.east.site2.beat", "noroshi.control.command",
                              "noroshi.digest.east", "noroshi.control.pulse.a"}) {
    EXPECT_TRUE((*thief)->publish(subject, "x"));
    EXPECT_TRUE(denied(subject)) << subject;
  }
  EXPECT_FALSE((*thief)->kv_put("noroshi-east", "facts.site2", "x", 0.3));
  EXPECT_FALSE((*thief)->kv_put("noroshi-east", "desired.site1", "x", 0.3));
  EXPECT_FALSE((*thief)->kv_put("noroshi-east", "desired.site2", "x", 0.3));
  EXPECT_FALSE((*thief)->kv_put("noroshi-fleet", "leader", "x", 0.3));
  EXPECT_FALSE((*thief)->kv_erase("noroshi-east", "facts.site2", 0.3));
  EXPECT_FALSE((*thief)->ensure_bucket({.name = "noroshi-east", .history = 9}, 0.3));
  EXPECT_FALSE((*thief)->purge("KV_noroshi-east", "$KV.noroshi-east.desired.site2", 0.3));
  const std::string inbox = inbox_of("control", control.public_key);
  const auto ears = (*thief)->subscribe(inbox + ".>", "", [](const Message&) {});
  EXPECT_TRUE(denied(inbox)) << "it reads nobody's answers";
  EXPECT_TRUE((*thief)->publish(inbox + ".x", "x"));
  EXPECT_TRUE(denied(inbox + ".x")) << "nor gives them";
  ASSERT_TRUE((*boss)->flush(wait_s));
  EXPECT_EQ(heard.get().size(), 1u) << "the one beat of its own";
  EXPECT_EQ((*(*boss)->kv_get("noroshi-east", "desired.site1", wait_s))->value, "mine");
}

// The server publishes for others: what a consumer hands out, what a stream publishes again, what
// an answer is. None of these may bring a thief's words where he may not say them himself.
TEST_F(SecurityTest, TheServerSaysNothingForAThief) {
  auto boss = connect(control, "control", "c1");
  ASSERT_TRUE(boss) << boss.error().message;
  ASSERT_TRUE((*boss)->ensure_bucket({.name = "noroshi-east"}, wait_s));
  ASSERT_TRUE(ensure_session_store(**boss, wait_s));
  const std::string words = R"({"v":1,"command":"drain","by":"thief","site":"site2"})";
  ASSERT_TRUE(parse_command(words)) << "it would be obeyed";
  Watched<std::vector<Message>> heard;
  const auto all = (*boss)->subscribe(
      "noroshi.>", "", [&](const Message& m) { heard.change([&](auto& h) { h.push_back(m); }); });
  ASSERT_TRUE(all && (*boss)->flush(wait_s));

  Thief thief(server->status().url, site1, tls.ca);
  const std::string inbox = inbox_of("site", site1.public_key) + ".x";
  const std::string facts = "$KV.noroshi-east.facts.site1";
  const std::string object = "noroshi.object.sessions.evil.0";
  thief.listen(inbox);
  for (const std::string& subject : {facts, object}) {
    thief.say(subject, inbox, words);
    ASSERT_TRUE(thief.heard()) << subject << " is kept";
  }
  for (const std::string stream : {"KV_noroshi-east", "OBJECTS_sessions"}) {
    const std::string& kept = stream == "OBJECTS_sessions" ? object : facts;
    const std::string config =
        R"({"deliver_subject":"noroshi.control.command","ack_policy":"none",)"
        R"("deliver_policy":"last","filter_subject":")" +
        kept + "\"}";
    const std::string consumer = R"({"stream_name":")" + stream + R"(","config":)" + config + "}";
    for (const auto& [call, data] :
         {std::pair<std::string, std::string>{"CONSUMER.CREATE." + stream, consumer},
          {"CONSUMER.DURABLE.CREATE." + stream + ".d", consumer},
          {"CONSUMER.MSG.NEXT." + stream + ".d", "1"},
          {"DIRECT.GET." + stream, R"({"last_by_subj":")" + kept + "\"}"},
          {"STREAM.CREATE." + stream, R"({"name":")" + stream +
                                          R"(","republish":{"src":">","dest":)"
                                          R"("noroshi.control.command"}})"},
          {"STREAM.UPDATE." + stream, R"({"name":")" + stream + "\"}"}}) {
      thief.say("$JS.API." + call, "noroshi.control.command", data);
      EXPECT_TRUE(thief.is_refused("$JS.API." + call)) << call;
    }
  }
  // An ask of himself to be answered elsewhere gives no right to answer there.
  thief.listen("noroshi.east.site1.x");
  thief.say("noroshi.east.site1.x", "noroshi.control.command", "");
  EXPECT_TRUE(thief.heard());
  thief.say("noroshi.control.command", "", words);
  EXPECT_TRUE(thief.is_refused("noroshi.control.command"));
  // The server keeps an answer of its own in a bucket when it is sent to a key's subject; that
  // cannot be forbidden. Nobody can read it there, and the leader writes over it (FleetSim).
  const std::string own = desired_text({.term = 3});
  const std::string forged = desired_text({.term = 99, .draining = true});
  const std::string victim = "$KV.noroshi-east.desired.site2";
  const std::string last = R"({"last_by_subj":")" + facts + "\"}";
  const std::pair<std::string, std::string> asks[] = {
      {facts, forged},
      {object, forged},
      {"$JS.API.STREAM.MSG.GET.KV_noroshi-east", last},
      {"$JS.API.STREAM.INFO.KV_noroshi-east", ""},
      {"$JS.API.STREAM.PURGE.OBJECTS_sessions", R"({"filter":"noroshi.object.sessions.evil.1"})"}};
  thief.listen(inbox);
  int spoilt = 0;
  for (const auto& [subject, data] : asks) {
    ASSERT_TRUE((*boss)->kv_put("noroshi-east", "desired.site2", own, wait_s));
    thief.say(subject, victim, data);
    thief.say(subject, inbox, data);
    ASSERT_TRUE(thief.heard()) << subject << " was answered, and so was the one before it";
    const auto desired = (*boss)->kv_get("noroshi-east", "desired.site2", wait_s);
    ASSERT_TRUE(desired && desired->has_value());
    const std::string& value = (*desired)->value;
    EXPECT_TRUE(value == own || !parse_desired(value)) << subject << ": " << value;
    spoilt += value == own ? 0 : 1;
  }
  EXPECT_GE(spoilt, 1) << "else the leader's restoring is for nothing";
  // A single message he may read, and have the answer sent anywhere: it is no command there.
  thief.say("$JS.API.STREAM.MSG.GET.KV_noroshi-east", "noroshi.control.command",
            R"({"last_by_subj":")" + facts + "\"}");
  EXPECT_TRUE(heard.wait([](const auto& h) {
    return std::ranges::any_of(h, [](const Message& m) { return m.subject == command_subject; });
  }));
  for (const Message& m : heard.get()) {
    if (m.subject != command_subject) continue;
    EXPECT_FALSE(parse_command(m.data)) << m.data;
  }
}

TEST_F(SecurityTest, AnAdminAsksAndAGatewayHears) {
  auto boss = connect(control, "control", "c1");
  auto person = connect(admin, "admin", "root");
  auto gate = connect(gateway, "gateway", "gw");
  ASSERT_TRUE(boss && person && gate);
  const auto answers = (*boss)->subscribe(command_subject, "", [&](const Message& m) {
    EXPECT_TRUE((*boss)->publish(m.reply, "done"));
  });
  ASSERT_TRUE(answers && (*boss)->flush(wait_s));
  const auto answer = (*person)->request(command_subject, "x", wait_s);
  EXPECT_TRUE(answer) << answer.error().message;
  EXPECT_FALSE((*gate)->request(command_subject, "x", 0.3));
  EXPECT_TRUE((*person)->publish("noroshi.east.site1.beat", "x"));
  EXPECT_TRUE(denied("noroshi.east.site1.beat"));
  Watched<int> beats;
  const auto ears = (*gate)->subscribe("noroshi.east.*.beat", "",
                                       [&](const Message&) { beats.change([](int& n) { ++n; }); });
  ASSERT_TRUE(ears && (*gate)->flush(wait_s));
  auto site = connect(site2, "site", "site2");
  ASSERT_TRUE(site && (*site)->publish("noroshi.east.site2.beat", "x"));
  EXPECT_TRUE(beats.wait([](int n) { return n == 1; }));
}

TEST_F(SecurityTest, SitesGiveEachOtherContextsAndHearNobodyElsesAsks) {
  auto one = connect(site1, "site", "site1");
  auto two = connect(site2, "site", "site2");
  auto gate = connect(gateway, "gateway", "gw");
  ASSERT_TRUE(one && two && gate);
  const auto answers = (*two)->subscribe("noroshi.context.east.site2", "", [&](const Message& m) {
    EXPECT_TRUE((*two)->publish(m.reply, "here"));
  });
  ASSERT_TRUE(answers && (*two)->flush(wait_s));
  const auto answer = (*one)->request("noroshi.context.east.site2", "x", wait_s);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, "here");
  const auto ears = (*one)->subscribe("noroshi.context.east.site2", "", [](const Message&) {});
  EXPECT_TRUE(denied("noroshi.context.east.site2"));
  EXPECT_TRUE((*gate)->publish("noroshi.context.east.site1", "x"));
  EXPECT_TRUE(denied("noroshi.context.east.site1"));
  // The store that contexts go through, and no other stream.
  auto boss = connect(control, "control", "c1");
  ASSERT_TRUE(boss && ensure_session_store(**boss, wait_s));
  EXPECT_TRUE((*one)->stream_state("OBJECTS_sessions", wait_s));
  const auto put = put_object(**two, std::string(session_store), "c1", "sealed", wait_s);
  ASSERT_TRUE(put) << put.error().message;
  const auto got = get_object(**one, std::string(session_store), "c1", wait_s);
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, "sealed");
  const auto erased = erase_object(**one, std::string(session_store), "c1", wait_s);
  EXPECT_TRUE(erased) << erased.error().message;
  EXPECT_FALSE((*one)->ensure_stream({.name = "USAGE", .subjects = {"noroshi.usage.>"}}, 0.3));
}

TEST_F(SecurityTest, StrangersAndFalseServersAreRefused) {
  const auto unknown = connect(stranger, "site", "site1");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("refuses us"), std::string::npos)
      << unknown.error().message;
  const auto nobody =
      connect_nats({.urls = {server->status().url}, .name = "x", .ca_path = tls.ca}, wait_s);
  EXPECT_FALSE(nobody);
  // Another authority signed what our server shows.
  const auto other = make_certificates((folder.path / "other").string(), {"127.0.0.1"});
  ASSERT_TRUE(other);
  const auto deceived = connect_nats({.urls = {server->status().url},
                                      .name = "site1",
                                      .nkey_seed_path = site1.path,
                                      .ca_path = other->ca},
                                     1);
  EXPECT_TRUE(!deceived || !(*deceived)->connected());
  // A key that was taken out of the list is cut off without a restart.
  auto site = connect(site1, "site", "site1");
  ASSERT_TRUE(site);
  std::erase_if(users, [&](const NatsUser& u) { return u.public_key == site1.public_key; });
  ASSERT_TRUE(server->set_users(users));
  while ((*site)->flush(wait_s)) {
  }
  EXPECT_EQ(server->status().restarts, 0);
}

// The library reads in a thread of its own while all these write.
TEST_F(SecurityTest, ManyThreadsShareAConnection) {
  ASSERT_TRUE(tls_calls_take_turns());
  auto bus = connect(control, "control", "c1");
  ASSERT_TRUE(bus) << bus.error().message;
  constexpr int writers = 4;
  constexpr int each = 2000;
  Watched<int> heard;
  const auto all = (*bus)->subscribe("noroshi.control.pulse.*", "", [&](const Message& m) {
    if (m.data == std::string(1000, m.subject.back())) heard.change([](int& n) { ++n; });
  });
  ASSERT_TRUE(all && (*bus)->flush(wait_s));
  std::vector<std::thread> threads;
  for (int w = 0; w < writers; ++w) {
    threads.emplace_back([&bus, letter = static_cast<char>('a' + w)] {
      const std::string subject = std::string("noroshi.control.pulse.") + letter;
      for (int n = 0; n < each; ++n) {
        ASSERT_TRUE((*bus)->publish(subject, std::string(1000, letter)));
        if (n % 100 != 0) continue;
        ASSERT_TRUE((*bus)->flush(wait_s));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(heard.wait([](int n) { return n == writers * each; })) << heard.get();
}

TEST_F(SecurityTest, SecretsAreTheOwnersAlone) {
  for (const std::string& path : {site1.path, tls.key, keys + "/ca.key"}) {
    struct stat info {};
    ASSERT_EQ(stat(path.c_str(), &info), 0) << path;
    EXPECT_EQ(info.st_mode & 0777, 0600u) << path;
  }
  EXPECT_EQ(make_nkey(keys, "site1")->public_key, site1.public_key) << "made once";
  EXPECT_FALSE(write_nkey(*nkey_new(), site1.path)) << "never written over";
  std::ofstream(keys + "/bad.nk") << "no key";
  const auto bad = make_nkey(keys, "bad");
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().message.find("bad.nk: is not the seed"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::fleet
