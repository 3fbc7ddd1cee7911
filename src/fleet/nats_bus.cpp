#include "fleet/nats_bus.h"

#include <algorithm>
#include <cmath>

#include "fleet/nats_state.h"

namespace noroshi::fleet {
namespace {

constexpr std::chrono::seconds not_said_kept{10};  // members publish more often than that
constexpr std::string_view spaces = " \t\r\n";

// What a subscription's messages go to. The library's delivery threads hold it, so that one that is
// late finds that nobody listens any more.
struct Listener {
  std::mutex mutex;                             // one message at a time, over connections too
  std::function<void(const Message&)> handler;  // under mutex; empty once the subscription ended
};
using Ticket = std::shared_ptr<Listener>;

void on_message(natsConnection*, natsSubscription*, natsMsg* native, void* ticket) {
  const MessagePtr held(native);
  Listener& listener = **static_cast<Ticket*>(ticket);
  const char* reply = natsMsg_GetReply(native);
  const Message message{.subject = natsMsg_GetSubject(native),
                        .reply = reply != nullptr ? reply : "",
                        .data = std::string(data_of(native))};
  const std::lock_guard lock(listener.mutex);
  if (listener.handler) listener.handler(message);
}

// The delivery thread of one connection's subscription has ended.
void on_complete(void* ticket) { delete static_cast<Ticket*>(ticket); }

// A delivery thread that was ended before we could ask to be told so: its ticket stays for ever, a
// few bytes for a connection that broke within a microsecond.
void forget(Ticket* ticket) {
  static std::mutex mutex;
  static std::vector<Ticket*> forgotten;
  const std::lock_guard lock(mutex);
  forgotten.push_back(ticket);
}

class NatsSubscription final : public Subscription, public Renewable {
 public:
  NatsSubscription(NatsBus& bus, std::string subject, std::string queue,
                   std::function<void(const Message&)> handler)
      : bus_(bus), subject_(std::move(subject)), queue_(std::move(queue)) {
    listener_->handler = std::move(handler);
    bus_.keep_renewed(*this);
  }
  NatsSubscription(const NatsSubscription&) = delete;
  NatsSubscription& operator=(const NatsSubscription&) = delete;
  ~NatsSubscription() override {
    bus_.drop(*this);
    NatsBus::end_subscription(link_, native_);
    const std::lock_guard lock(listener_->mutex);
    listener_->handler = nullptr;
  }

  // A connection that broke meanwhile is no error: the next one comes here too.
  void renew(const Link& link) override {
    NatsBus::end_subscription(link_, std::exchange(native_, nullptr));
    link_ = link;
    auto* ticket = new Ticket(listener_);
    const natsStatus status =
        queue_.empty() ? natsConnection_Subscribe(&native_, link->connection, subject_.c_str(),
                                                  on_message, ticket)
                       : natsConnection_QueueSubscribe(&native_, link->connection, subject_.c_str(),
                                                       queue_.c_str(), on_message, ticket);
    if (status != NATS_OK) {
      native_ = nullptr;
      delete ticket;
    } else if (natsSubscription_SetOnCompleteCB(native_, on_complete, ticket) != NATS_OK) {
      forget(ticket);
    }
  }

 private:
  NatsBus& bus_;
  const std::string subject_;
  const std::string queue_;
  const Ticket listener_ = std::make_shared<Listener>();
  Link link_;  // the one that native_ belongs to
  natsSubscription* native_ = nullptr;
};

// Words joined by '.', `*` for one and `>` for the rest; no spaces.
bool is_pattern(std::string_view subject) {
  for (bool last = false; !last;) {
    const std::size_t end = std::min(subject.find('.'), subject.size());
    const std::string_view word = subject.substr(0, end);
    last = end == subject.size();
    if (word.empty() || word.find_first_of(spaces) != word.npos) return false;
    if (word == ">" && !last) return false;
    if (!last) subject.remove_prefix(end + 1);
  }
  return true;
}

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

Result<Link> NatsBus::need_link(std::string_view what) const {
  std::unique_lock lock(mutex_);
  if (link_) {
    Link held = link_;
    lock.unlock();
    if (natsConnection_Status(held->connection) == NATS_CONN_STATUS_CONNECTED) return held;
    lock.lock();
  }
  return Error{std::string(what) + ": no connection to NATS at " + options_.urls[0] +
               (last_error_.empty() ? "" : " (" + last_error_ + ")")};
}

bool NatsBus::connected() const {
  const Link held = link();
  return held && natsConnection_Status(held->connection) == NATS_CONN_STATUS_CONNECTED;
}

std::string NatsBus::trouble() const {
  const bool is_up = connected();
  const std::lock_guard lock(mutex_);
  if (!is_up) {
    return last_error_.empty() ? "no connection to NATS at " + options_.urls[0] : last_error_;
  }
  if (!not_heard_.empty()) return not_heard_;
  const bool is_new = std::chrono::steady_clock::now() - not_said_at_ < not_said_kept;
  return is_new ? not_said_ : "";
}

Result<void> NatsBus::publish(std::string_view subject, std::string_view data) {
  const std::string name(subject);
  const Result<Link> link = need_link("publish " + name);
  if (!link) return link.error();
  const natsStatus status = natsConnection_Publish((*link)->connection, name.c_str(), data.data(),
                                                   static_cast<int>(data.size()));
  if (status != NATS_OK) {
    return nats_error("publish " + std::to_string(data.size()) + " bytes on " + name, status);
  }
  return {};
}

Result<std::unique_ptr<Subscription>> NatsBus::subscribe(
    std::string_view subject, std::string_view queue, std::function<void(const Message&)> handler) {
  if (!is_pattern(subject) || queue.find_first_of(spaces) != queue.npos) {
    return Error{"subscribe to '" + std::string(subject) + "', queue '" + std::string(queue) +
                 "': a subject is words joined by '.', without spaces"};
  }
  return std::unique_ptr<Subscription>(std::make_unique<NatsSubscription>(
      *this, std::string(subject), std::string(queue), std::move(handler)));
}

Result<std::string> NatsBus::request(std::string_view subject, std::string_view data,
                                     double timeout_s) {
  const std::string name(subject);
  const Result<Link> link = need_link("ask " + name);
  if (!link) return link.error();
  natsMsg* native = nullptr;
  const natsStatus status =
      natsConnection_Request(&native, (*link)->connection, name.c_str(), data.data(),
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
  const Result<Link> link = need_link("flush");
  if (!link) return link.error();
  const natsStatus status =
      natsConnection_FlushTimeout((*link)->connection, milliseconds(timeout_s));
  if (status != NATS_OK) return nats_error("flush to NATS", status);
  return {};
}

}  // namespace noroshi::fleet
