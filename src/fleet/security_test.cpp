// Keys and permissions at a real nats-server with TLS: would catch a stolen site key that can beat
// for, command or watch another site, a client without key or with a stranger's, a server that is
// not the fleet's own, threads that break one another's TLS connection.

#include <gtest/gtest.h>
#include <nats/nats.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <set>
#include <thread>

#include "fleet/command.h"
#include "fleet/desired.h"
#include "fleet/keys.h"
#include "fleet/nats_tls.h"
#include "fleet/nkey.h"
#include "fleet/real_server_test.h"
#include "fleet/report.h"
#include "fleet/standing.h"
#include "fleet/turns.h"

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

class SecurityTest : public testing::Test {
 protected:
  TemporaryFolder folder;
  std::string keys = (folder.path / "keys").string();
  CertificateFiles tls;
  NkeyFile control, site1, site2, gateway, gateway2, admin, stranger;
  std::vector<NatsUser> users;
  std::optional<NatsServer> server;

  void SetUp() override {
    const auto made = make_certificates(keys, {"localhost", "127.0.0.1"});
    ASSERT_TRUE(made) << made.error().message;
    tls = *made;
    for (auto [name, file] : {std::pair{"control", &control},
                              {"site1", &site1},
                              {"site2", &site2},
                              {"gw", &gateway},
                              {"gw2", &gateway2},
                              {"root", &admin},
                              {"stranger", &stranger}}) {
      *file = *make_nkey(keys, name);
    }
    users = {control_user("c1", control.public_key),
             site_user("east", "site1", site1.public_key),
             site_user("east", "site2", site2.public_key),
             gateway_user("gw", "east", gateway.public_key),
             gateway_user("gw2", "west", gateway2.public_key),
             admin_user("root", admin.public_key)};
    server.emplace(start_server({.folder = (folder.path / "nats").string(),
                                 .certificate_path = tls.certificate,
                                 .key_path = tls.key,
                                 .users = users}));
  }

  Result<std::unique_ptr<Bus>> connect(const NkeyFile& key, const std::string& role,
                                       const std::string& name) {
    return connect_nats({.urls = {server->status().url},
                         .name = name,
                         .nkey_seed_path = key.path,
                         .ca_path = tls.ca,
                         .role = role,
                         .on_event =
                             [this](const std::string& what) {
                               events.change([&](auto& e) { e.push_back(what); });
                             }},
                        wait_s);
  }
  bool denied(const std::string& what) {
    return events.wait([&](const auto& all) {
      return std::ranges::any_of(all, [&](const std::string& e) {
        return e.find("ermissions") != std::string::npos && e.find(what) != std::string::npos;
      });
    });
  }
  Watched<std::vector<std::string>> events;
};

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

// A client that may say anything, and to whom the server may refuse it.
class Thief {
 public:
  Thief(const std::string& url, const NkeyFile& key, const std::string& ca) {
    natsOptions* options = nullptr;
    EXPECT_EQ(natsOptions_Create(&options), NATS_OK);
    EXPECT_EQ(natsOptions_SetURL(options, url.c_str()), NATS_OK);
    EXPECT_EQ(natsOptions_SetNKeyFromSeed(options, key.public_key.c_str(), key.path.c_str()),
              NATS_OK);
    EXPECT_EQ(natsOptions_LoadCATrustedCertificates(options, ca.c_str()), NATS_OK);
    // Its socket does not block, as nats_tls.cpp needs it.
    EXPECT_EQ(natsOptions_SetWriteDeadline(options, 2000), NATS_OK);
    const auto refused = [](natsConnection* connection, natsSubscription*, natsStatus, void* me) {
      const char* text = nullptr;
      natsConnection_GetLastError(connection, &text);
      static_cast<Thief*>(me)->refusals_.change(
          [&](auto& all) { all.push_back(text == nullptr ? "" : text); });
    };
    EXPECT_EQ(natsOptions_SetErrorHandler(options, refused, this), NATS_OK);
    // One nonce of 256 has a signature that the library leaves out (nats_bus.h).
    natsStatus status = NATS_ERR;
    for (int i = 0; i < 5 && status != NATS_OK; ++i) {
      status = natsConnection_Connect(&connection_, options);
    }
    EXPECT_EQ(status, NATS_OK);
    natsOptions_Destroy(options);
  }
  Thief(const Thief&) = delete;
  Thief& operator=(const Thief&) = delete;
  ~Thief() {
    for (natsSubscription* ear : ears_) natsSubscription_Destroy(ear);
    natsConnection_Destroy(connection_);
  }

  void listen(const std::string& subject) {
    EXPECT_EQ(natsConnection_SubscribeSync(&ears_.emplace_back(), connection_, subject.c_str()),
              NATS_OK);
  }
  void say(const std::string& subject, const std::string& reply, const std::string& data) {
    const natsStatus said =
        reply.empty() ? natsConnection_PublishString(connection_, subject.c_str(), data.c_str())
                      : natsConnection_PublishRequestString(connection_, subject.c_str(),
                                                            reply.c_str(), data.c_str());
    EXPECT_EQ(said, NATS_OK);
    EXPECT_EQ(natsConnection_FlushTimeout(connection_, static_cast<std::int64_t>(wait_s * 1e3)),
              NATS_OK);
  }
  bool heard() {
    natsMsg* message = nullptr;
    const natsStatus status =
        natsSubscription_NextMsg(&message, ears_.back(), static_cast<std::int64_t>(wait_s * 1e3));
    natsMsg_Destroy(message);
    return status == NATS_OK;
  }
  bool is_refused(const std::string& subject) {
    return refusals_.wait([&](const auto& all) {
      return std::ranges::any_of(all, [&](std::string text) {
        std::string wanted = subject;
        for (std::string* one : {&text, &wanted})
          std::ranges::transform(*one, one->begin(), [](char c) {
            return static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
          });
        return text.find(wanted) != std::string::npos;
      });
    });
  }

