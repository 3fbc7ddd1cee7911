#pragma once

// A nats-server with TLS and a key for each role, and a thief of a key.

#include <gtest/gtest.h>
#include <nats/nats.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "fleet/keys.h"
#include "fleet/real_server_test.h"

namespace noroshi::fleet {

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

}  // namespace noroshi::fleet
