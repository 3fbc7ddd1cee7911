#include "fleet/nats_bus.h"

#include <chrono>
#include <cmath>

#include "fleet/nats_state.h"
#include "fleet/nkey.h"

namespace noroshi::fleet {
namespace {

constexpr int flush_bytes_max = 64 << 10;  // that a broken connection may still hold for later

class NatsSubscription final : public Subscription {
 public:
  NatsSubscription(NatsBus& bus, std::function<void(const Message&)> handler)
      : bus_(bus), handler_(std::move(handler)) {}
  NatsSubscription(const NatsSubscription&) = delete;
  NatsSubscription& operator=(const NatsSubscription&) = delete;
  ~NatsSubscription() override {
    if (native_ == nullptr) return;
    natsSubscription_Unsubscribe(native_);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return complete_; });
    lock.unlock();
    bus_.end_subscription(native_);
  }

  Result<void> start(natsConnection* connection, const std::string& subject,
                     const std::string& queue) {
    const natsStatus status =
        queue.empty()
            ? natsConnection_Subscribe(&native_, connection, subject.c_str(), on_message, this)
            : natsConnection_QueueSubscribe(&native_, connection, subject.c_str(), queue.c_str(),
                                            on_message, this);
    if (status != NATS_OK) return nats_error("subscribe to " + subject, status);
    // Told once no handler can run any more.
    const natsStatus told = natsSubscription_SetOnCompleteCB(native_, on_complete, this);
    if (told != NATS_OK) {
      complete_ = true;
      return nats_error("subscribe to " + subject, told);
    }
    return {};
  }

 private:
  static void on_message(natsConnection*, natsSubscription*, natsMsg* native, void* self) {
    const MessagePtr held(native);
    const char* reply = natsMsg_GetReply(native);
    static_cast<NatsSubscription*>(self)->handler_({.subject = natsMsg_GetSubject(native),
                                                    .reply = reply != nullptr ? reply : "",
                                                    .data = std::string(data_of(native))});
  }
  static void on_complete(void* closure) {
    auto* self = static_cast<NatsSubscription*>(closure);
    const std::lock_guard lock(self->mutex_);
    self->complete_ = true;
    self->changed_.notify_all();
  }

  NatsBus& bus_;
  std::function<void(const Message&)> handler_;
  natsSubscription* native_ = nullptr;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool complete_ = false;  // under mutex_
};

}  // namespace

Error nats_error(std::string_view what, natsStatus status) {
  const char* details = nats_GetLastError(nullptr);
  std::string text = std::string(what) + ": " + natsStatus_GetText(status);
  if (details != nullptr && *details != '\0' && text.find(details) == std::string::npos) {
    text += std::string(" (") + details + ")";
  }
  return Error{std::move(text)};
}

std::int64_t milliseconds(double seconds) {
  return std::max<std::int64_t>(1, std::llround(seconds * 1e3));
}

std::string_view data_of(const natsMsg* message) {
  const int size = natsMsg_GetDataLength(message);
  return size > 0 ? std::string_view(natsMsg_GetData(message), static_cast<std::size_t>(size))
                  : std::string_view();
}

std::string header_of(natsMsg* message, const char* name) {
  const char* value = nullptr;
  return natsMsgHeader_Get(message, name, &value) == NATS_OK && value != nullptr ? value : "";
}

void NatsBus::on_connected(natsConnection*, void* self) {
  auto* bus = static_cast<NatsBus*>(self);
  {
    const std::lock_guard lock(bus->mutex_);
    bus->connections_.fetch_add(1);
    bus->refused_.clear();
    bus->changed_.notify_all();
  }
  bus->event("connected");
}

void NatsBus::on_disconnected(natsConnection*, void* self) {
  static_cast<NatsBus*>(self)->event("disconnected");
}

void NatsBus::on_closed(natsConnection*, void* self) {
  auto* bus = static_cast<NatsBus*>(self);
  const std::lock_guard lock(bus->mutex_);
  bus->closed_ = true;
  bus->changed_.notify_all();
}

