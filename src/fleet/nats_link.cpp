// The connection of a bus to its servers: made, watched, and made again for as long as the bus
// lives. The library only ever holds one connection that is up; why, see
// docs/decisions/0020-nats.md.

#include <dirent.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "base/prng.h"
#include "fleet/keys.h"
#include "fleet/nats_state.h"
#include "fleet/nats_tls.h"
#include "fleet/nats_url.h"
#include "fleet/nkey.h"

namespace noroshi::fleet {
namespace {

constexpr double greeting_grace_s = 0.5;    // over the library's own time limit
constexpr double cut_again_s = 0.05;        // a host may have several addresses
constexpr double refused_wait_factor = 20;  // a server that does not know us is asked less often
constexpr int flush_bytes_max = 64 << 10;   // that a broken connection may still hold for later
constexpr std::size_t ended_kept_max = 32;  // subscriptions, until it is worth a round trip
constexpr std::int64_t flush_ms_at_end = 500;
constexpr int home_looks = 2;  // a server that has just begun does not know its cluster yet

std::chrono::duration<double> seconds(double s) { return std::chrono::duration<double>(s); }

Result<HostAndPort> split_url(const std::string& url) {
  return parse_nats_url("NATS URL", url, client_schemes, 4222);
}

std::set<int> open_files() {
  std::set<int> out;
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return out;
  while (const dirent* entry = readdir(folder)) {
    if (entry->d_name[0] != '.') out.insert(std::atoi(entry->d_name));
  }
  out.erase(dirfd(folder));
  closedir(folder);
  return out;
}

bool is_peer(int fd, const addrinfo* addresses) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  for (const addrinfo* one = addresses; one != nullptr; one = one->ai_next) {
    if (one->ai_addrlen == size && std::memcmp(one->ai_addr, &peer, size) == 0) return true;
  }
  return false;
}

// Shuts the sockets to this server that were opened since. libnats 3.4 shows no socket of a
// connection that is being made, so it is found by whom it talks to. Another one to the same server
// that it may be taken for is made again by its owner.
void cut_new_sockets(const std::string& url, const std::set<int>& before) {
  const Result<HostAndPort> parts = split_url(url);
  if (!parts) return;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* addresses = nullptr;
  if (getaddrinfo(parts->host.c_str(), parts->port.c_str(), &hints, &addresses) != 0) return;
  for (const int fd : open_files()) {
    if (before.contains(fd)) continue;
    const int held = dup(fd);  // so that nobody else's file takes its number meanwhile
    if (held < 0) continue;
    if (is_peer(held, addresses)) shutdown(held, SHUT_RDWR);
    close(held);
  }
  freeaddrinfo(addresses);
}

}  // namespace

NatsLink::~NatsLink() {
  for (natsSubscription* subscription : ended) natsSubscription_Destroy(subscription);
  jsCtx_Destroy(js);
  natsConnection_Destroy(connection);
}

namespace {

// A key that cannot be read is refused where it is used.
std::string inbox_prefix(const NatsOptions& options) {
  if (options.nkey_seed_path.empty() || options.role.empty()) return "_INBOX";
  const Result<Nkey> key = read_nkey(options.nkey_seed_path);
  return key ? inbox_of(options.role, key->public_key) : "_INBOX";
}

}  // namespace

NatsBus::NatsBus(NatsOptions options)
    : options_(std::move(options)), inbox_prefix_(inbox_prefix(options_)) {}

NatsBus::~NatsBus() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (keeper_.joinable()) keeper_.join();
}

// As the library's own, but for one signature of 256: libnats 3.4 takes one that begins with a zero
// byte for none and greets without it, which the server refuses like a wrong key.
natsStatus NatsBus::on_nonce(char** fault, unsigned char** signature, int* size, const char* nonce,
                             void* self) {
  auto* bus = static_cast<NatsBus*>(self);
  const Result<Nkey> key = read_nkey(bus->options_.nkey_seed_path);
  if (!key) {
    *fault = strdup(key.error().message.c_str());
    return NATS_ERR;
  }
  const natsStatus status = nats_Sign(key->seed.c_str(), nonce, signature, size);
  if (status != NATS_OK || **signature != 0) return status;
  std::free(*signature);
  *signature = nullptr;
  bus->unlucky_nonce_ = true;
  return NATS_ERR;
}

void NatsBus::on_closed(natsConnection* connection, void* self) {
  auto* bus = static_cast<NatsBus*>(self);
  const std::lock_guard lock(bus->mutex_);
  bus->closed_.insert(connection);
  bus->changed_.notify_all();
}

void NatsBus::on_error(natsConnection* connection, natsSubscription*, natsStatus status,
                       void* self) {
  auto* bus = static_cast<NatsBus*>(self);
  const char* last = nullptr;
  natsConnection_GetLastError(connection, &last);
  const std::string text = last != nullptr && *last != '\0' ? last : natsStatus_GetText(status);
  if (status == NATS_NOT_PERMITTED) {
    const std::lock_guard lock(bus->mutex_);
    const bool is_subscription = text.find("ubscription") != text.npos;
    (is_subscription ? bus->not_heard_ : bus->not_said_) = text;
    if (!is_subscription) bus->not_said_at_ = std::chrono::steady_clock::now();
  }
  bus->event(text);
}

