// Keys at a real nats-server, as far as sessions and quotas go: would catch a stolen key of a site
// that learns what sessions are called, tells gateways where they were, or what tenants used.

#include <set>

#include "fleet/desired.h"
#include "fleet/security_test.h"
#include "fleet/tenant_use.h"
#include "fleet/turns.h"

namespace noroshi::fleet {
namespace {

using DoorsSecurityTest = SecurityTest;

// Who knows the secret knows every session's name, and with that has the right to its context.
TEST_F(DoorsSecurityTest, TheSessionSecretIsTheGatewaysAlone) {
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

TEST_F(DoorsSecurityTest, GatewaysTellEachOtherOfTurnsAndNobodyElseDoes) {
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

TEST_F(DoorsSecurityTest, GatewaysTellEachOtherOfQuotasAndNobodyElseDoes) {
  auto one = connect(gateway, "gateway", "gw");
  auto two = connect(gateway2, "gateway", "gw2");
  ASSERT_TRUE(one && two);
  Watched<std::set<std::string>> heard;
  const auto listening = (*two)->subscribe(quotas_subject("*"), "", [&](const Message& m) {
    heard.change([&](auto& all) { all.insert(m.subject + " " + m.data); });
  });
  ASSERT_TRUE(listening);
  ASSERT_TRUE((*two)->flush(wait_s));
  for (const NkeyFile* stolen : {&site1, &admin}) {
    Thief thief(server->status().url, *stolen, tls.ca);
    for (const std::string& subject : {quotas_subject("*"), quotas_subject("gw")}) {
      thief.listen(subject);
      EXPECT_TRUE(thief.is_refused("Subscription to \"" + subject + "\"")) << subject;
    }
    for (const std::string& subject : {quotas_subject("gw"), quotas_subject("site1")}) {
      thief.say(subject, "", "thief");
      EXPECT_TRUE(thief.is_refused("Publish to \"" + subject + "\"")) << subject;
    }
  }
  EXPECT_TRUE((*one)->publish(quotas_subject("gw2"), "another's"));
  EXPECT_TRUE(denied(quotas_subject("gw2"))) << "each speaks for itself";
  EXPECT_TRUE((*one)->publish(quotas_subject("gw"), "to all"));
  EXPECT_TRUE(heard.wait([](const auto& all) { return !all.empty(); }));
  EXPECT_EQ(heard.get(), (std::set<std::string>{"noroshi.quotas.gw to all"}));
}

}  // namespace
}  // namespace noroshi::fleet
