#include <boost/json.hpp>

#include "base/loopback.h"
#include "fleet/nats_server.h"
#include "fleet/nats_url.h"
#include "fleet/nkey.h"

namespace noroshi::fleet {
namespace {

std::string quoted(const std::string& text) {
  return boost::json::serialize(boost::json::value(text));
}

std::string list(const std::vector<std::string>& texts) {
  std::string out = "[";
  for (const std::string& text : texts) out += (out.size() > 1 ? ", " : "") + quoted(text);
  return out + "]";
}

Result<void> check(const NatsServerConfig& config) {
  const bool open = config.certificate_path.empty() || config.users.empty();
  if (!is_loopback(config.address) && open) {
    return Error{"nats-server on " + config.address +
                 ": an address that others reach needs TLS and keys (noroshi fleet keys makes "
                 "them); or listen on 127.0.0.1"};
  }
  if (!config.cluster.empty() && config.cluster_tcp_port == 0) {
    return Error{"nats-server: cluster '" + config.cluster + "' needs a port of its own"};
  }
  for (const NatsUser& user : config.users) {
    if (!is_public_nkey(user.public_key)) {
      return Error{"nats-server: the key of '" + user.name +
                   "' is not a user's public key (U and 55 "
                   "letters): '" +
                   user.public_key.substr(0, 60) + "'"};
    }
  }
  for (const NatsServerConfig::Remote& remote : config.remotes) {
    const auto parts = parse_nats_url("nats-server: core's URL", remote.url, leaf_schemes, 7422);
    if (!parts) return parts.error();
  }
  return {};
}

std::string tls_block(const NatsServerConfig& config, bool both_ways) {
  if (config.certificate_path.empty()) return {};
  std::string out = "tls {\n  cert_file: " + quoted(config.certificate_path) +
                    "\n  key_file: " + quoted(config.key_path) + "\n";
  if (!config.ca_path.empty()) out += "  ca_file: " + quoted(config.ca_path) + "\n";
  if (both_ways) out += "  verify: true\n";
  return out + "}\n";
}

std::string users_block(const std::vector<NatsUser>& users) {
  if (users.empty()) return {};
  std::string out = "authorization {\n  users: [\n";
  for (const NatsUser& user : users) {
    std::string name = user.name;
    for (char& letter : name) letter = letter >= ' ' && letter <= '~' ? letter : '?';
    out += "    # " + name + "\n    {nkey: " + user.public_key +
           ", permissions: {publish: {allow: " + list(user.publish) +
           "}, subscribe: {allow: " + list(user.subscribe) + "}}}\n";
  }
  return out + "  ]\n}\n";
}

// An empty list would let anybody in: one is there whom nobody can be, for no password is known of
// which bcrypt makes this.
std::string leaves_block(const NatsServerConfig& config) {
  if (config.users.empty()) return {};
  std::string out = "  authorization {\n    users: [\n    {user: nobody, password: " +
                    quoted("$2a$11$" + std::string(53, '.')) + "}\n";
  for (const NatsLeaf& leaf : config.leaves) {
    out += "    {user: " + quoted(leaf.user) + ", password: " + quoted(leaf.verifier) + "}\n";
  }
  return out + "  ]}\n";
}

std::string with_user(const NatsServerConfig::Remote& remote) {
  if (remote.user.empty()) return remote.url;
  const std::size_t at = remote.url.find("://") + 3;
  return remote.url.substr(0, at) + remote.user + ":" + remote.password + "@" +
         remote.url.substr(at);
}

std::string host_port(const std::string& address, int tcp_port) {
  const bool v6 = address.find(':') != std::string::npos;
  return (v6 ? "[" + address + "]" : address) + ":" + std::to_string(tcp_port);
}

}  // namespace

std::string own_url(const NatsServerConfig& config, int tcp_port) {
  const bool is_any = config.address == "0.0.0.0" || config.address == "::";
  return (config.certificate_path.empty() ? "nats://" : "tls://") +
         host_port(is_any ? "127.0.0.1" : config.address, tcp_port);
}

Result<std::string> nats_server_text(const NatsServerConfig& config) {
  if (const Result<void> sound = check(config); !sound) return sound.error();
  // Written by noroshi; -1 lets the server choose.
  std::string out =
      "server_name: " + quoted(config.name) +
      "\nlisten: " + quoted(host_port(config.address, config.tcp_port > 0 ? config.tcp_port : -1)) +
      "\nmax_payload: 1MB\nping_interval: \"2s\"\nping_max: 2\nwrite_deadline: \"2s\"\n";
  out += tls_block(config, false);
  out += users_block(config.users);
  if (config.jetstream) {
    out += "jetstream {\n  store_dir: " + quoted(config.folder + "/jetstream") +
           "\n  max_memory_store: " + std::to_string(config.memory_bytes_max) +
           "\n  max_file_store: " + std::to_string(config.disk_bytes_max) + "\n";
    if (!config.domain.empty()) out += "  domain: " + quoted(config.domain) + "\n";
    out += "}\n";
  }
  if (!config.cluster.empty()) {
    out += "cluster {\n  name: " + quoted(config.cluster) +
           "\n  listen: " + quoted(host_port(config.address, config.cluster_tcp_port)) +
           "\n  routes: " + list(config.routes) + "\n" + tls_block(config, true) + "}\n";
  }
  if (config.leaf_tcp_port > 0 || !config.remotes.empty()) {
    out += "leafnodes {\n";
    if (config.leaf_tcp_port > 0) {
      out += "  listen: " + quoted(host_port(config.address, config.leaf_tcp_port)) + "\n" +
             tls_block(config, false) + leaves_block(config);
    }
    if (!config.remotes.empty()) out += "  reconnect: 1\n  remotes: [\n";
    for (const NatsServerConfig::Remote& remote : config.remotes) {
      out += "    {url: " + quoted(with_user(remote));
      if (!remote.ca_path.empty()) out += ", tls: {ca_file: " + quoted(remote.ca_path) + "}";
      out += "}\n";
    }
    if (!config.remotes.empty()) out += "  ]\n";
    out += "}\n";
  }
  return out;
}

}  // namespace noroshi::fleet
