#pragma once

// The bus over a NATS server, through libnats (docs/decisions/0020-nats.md).

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "fleet/bus.h"

namespace noroshi::fleet {

struct NatsOptions {
  std::vector<std::string> urls = {};  // "nats://HOST:PORT" or "tls://HOST:PORT"; the first that
                                       // answers: name the nearest first, a cut then leaves its
                                       // side together. A bus that had to leave the first one goes
                                       // back when it is there. Servers that these tell of are not
                                       // asked
  std::string name = {};               // of this client, as the server shows it
  std::string nkey_seed_path = {};     // a file with the seed of our key; empty: no key
  std::string ca_path = {};            // of the servers' certificates; empty: no TLS
  std::string role = {};    // of our key's owner: answers come to inbox_of(role, key) (keys.h);
                            // empty: the server's list gives the key the library's own inboxes
  std::string domain = {};  // of JetStream, behind a leaf node; empty: the server's own
  double connect_timeout_s = 2;
  double reconnect_wait_s = 0.1;  // before each round of attempts, give or take a half
  double home_wait_s = 1;         // between looks for the first server by one who had to leave it
  double ping_interval_s = 1;     // two unanswered pings: the connection is dead
  // Told what happens to the connection, from a thread of the bus: "connected", "disconnected",
  // "permissions violation ...". May be empty.
  std::function<void(const std::string&)> on_event = {};
};

// Waits up to wait_s for the first connection and goes on trying after it, and again whenever a
// connection ends, for as long as the bus lives: without a server the bus is there, not connected,
// and takes subscriptions and watches for later. Errors: a bad URL, key or certificate, or
// (wait_s > 0) a server that refuses our key.
Result<std::unique_ptr<Bus>> connect_nats(NatsOptions options, double wait_s);

}  // namespace noroshi::fleet