Result<void> NatsBus::set_options(natsOptions* natives, const std::string& url) {
  const char* urls[] = {url.c_str()};
  natsStatus status = natsOptions_SetServers(natives, urls, 1);
  if (status != NATS_OK) return nats_error("NATS URL " + url, status);
  if (!options_.nkey_seed_path.empty()) {
    const Result<Nkey> key = read_nkey(options_.nkey_seed_path);
    if (!key) return key.error();
    status = natsOptions_SetNKey(natives, key->public_key.c_str(), on_nonce, this);
    if (status != NATS_OK) return nats_error("NATS key " + options_.nkey_seed_path, status);
  }
  if (!options_.ca_path.empty()) {
    status = natsOptions_SetSecure(natives, true);
    if (status == NATS_OK) {
      status = natsOptions_LoadCATrustedCertificates(natives, options_.ca_path.c_str());
    }
    if (status != NATS_OK) return nats_error("NATS certificates of " + options_.ca_path, status);
  }
  const auto set = [&status](natsStatus next) {
    if (status == NATS_OK) status = next;
  };
  set(natsOptions_SetName(natives, options_.name.c_str()));
  set(natsOptions_SetTimeout(natives, milliseconds(options_.connect_timeout_s)));
  set(natsOptions_SetAllowReconnect(natives, false));
  set(natsOptions_SetIgnoreDiscoveredServers(natives, true));
  set(natsOptions_SetPingInterval(natives, milliseconds(options_.ping_interval_s)));
  set(natsOptions_SetMaxPingsOut(natives, 2));
  set(natsOptions_SetReconnectBufSize(natives, flush_bytes_max));
  set(natsOptions_SetWriteDeadline(natives, 2000));
  set(natsOptions_SetCustomInboxPrefix(natives, inbox_prefix_.c_str()));
  set(natsOptions_SetErrorHandler(natives, on_error, this));
  set(natsOptions_SetClosedCB(natives, on_closed, this));
  if (status != NATS_OK) return nats_error("NATS options", status);
  return {};
}

Result<void> NatsBus::connect(double wait_s) {
  if (options_.urls.empty()) return Error{"NATS: no URL of a server"};
  if (!options_.ca_path.empty() && !tls_calls_take_turns()) {
    return Error{"NATS: this program was linked without its guard of TLS connections"};
  }
  for (const std::string& url : options_.urls) {
    if (const Result<HostAndPort> parts = split_url(url); !parts) return parts.error();
    natsOptions* natives = nullptr;
    if (natsOptions_Create(&natives) != NATS_OK) return Error{"NATS: no memory"};
    const Result<void> set = set_options(natives, url);
    natsOptions_Destroy(natives);
    if (!set) return set;
  }
  keeper_ = std::thread([this] { keep_connected(); });
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, seconds(wait_s),
                    [this] { return link_ != nullptr || !refused_.empty(); });
  if (wait_s > 0 && !refused_.empty()) return Error{refused_};
  return {};
}

// Greets one server.
Result<Link> NatsBus::dial(const std::string& url) {
  natsOptions* natives = nullptr;
  natsStatus status = natsOptions_Create(&natives);
  if (status != NATS_OK) return nats_error("NATS", status);
  if (const Result<void> set = set_options(natives, url); !set) {
    natsOptions_Destroy(natives);
    return set.error();
  }
  auto link = std::make_shared<NatsLink>();
  do {  // each greeting has a nonce of its own
    unlucky_nonce_ = false;
    status = natsConnection_Connect(&link->connection, natives);
  } while (unlucky_nonce_);
  natsOptions_Destroy(natives);
  if (status != NATS_OK) {
    link->connection = nullptr;
    const bool refused = status == NATS_CONNECTION_AUTH_FAILED;
    const Error error = nats_error("NATS at " + url + (refused ? " refuses us" : ""), status);
    const std::lock_guard lock(mutex_);
    if (refused) refused_ = error.message;
    return error;
  }
  jsOptions js_options;
  jsOptions_Init(&js_options);
  if (!options_.domain.empty()) js_options.Domain = options_.domain.c_str();
  // Fails only without memory; then what needs it says so.
  static_cast<void>(natsConnection_JetStream(&link->js, link->connection, &js_options));
  return link;
}

// The same, given up when the bus ends or the greeting does: libnats 3.4 waits without end for the
// last answer of a server that falls silent there, and burns a processor while it does.
Result<Link> NatsBus::dial_in_time(const std::string& url) {
  const std::set<int> before = open_files();
  std::optional<Result<Link>> outcome;  // under mutex_
  std::thread dialer([&] {
    Result<Link> tried = dial(url);
    nats_ReleaseThreadMemory();
    const std::lock_guard lock(mutex_);
    outcome.emplace(std::move(tried));
    changed_.notify_all();
  });
  {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, seconds(options_.connect_timeout_s + greeting_grace_s),
                      [&] { return outcome.has_value() || stopping_; });
    while (!outcome) {
      lock.unlock();
      cut_new_sockets(url, before);
      lock.lock();
      changed_.wait_for(lock, seconds(cut_again_s), [&] { return outcome.has_value(); });
    }
  }
  dialer.join();
  return *std::move(outcome);
}

