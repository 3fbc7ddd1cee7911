#pragma once

// A nats-server in its own process, owned by us: configured, started on ports that it finds,
// watched, started again on the same ports when it dies, stopped with us.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::fleet {

// Who may connect (by nkey) and what for. Subjects may have wildcards.
struct NatsUser {
  std::string name = {};        // a comment in the file
  std::string public_key = {};  // "U..."
  std::vector<std::string> publish = {};
  std::vector<std::string> subscribe = {};
};

// A server that may connect as a leaf node. nats-server 2.9 lets no nkey in there, and anybody
// where no leaf is listed: so each has a password, of which this server knows what bcrypt makes.
struct NatsLeaf {
  std::string name = {};
  std::string user = {};
  std::string verifier = {};
  bool operator==(const NatsLeaf&) const = default;
};

// JetStream's domain of a core, by which what is behind a leaf node finds it.
inline constexpr const char* core_domain = "core";

struct NatsServerConfig {
  std::string name = "noroshi";  // different in each server of a cluster
  std::string executable = {};   // empty: nats-server on PATH, then in /usr/sbin
  std::string folder = {};       // for its files; made when it is not there
  std::string address = "127.0.0.1";
  int tcp_port = 0;  // 0: a free one

  bool jetstream = true;
  std::string domain = {};  // of JetStream; leaf nodes have one each
  std::int64_t memory_bytes_max = std::int64_t{256} << 20;
  std::int64_t disk_bytes_max = std::int64_t{4} << 30;

  std::string cluster = {};              // its name; empty: this server stands alone
  int cluster_tcp_port = 0;              // must be named in a cluster
  std::vector<std::string> routes = {};  // "nats://HOST:PORT" of the cluster's servers

  int leaf_tcp_port = 0;  // where leaf nodes connect; 0: nowhere
  struct Remote {
    std::string url = {};   // a hub's leaf port: this server is a leaf of it
    std::string user = {};  // of ours there; empty: none
    std::string password = {};
    std::string ca_path = {};  // of the hub's certificate; empty: no TLS
  };
  std::vector<Remote> remotes = {};

  std::string certificate_path = {};  // TLS to clients, leaves and routes; empty: none
  std::string key_path = {};
  std::string ca_path = {};  // routes show a certificate of it

  std::vector<NatsUser> users = {};   // empty: anybody may do anything, so only on the loopback
  std::vector<NatsLeaf> leaves = {};  // with users: these alone may be leaf nodes
};

// Where this machine's own clients find the server: it may listen on one address alone.
std::string own_url(const NatsServerConfig& config, int tcp_port);

// The configuration file's text. Errors: an address that is not the loopback's without TLS or
// users, a key that is none, a cluster without port.
Result<std::string> nats_server_text(const NatsServerConfig& config);

struct NatsServerStatus {
  bool ready = false;
  int pid = 0;
  int tcp_port = 0;
  std::string url = {};  // for clients on this machine
  int restarts = 0;
  std::string last_error = {};
  std::string leaf_error = {};  // why it is no leaf node of its core now, in its own words
};

// What the last of these lines of a server's log say of its connection as a leaf node: a fault in
// words, empty when it is up; nothing when they do not speak of it.
std::optional<std::string> leaf_news(std::string_view log);

class NatsServer {
 public:
  // Returns once it takes connections. Errors: no nats-server, a configuration that it refuses, not
  // ready in wait_s; with its own last words.
  static Result<NatsServer> start(NatsServerConfig config, double wait_s);
  NatsServer(NatsServer&&) noexcept;
  NatsServer& operator=(NatsServer&&) noexcept;
  ~NatsServer();  // stop()

  NatsServerStatus status() const;
  // True once the condition holds of the status, asked at each change; false after timeout_s.
  bool wait_until(const std::function<bool(const NatsServerStatus&)>& condition, double timeout_s);
  // Those who may no longer are cut off, the others do not notice; but where the leaves are others
  // than before the server starts anew, for it reads those once.
  Result<void> set_users(std::vector<NatsUser> users, std::vector<NatsLeaf> leaves = {});
  void stop();  // it hands over what it leads, then ends; killed after 5 s

 private:
  struct State;
  explicit NatsServer(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::fleet