 private:
  natsConnection* connection_ = nullptr;
  std::vector<natsSubscription*> ears_;
  Watched<std::vector<std::string>> refusals_;
};

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

// Who knows the secret knows every session's name, and with that has the right to its context.
TEST_F(SecurityTest, TheSessionSecretIsTheGatewaysAlone) {
  auto boss = connect(control, "control", "c1");
  auto gate = connect(gateway, "gateway", "gw");
  ASSERT_TRUE(boss && gate);
  ASSERT_TRUE((*boss)->ensure_bucket({.name = fleet_bucket}, wait_s));
  const auto secret = new_session_secret();
  ASSERT_TRUE(secret);
  ASSERT_EQ(secret->size(), 64u);
  EXPECT_NE(*secret, *new_session_secret());
  Watched<std::string> known;
  const auto watch = (*gate)->kv_watch(fleet_bucket, session_secret_key, [&](const KvEntry& entry) {
    known.change([&](std::string& k) { k = *parse_session_secret(entry.value); });
  });
  ASSERT_TRUE(watch);
  const std::string key = std::string("$KV.") + fleet_bucket + "." + session_secret_key;
  for (const NkeyFile* stolen : {&site1, &admin}) {
    Thief thief(server->status().url, *stolen, tls.ca);
    for (const std::string& subject :
         {key, std::string("$KV.>"), "_INBOX.gateway." + gateway.public_key + ".>",
          std::string("_INBOX.control.>")}) {
      thief.listen(subject);
      EXPECT_TRUE(thief.is_refused("Subscription to \"" + subject + "\"")) << subject;
    }
    const std::string stream = std::string("KV_") + fleet_bucket;
    const std::string last = R"({"last_by_subj":")" + key + "\"}";
    const std::string consumer = R"({"stream_name":")" + stream +
                                 R"(","config":{"deliver_subject":"x","ack_policy":"none"}})";
    for (const auto& [call, data] :
         {std::pair<std::string, std::string>{"STREAM.MSG.GET." + stream, last},
          {"DIRECT.GET." + stream, last},
          {"DIRECT.GET." + stream + "." + key, ""},
          {"STREAM.INFO." + stream, ""},
          {"STREAM.SNAPSHOT." + stream, "{}"},
          {"STREAM.CREATE.mirror", R"({"name":"mirror","mirror":{"name":")" + stream + "\"}}"},
          {"CONSUMER.CREATE." + stream, consumer},
          {"CONSUMER.DURABLE.CREATE." + stream + ".d", consumer}}) {
      thief.say("$JS.API." + call, "", data);
      EXPECT_TRUE(thief.is_refused("$JS.API." + call)) << call;
    }
    thief.say(key, "", session_secret_text(std::string(64, 'e')));
    EXPECT_TRUE(thief.is_refused(key)) << "nor may he choose it";
  }
  EXPECT_FALSE((*gate)->kv_put(fleet_bucket, session_secret_key, "x", 0.3));
  ASSERT_TRUE(
      (*boss)->kv_put(fleet_bucket, session_secret_key, session_secret_text(*secret), wait_s));
  EXPECT_TRUE(known.wait([&](const std::string& k) { return k == *secret; }));
}

TEST_F(SecurityTest, GatewaysTellEachOtherOfTurnsAndNobodyElseDoes) {
  auto one = connect(gateway, "gateway", "gw");
  auto two = connect(gateway2, "gateway", "gw2");
  ASSERT_TRUE(one && two);
  Watched<std::set<std::string>> heard;
  std::vector<std::unique_ptr<Subscription>> ears;
  for (const std::string& subject : {turns_subject("*"), turns_subject("*", "gw2")}) {
    auto listening = (*two)->subscribe(subject, "", [&](const Message& m) {
      heard.change([&](auto& all) { all.insert(m.subject + " " + m.data); });
    });
    ASSERT_TRUE(listening);
    ears.push_back(*std::move(listening));
  }
  ASSERT_TRUE((*two)->flush(wait_s));
  for (const NkeyFile* stolen : {&site1, &admin}) {
    Thief thief(server->status().url, *stolen, tls.ca);
    for (const std::string& subject : {turns_subject("*"), turns_subject("gw"),
                                       turns_subject("*", "gw2"), std::string("noroshi.turns.>")}) {
      thief.listen(subject);
      EXPECT_TRUE(thief.is_refused("Subscription to \"" + subject + "\"")) << subject;
    }
    for (const std::string& subject : {turns_subject("gw"), turns_subject("site1"),
                                       turns_subject("gw", "gw2"), turns_subject("site1", "gw2")}) {
      thief.say(subject, "", "thief");
      EXPECT_TRUE(thief.is_refused("Publish to \"" + subject + "\"")) << subject;
    }
  }
  EXPECT_TRUE((*one)->publish(turns_subject("gw2"), "another's"));
  EXPECT_TRUE(denied(turns_subject("gw2"))) << "each speaks for itself";
  const auto others = (*one)->subscribe(turns_subject("*", "gw2"), "", [](const Message&) {});
  EXPECT_TRUE(denied(turns_subject("*", "gw2"))) << "and hears what is for it";
  EXPECT_TRUE((*one)->publish(turns_subject("gw"), "to all"));
  EXPECT_TRUE((*one)->publish(turns_subject("gw", "gw2"), "to one"));
  EXPECT_TRUE(heard.wait([](const auto& all) { return all.size() == 2; }));
  EXPECT_EQ(heard.get(),
            (std::set<std::string>{"noroshi.turns.gw to all", "noroshi.turns.gw.to.gw2 to one"}));
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