// Every subscription is on it before anybody else sees it.
void NatsBus::adopt(const Link& link) {
  {
    const std::lock_guard all(renewables_mutex_);
    for (Renewable* one : renewables_) one->renew(link);
    const std::lock_guard lock(mutex_);
    link_ = link;
    refused_.clear();
    last_error_.clear();
    not_heard_.clear();
    not_said_.clear();
    connections_.fetch_add(1);
    changed_.notify_all();
  }
  event("connected");
}

// Until the library has told that it is closed: it tells us by the bus, which must live so long.
void NatsBus::end(const Link& link) {
  std::unique_lock lock(mutex_);
  if (!closed_.contains(link->connection)) {
    lock.unlock();
    natsConnection_FlushTimeout(link->connection, flush_ms_at_end);
    natsConnection_Close(link->connection);
    lock.lock();
    changed_.wait(lock, [&] { return closed_.contains(link->connection); });
  }
  closed_.erase(link->connection);
}

// From its greeting to its end, and that of the first server's connection that takes its place
// where this one (`at` of the URLs) is another's: what we are near to shall not hang on a server
// that is far, which a cut may part from us. A call that is under way while we move fails as it
// does when a connection breaks. Returns whose connection it was in the end.
std::size_t NatsBus::serve(Link link, std::size_t at) {
  adopt(link);
  std::unique_lock lock(mutex_);
  const auto is_over = [&] { return stopping_ || closed_.contains(link->connection); };
  int seen = 0;
  while (at != 0 && !changed_.wait_for(lock, seconds(options_.home_wait_s), is_over)) {
    lock.unlock();
    Result<Link> home = dial_in_time(options_.urls[0]);
    seen = home ? seen + 1 : 0;
    if (home && seen < home_looks) {
      end(*home);
    } else if (home) {
      adopt(*home);
      end(std::exchange(link, *std::move(home)));
      at = 0;
    }
    lock.lock();
    refused_.clear();  // at home; it is asked again
  }
  changed_.wait(lock, is_over);
  link_ = nullptr;
  lock.unlock();
  end(link);
  event("disconnected");
  return at;
}

// In turn: the nearest first, the one that was just lost last.
void NatsBus::keep_connected() {
  const std::size_t servers = options_.urls.size();
  Prng prng(std::hash<std::string>()(options_.name));  // so that a fleet does not come at once
  std::size_t first = 0;
  while (true) {
    for (std::size_t i = 0; i < servers; ++i) {
      const std::size_t at = (first + i) % servers;
      {
        const std::lock_guard lock(mutex_);
        if (stopping_) break;
      }
      Result<Link> dialled = dial_in_time(options_.urls[at]);
      if (dialled) {
        first = serve(*std::move(dialled), at) == 0 ? 1 : 0;
        break;
      }
      const std::lock_guard lock(mutex_);
      last_error_ = dialled.error().message;
      changed_.notify_all();
    }
    std::unique_lock lock(mutex_);
    const double wait_s = options_.reconnect_wait_s * (refused_.empty() ? 1 : refused_wait_factor);
    const double jitter = 0.5 + static_cast<double>(prng.below(1000)) / 1000;
    changed_.wait_for(lock, seconds(wait_s * jitter), [this] { return stopping_; });
    if (stopping_) break;
  }
  nats_ReleaseThreadMemory();
}

void NatsBus::keep_renewed(Renewable& one) {
  const std::lock_guard all(renewables_mutex_);
  renewables_.insert(&one);
  if (const Link there = link()) one.renew(there);
}

void NatsBus::drop(Renewable& one) {
  const std::lock_guard all(renewables_mutex_);
  renewables_.erase(&one);
}

void NatsBus::end_subscription(const Link& link, natsSubscription* subscription) {
  if (subscription == nullptr) return;
  natsSubscription_Unsubscribe(subscription);
  std::vector<natsSubscription*> some;
  const bool up = natsConnection_Status(link->connection) == NATS_CONN_STATUS_CONNECTED;
  {
    const std::lock_guard lock(link->mutex);
    link->ended.push_back(subscription);
    if (link->ended.size() < ended_kept_max || !up) return;
    some.swap(link->ended);
  }
  // The server's answer is read after everything that was read when these were ended.
  if (natsConnection_FlushTimeout(link->connection, 1000) == NATS_OK) {
    for (natsSubscription* one : some) natsSubscription_Destroy(one);
    return;
  }
  const std::lock_guard lock(link->mutex);
  link->ended.insert(link->ended.end(), some.begin(), some.end());
}

Result<std::unique_ptr<Bus>> connect_nats(NatsOptions options, double wait_s) {
  auto bus = std::make_unique<NatsBus>(std::move(options));
  const Result<void> connected = bus->connect(wait_s);
  if (!connected) return connected.error();
  return std::unique_ptr<Bus>(std::move(bus));
}

}  // namespace noroshi::fleet