void NatsBus::on_error(natsConnection* connection, natsSubscription*, natsStatus status,
                       void* self) {
  auto* bus = static_cast<NatsBus*>(self);
  const char* last = nullptr;
  natsConnection_GetLastError(connection, &last);
  std::string text = last != nullptr && *last != '\0' ? last : natsStatus_GetText(status);
  if (status == NATS_CONNECTION_AUTH_FAILED) {
    const std::lock_guard lock(bus->mutex_);
    bus->refused_ = text;
    bus->changed_.notify_all();
  }
  bus->event(text);
}

Result<void> NatsBus::set_options(natsOptions* natives) {
  std::vector<const char*> urls;
  for (const std::string& url : options_.urls) urls.push_back(url.c_str());
  natsStatus status = natsOptions_SetServers(natives, urls.data(), static_cast<int>(urls.size()));
  if (status == NATS_OK) status = natsOptions_SetNoRandomize(natives, true);
  if (status != NATS_OK) return nats_error("NATS URL " + options_.urls[0], status);
  if (!options_.nkey_seed_path.empty()) {
    const Result<Nkey> key = read_nkey(options_.nkey_seed_path);
    if (!key) return key.error();
    status = natsOptions_SetNKeyFromSeed(natives, key->public_key.c_str(),
                                         options_.nkey_seed_path.c_str());
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
  set(natsOptions_SetMaxReconnect(natives, -1));
  set(natsOptions_SetReconnectWait(natives, milliseconds(options_.reconnect_wait_s)));
  set(natsOptions_SetReconnectJitter(natives, milliseconds(options_.reconnect_wait_s / 2),
                                     milliseconds(options_.reconnect_wait_s / 2)));
  set(natsOptions_SetPingInterval(natives, milliseconds(options_.ping_interval_s)));
  set(natsOptions_SetMaxPingsOut(natives, 2));
  set(natsOptions_SetReconnectBufSize(natives, flush_bytes_max));
  set(natsOptions_SetFailRequestsOnDisconnect(natives, true));
  set(natsOptions_SetWriteDeadline(natives, 2000));
  set(natsOptions_SetCustomInboxPrefix(natives, inbox_prefix_.c_str()));
  set(natsOptions_SetErrorHandler(natives, on_error, this));
  set(natsOptions_SetClosedCB(natives, on_closed, this));
  set(natsOptions_SetDisconnectedCB(natives, on_disconnected, this));
  set(natsOptions_SetReconnectedCB(natives, on_connected, this));
  set(natsOptions_SetRetryOnFailedConnect(natives, true, on_connected, this));
  if (status != NATS_OK) return nats_error("NATS options", status);
  return {};
}

Result<void> NatsBus::connect(double wait_s) {
  if (options_.urls.empty()) return Error{"NATS: no URL of a server"};
  inbox_prefix_ = options_.inbox_prefix.empty() ? "_INBOX" : options_.inbox_prefix;
  // A server that dies while it greets us makes the library close for good before anything else:
  // then once more from the start.
  constexpr int attempts_max = 50;
  for (int attempt = 1;; ++attempt) {
    if (const Result<void> tried = try_connect(); !tried) return tried;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::duration<double>(wait_s),
                      [this] { return connections_.load() > 0 || !refused_.empty() || closed_; });
    const bool closed = closed_ && connections_.load() == 0;
    if (!refused_.empty() || (closed && attempt == attempts_max)) {
      return Error{"NATS at " + options_.urls[0] +
                   " refuses us: " + (refused_.empty() ? "the connection was closed" : refused_)};
    }
    if (!closed) return {};
    lock.unlock();
    jsCtx_Destroy(std::exchange(js_, nullptr));
    natsConnection_Destroy(std::exchange(connection_, nullptr));
    lock.lock();
    closed_ = false;
    changed_.wait_for(lock, std::chrono::duration<double>(options_.reconnect_wait_s),
                      [this] { return !refused_.empty(); });
  }
}

Result<void> NatsBus::try_connect() {
  natsOptions* natives = nullptr;
  natsStatus status = natsOptions_Create(&natives);
  if (status != NATS_OK) return nats_error("NATS", status);
  if (const Result<void> set = set_options(natives); !set) {
    natsOptions_Destroy(natives);
    return set;
  }
  status = natsConnection_Connect(&connection_, natives);
  natsOptions_Destroy(natives);
  if (status == NATS_OK) {
    connections_.fetch_add(1);
  } else if (status != NATS_NOT_YET_CONNECTED) {
    connection_ = nullptr;
    return nats_error("NATS at " + options_.urls[0], status);
  }
  jsOptions js_options;
  jsOptions_Init(&js_options);
  if (!options_.domain.empty()) js_options.Domain = options_.domain.c_str();
  status = natsConnection_JetStream(&js_, connection_, &js_options);
  if (status != NATS_OK) return nats_error("NATS", status);
  return {};
}

