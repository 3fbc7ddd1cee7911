#pragma once

// What the parts of the bus over NATS share. Nobody else includes it.

#include <nats/nats.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fleet/nats_bus.h"

namespace noroshi::fleet {

// "WHAT: the library's words for it".
Error nats_error(std::string_view what, natsStatus status);
Error jetstream_error(std::string_view what, natsStatus status, jsErrCode code);
// At least one: to the library, 0 means its default.
std::int64_t milliseconds(double seconds);

struct MessageDeleter {
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};
using MessagePtr = std::unique_ptr<natsMsg, MessageDeleter>;
std::string_view data_of(const natsMsg* message);
std::string header_of(natsMsg* message, const char* name);  // empty: it has none

// One connection, from its greeting to its end. The library is not asked to make it anew: a
// connection that has ended stays so, and the bus begins another (docs/decisions/0020-nats.md).
struct NatsLink {
  NatsLink() = default;
  NatsLink(const NatsLink&) = delete;
  NatsLink& operator=(const NatsLink&) = delete;
  ~NatsLink();  // of one that has ended: the library's thread that reads is no more

  natsConnection* connection = nullptr;
  jsCtx* js = nullptr;
  std::mutex mutex;
  std::vector<natsSubscription*> ended;  // under mutex: unsubscribed, their memory still there
};
using Link = std::shared_ptr<NatsLink>;

// What a bus renews on each new connection.
class Renewable {
 public:
  virtual ~Renewable() = default;
  virtual void renew(const Link& link) = 0;  // calls do not overlap
};

class NatsBus final : public Bus {
 public:
  explicit NatsBus(NatsOptions options);
  NatsBus(const NatsBus&) = delete;
  NatsBus& operator=(const NatsBus&) = delete;
  ~NatsBus() override;

  Result<void> connect(double wait_s);

  bool connected() const override;
  std::string trouble() const override;
  Result<void> publish(std::string_view subject, std::string_view data) override;
  Result<std::unique_ptr<Subscription>> subscribe(
      std::string_view subject, std::string_view queue,
      std::function<void(const Message&)> handler) override;
  Result<std::string> request(std::string_view subject, std::string_view data,
                              double timeout_s) override;
  Result<void> flush(double timeout_s) override;

  Result<void> ensure_stream(const StreamConfig& config, double timeout_s) override;
  Result<Published> publish_kept(std::string_view subject, std::string_view data,
                                 std::string_view id, double timeout_s) override;
  Result<void> publish_kept_all(const std::vector<Kept>& messages, double timeout_s) override;
  Result<std::vector<std::optional<std::string>>> last_kept(
      std::string_view stream, const std::vector<std::string>& subjects, double timeout_s) override;
  Result<std::unique_ptr<Consumer>> consume(const ConsumerConfig& config,
                                            double timeout_s) override;
  Result<StreamState> stream_state(std::string_view stream, double timeout_s) override;
  Result<void> purge(std::string_view stream, std::string_view subject, double timeout_s) override;

  Result<void> ensure_bucket(const BucketConfig& config, double timeout_s) override;
  Result<std::optional<KvEntry>> kv_get(std::string_view bucket, std::string_view key,
                                        double timeout_s) override;
  Result<std::uint64_t> kv_put(std::string_view bucket, std::string_view key,
                               std::string_view value, double timeout_s) override;
  Result<std::optional<std::uint64_t>> kv_update(std::string_view bucket, std::string_view key,
                                                 std::string_view value, std::uint64_t revision,
                                                 double timeout_s) override;
  Result<void> kv_erase(std::string_view bucket, std::string_view key, double timeout_s) override;
  Result<std::unique_ptr<Subscription>> kv_watch(
      std::string_view bucket, std::string_view keys,
      std::function<void(const KvEntry&)> handler) override;

  // The connection that is there; an error when none is.
  Result<Link> need_link(std::string_view what) const;
  // Grows with each new connection: what a server kept for the old one may be gone.
  std::uint64_t connections() const { return connections_.load(); }
  // Makes the stream, or changes it to this.
  Result<void> ensure_stream(jsStreamConfig& config, double timeout_s);
  // Ends a subscription of this connection (nullptr: nothing). libnats before 3.6 looks a
  // subscription up for a message that comes in and then uses it without holding it: ended at that
  // moment its memory is used after it was freed. So it is kept until the thread that reads has
  // come to a point after the end, or is no more.
  static void end_subscription(const Link& link, natsSubscription* subscription);
  // Renewed at once when there is a connection, and on each new one until it is dropped.
  void keep_renewed(Renewable& one);
  void drop(Renewable& one);

 private:
  Result<void> ask_all(const std::string& what, const std::vector<Kept>& messages, double timeout_s,
                       const std::function<void(std::size_t, std::string_view)>& answered);
  Link link() const {
    const std::lock_guard lock(mutex_);
    return link_;
  }
  std::string kv_write_subject(std::string_view bucket, std::string_view key) const;
  Result<void> set_options(natsOptions* natives, const std::string& url);
  Result<Link> dial(const std::string& url);
  Result<Link> dial_in_time(const std::string& url);
  void keep_connected();
  void adopt(const Link& link);
  void end(const Link& link);
  std::size_t serve(Link link, std::size_t at);
  void event(const std::string& what) const {
    if (options_.on_event) options_.on_event(what);
  }
  static natsStatus on_nonce(char** fault, unsigned char** signature, int* size, const char* nonce,
                             void* self);
  static void on_closed(natsConnection*, void* self);
  static void on_error(natsConnection* connection, natsSubscription*, natsStatus status,
                       void* self);

  NatsOptions options_;
  const std::string inbox_prefix_;
  std::atomic<std::uint64_t> connections_{0};
  std::atomic<std::uint64_t> inboxes_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Link link_;                               // under mutex_; none: not connected
  std::set<const natsConnection*> closed_;  // under mutex_: by the library, and not yet ended by us
  bool stopping_ = false;                   // under mutex_
  std::string refused_;                     // under mutex_: why the server does not let us in
  std::string last_error_;                  // under mutex_: of the last attempt to connect
  // Under mutex_: what this connection's server did not permit. A subscription stays refused until
  // the next connection; what was not published may be published later.
  std::string not_heard_;
  std::string not_said_;
  std::chrono::steady_clock::time_point not_said_at_ = {};
  // Taken before mutex_. Held while they are renewed and while link_ is set, so that each is
  // renewed once on each connection.
  std::mutex renewables_mutex_;
  std::set<Renewable*> renewables_;
  bool unlucky_nonce_ = false;  // only where a server is greeted
  std::thread keeper_;          // makes each connection and waits for its end
};

}  // namespace noroshi::fleet