NatsBus::~NatsBus() {
  if (connection_ == nullptr) return;
  natsConnection_FlushTimeout(connection_, connected() ? 500 : 1);
  natsConnection_Close(connection_);
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return closed_; });
  }
  // The thread that reads has ended before the connection counts as closed.
  for (natsSubscription* subscription : ended_) natsSubscription_Destroy(subscription);
  jsCtx_Destroy(js_);
  natsConnection_Destroy(connection_);
}

void NatsBus::end_subscription(natsSubscription* subscription) {
  if (subscription == nullptr) return;
  natsSubscription_Unsubscribe(subscription);
  constexpr std::size_t kept_max = 32;  // until it is worth a round trip
  std::vector<natsSubscription*> some;
  {
    const std::lock_guard lock(mutex_);
    ended_.push_back(subscription);
    if (ended_.size() < kept_max || !connected()) return;
    some.swap(ended_);
  }
  // The server's answer is read after everything that was read when these were ended.
  if (natsConnection_FlushTimeout(connection_, 1000) == NATS_OK) {
    for (natsSubscription* one : some) natsSubscription_Destroy(one);
    return;
  }
  const std::lock_guard lock(mutex_);
  ended_.insert(ended_.end(), some.begin(), some.end());
}

bool NatsBus::connected() const {
  return natsConnection_Status(connection_) == NATS_CONN_STATUS_CONNECTED;
}

Result<void> NatsBus::need_connection(std::string_view what) const {
  if (connected()) return {};
  return Error{std::string(what) + ": no connection to NATS at " + options_.urls[0]};
}

Result<void> NatsBus::publish(std::string_view subject, std::string_view data) {
  const std::string name(subject);
  if (const Result<void> there = need_connection("publish " + name); !there) return there;
  const natsStatus status =
      natsConnection_Publish(connection_, name.c_str(), data.data(), static_cast<int>(data.size()));
  if (status != NATS_OK) {
    return nats_error("publish " + std::to_string(data.size()) + " bytes on " + name, status);
  }
  return {};
}

Result<std::unique_ptr<Subscription>> NatsBus::subscribe(
    std::string_view subject, std::string_view queue, std::function<void(const Message&)> handler) {
  auto subscription = std::make_unique<NatsSubscription>(*this, std::move(handler));
  const Result<void> started =
      subscription->start(connection_, std::string(subject), std::string(queue));
  if (!started) return started.error();
  return std::unique_ptr<Subscription>(std::move(subscription));
}

Result<std::string> NatsBus::request(std::string_view subject, std::string_view data,
                                     double timeout_s) {
  const std::string name(subject);
  if (const Result<void> there = need_connection("ask " + name); !there) return there.error();
  natsMsg* native = nullptr;
  const natsStatus status =
      natsConnection_Request(&native, connection_, name.c_str(), data.data(),
                             static_cast<int>(data.size()), milliseconds(timeout_s));
  const MessagePtr answer(native);
  if (status == NATS_NO_RESPONDERS) return Error{"ask " + name + ": nobody listens there"};
  if (status == NATS_TIMEOUT) {
    return Error{"ask " + name + ": no answer within " + std::to_string(milliseconds(timeout_s)) +
                 " ms"};
  }
  if (status != NATS_OK) return nats_error("ask " + name, status);
  return std::string(data_of(answer.get()));
}

Result<void> NatsBus::flush(double timeout_s) {
  const natsStatus status = natsConnection_FlushTimeout(connection_, milliseconds(timeout_s));
  if (status != NATS_OK) return nats_error("flush to NATS", status);
  return {};
}

Result<std::unique_ptr<Bus>> connect_nats(NatsOptions options, double wait_s) {
  auto bus = std::make_unique<NatsBus>(std::move(options));
  const Result<void> connected = bus->connect(wait_s);
  if (!connected) return connected.error();
  return std::unique_ptr<Bus>(std::move(bus));
}

}  // namespace noroshi::fleet
