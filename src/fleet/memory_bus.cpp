#include "fleet/memory_bus.h"

#include <algorithm>
#include <deque>
#include <list>
#include <map>
#include <mutex>
#include <set>

namespace noroshi::fleet {
namespace {

constexpr std::size_t message_bytes_max = 1 << 20;

struct Listener {
  std::string member;
  std::string subject;
  std::string queue;
  std::function<void(const Message&)> handler;
  bool ended = false;  // read and written while `delivering` is held
};

struct Watcher {
  std::string member;
  std::string bucket;
  std::string keys;
  std::function<void(const KvEntry&)> handler;
  std::map<std::string, std::uint64_t> seen;
  bool ended = false;
};

struct Kept {
  std::string subject;
  std::string data;
  std::string id;
};

struct StreamInMemory {
  StreamConfig config;
  std::map<std::uint64_t, Kept> messages;
  std::set<std::string> ids;
  std::uint64_t last = 0;
  struct Pending {
    std::int64_t until_ns = 0;
    int deliveries = 0;
    bool acknowledged = false;
  };
  std::map<std::string, std::map<std::uint64_t, Pending>> consumers;  // by durable
};

struct Bucket {
  std::map<std::string, KvEntry> entries;
  std::uint64_t last = 0;
};

}  // namespace

struct MemoryNetwork::State {
  // Held while handlers run, so that none runs after its subscription's end; taken before `mutex`,
  // which is not held then: a handler may call the bus. Recursive: it may end other subscriptions.
  std::recursive_mutex delivering;
  std::mutex mutex;  // of all below
  std::set<std::string> cut;
  std::list<std::shared_ptr<Listener>> listeners;
  std::list<std::shared_ptr<Watcher>> watchers;
  std::deque<Message> queued;
  std::map<std::string, StreamInMemory> streams;
  std::map<std::string, Bucket> buckets;
  std::int64_t now_ns = 0;
  std::uint64_t ephemerals = 0;

  StreamInMemory* stream_of(std::string_view subject) {
    for (auto& [name, stream] : streams) {
      for (const std::string& pattern : stream.config.subjects) {
        if (subject_matches(pattern, subject)) return &stream;
      }
    }
    return nullptr;
  }
};

namespace {

using State = MemoryNetwork::State;

// Takes itself out of a list of the network at the end of its life.
template <class T>
class Held final : public Subscription {
 public:
  Held(State& state, std::list<std::shared_ptr<T>>& list, std::shared_ptr<T> entry)
      : state_(state), list_(list), entry_(std::move(entry)) {}
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() override {
    const std::lock_guard delivering(state_.delivering);
    const std::lock_guard lock(state_.mutex);
    entry_->ended = true;
    std::erase(list_, entry_);
  }

 private:
  State& state_;
  std::list<std::shared_ptr<T>>& list_;
  std::shared_ptr<T> entry_;
};

class MemoryConsumer final : public Consumer {
 public:
  MemoryConsumer(State& state, ConsumerConfig config) : state_(state), config_(std::move(config)) {}

  Result<std::vector<Delivery>> fetch(int count, double) override {
    const std::lock_guard lock(state_.mutex);
    StreamInMemory& stream = state_.streams.at(config_.stream);
    auto& pending = stream.consumers[config_.durable];
    std::vector<Delivery> out;
    for (const auto& [sequence, kept] : stream.messages) {
      if (static_cast<int>(out.size()) >= count) break;
      const std::string& wanted = config_.subject;
      if (!wanted.empty() && !subject_matches(wanted, kept.subject)) continue;
      StreamInMemory::Pending& one = pending[sequence];
      if (one.acknowledged || one.until_ns > state_.now_ns) continue;
      one.until_ns = state_.now_ns + static_cast<std::int64_t>(config_.acknowledge_s * 1e9);
      out.push_back({.subject = kept.subject,
                     .data = kept.data,
                     .id = kept.id,
                     .sequence = sequence,
                     .deliveries = ++one.deliveries,
                     .token = {}});
    }
    return out;
  }
  Result<void> acknowledge(const Delivery& delivery, double) override {
    const std::lock_guard lock(state_.mutex);
    StreamInMemory& stream = state_.streams.at(config_.stream);
    stream.consumers[config_.durable][delivery.sequence].acknowledged = true;
    if (stream.config.until_acked) stream.messages.erase(delivery.sequence);
    return {};
  }
  Result<void> hand_out_again(const Delivery& delivery) override {
    const std::lock_guard lock(state_.mutex);
    state_.streams.at(config_.stream).consumers[config_.durable][delivery.sequence].until_ns = 0;
    return {};
  }

 private:
  State& state_;
  ConsumerConfig config_;
};

class MemoryBus final : public Bus {
 public:
  MemoryBus(State& state, std::string name) : state_(state), name_(std::move(name)) {}

  bool connected() const override {
    const std::lock_guard lock(state_.mutex);
    return state_.cut.count(name_) == 0;
  }
  Result<void> publish(std::string_view subject, std::string_view data) override;
  Result<std::unique_ptr<Subscription>> subscribe(
      std::string_view subject, std::string_view queue,
      std::function<void(const Message&)> handler) override;
  Result<std::string> request(std::string_view subject, std::string_view data,
                              double timeout_s) override;
  Result<void> flush(double) override {
    const std::lock_guard lock(state_.mutex);
    return need();
  }
  Result<void> ensure_stream(const StreamConfig& config, double) override;
  Result<Published> publish_kept(std::string_view subject, std::string_view data,
                                 std::string_view id, double) override;
  Result<void> publish_kept_all(const std::vector<Kept>& messages, double) override;
  Result<std::unique_ptr<Consumer>> consume(const ConsumerConfig& config, double) override;
  Result<std::vector<std::optional<std::string>>> last_kept(
      std::string_view stream, const std::vector<std::string>& subjects, double) override;
  Result<StreamState> stream_state(std::string_view stream, double) override;
  Result<void> purge(std::string_view stream, std::string_view subject, double) override;
  Result<void> ensure_bucket(const BucketConfig& config, double) override;
  Result<std::optional<KvEntry>> kv_get(std::string_view bucket, std::string_view key,
                                        double) override;
  Result<std::uint64_t> kv_put(std::string_view bucket, std::string_view key,
                               std::string_view value, double) override;
  Result<std::optional<std::uint64_t>> kv_update(std::string_view bucket, std::string_view key,
                                                 std::string_view value, std::uint64_t revision,
                                                 double) override;
  Result<void> kv_erase(std::string_view bucket, std::string_view key, double) override;
  Result<std::unique_ptr<Subscription>> kv_watch(
      std::string_view bucket, std::string_view keys,
      std::function<void(const KvEntry&)> handler) override;

 private:
  // As the next: under the state's mutex.
  Result<void> need() const {
    if (state_.cut.count(name_) == 0) return {};
    return Error{"no connection of " + name_};
  }
  Result<Bucket*> bucket(std::string_view name) {
    if (const auto there = need(); !there) return there.error();
    const auto found = state_.buckets.find(std::string(name));
    if (found == state_.buckets.end()) return Error{"no bucket " + std::string(name)};
    return &found->second;
  }
  std::uint64_t write(Bucket& bucket, std::string_view key, std::string_view value, bool erased);

  State& state_;
  const std::string name_;
};

Result<void> MemoryBus::publish(std::string_view subject, std::string_view data) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there;
  if (data.size() > message_bytes_max) {
    return Error{"publish " + std::to_string(data.size()) + " bytes on " + std::string(subject) +
                 ": too large"};
  }
  state_.queued.push_back(
      {.subject = std::string(subject), .reply = {}, .data = std::string(data)});
  return {};
}

Result<std::unique_ptr<Subscription>> MemoryBus::subscribe(
    std::string_view subject, std::string_view queue, std::function<void(const Message&)> handler) {
  const std::lock_guard lock(state_.mutex);
  auto listener = std::make_shared<Listener>(
      Listener{name_, std::string(subject), std::string(queue), std::move(handler), false});
  state_.listeners.push_back(listener);
  return std::unique_ptr<Subscription>(
      std::make_unique<Held<Listener>>(state_, state_.listeners, std::move(listener)));
}

// Whoever listens is asked at once, and answers at once or not at all.
Result<std::string> MemoryBus::request(std::string_view subject, std::string_view data, double) {
  const std::lock_guard delivering(state_.delivering);
  std::string reply;
  std::vector<std::shared_ptr<Listener>> listeners;
  {
    const std::lock_guard lock(state_.mutex);
    if (const auto there = need(); !there) return there.error();
    reply = "_INBOX." + name_ + "." + std::to_string(++state_.ephemerals);
    for (const auto& listener : state_.listeners) {
      if (state_.cut.count(listener->member) > 0) continue;
      if (subject_matches(listener->subject, subject)) listeners.push_back(listener);
    }
  }
  for (const auto& listener : listeners) {
    if (listener->ended) continue;
    listener->handler({.subject = std::string(subject), .reply = reply, .data = std::string(data)});
    const std::lock_guard lock(state_.mutex);
    const auto answer = std::ranges::find(state_.queued, reply, &Message::subject);
    if (answer == state_.queued.end()) continue;
    std::string text = answer->data;
    state_.queued.erase(answer);
    return text;
  }
  return Error{"ask " + std::string(subject) + ": nobody answers"};
}

Result<void> MemoryBus::ensure_stream(const StreamConfig& config, double) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there;
  state_.streams[config.name].config = config;
  return {};
}

Result<Published> MemoryBus::publish_kept(std::string_view subject, std::string_view data,
                                          std::string_view id, double) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there.error();
  StreamInMemory* stream = state_.stream_of(subject);
  if (stream == nullptr) return Error{"no stream keeps " + std::string(subject)};
  if (!id.empty() && !stream->ids.insert(std::string(id)).second) {
    return Published{.sequence = stream->last, .duplicate = true};
  }
  stream->messages[++stream->last] = {std::string(subject), std::string(data), std::string(id)};
  return Published{.sequence = stream->last, .duplicate = false};
}

Result<void> MemoryBus::publish_kept_all(const std::vector<Bus::Kept>& messages, double) {
  for (const Bus::Kept& kept : messages) {
    if (const auto done = publish_kept(kept.subject, kept.data, kept.id, 1); !done) {
      return done.error();
    }
  }
  return {};
}

Result<std::unique_ptr<Consumer>> MemoryBus::consume(const ConsumerConfig& config, double) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there.error();
  if (state_.streams.count(config.stream) == 0) return Error{"no stream " + config.stream};
  ConsumerConfig named = config;
  if (named.durable.empty()) named.durable = "#" + std::to_string(++state_.ephemerals);
  return std::unique_ptr<Consumer>(std::make_unique<MemoryConsumer>(state_, std::move(named)));
}

Result<std::vector<std::optional<std::string>>> MemoryBus::last_kept(
    std::string_view stream, const std::vector<std::string>& subjects, double) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there.error();
  const auto found = state_.streams.find(std::string(stream));
  if (found == state_.streams.end()) return Error{"no stream " + std::string(stream)};
  std::vector<std::optional<std::string>> out(subjects.size());
  for (std::size_t i = 0; i < subjects.size(); ++i) {
    for (const auto& [sequence, kept] : found->second.messages) {
      if (kept.subject == subjects[i]) out[i] = kept.data;
    }
  }
  return out;
}

Result<StreamState> MemoryBus::stream_state(std::string_view stream, double) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there.error();
  const auto found = state_.streams.find(std::string(stream));
  if (found == state_.streams.end()) return Error{"no stream " + std::string(stream)};
  StreamState out{.messages = found->second.messages.size(),
                  .bytes = 0,
                  .first = 0,
                  .last = found->second.last};
  for (const auto& [sequence, kept] : found->second.messages) {
    if (out.first == 0) out.first = sequence;
    out.bytes += kept.data.size();
  }
  return out;
}

Result<void> MemoryBus::purge(std::string_view stream, std::string_view subject, double) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there;
  const auto found = state_.streams.find(std::string(stream));
  if (found == state_.streams.end()) return Error{"no stream " + std::string(stream)};
  std::erase_if(found->second.messages,
                [&](const auto& entry) { return subject_matches(subject, entry.second.subject); });
  return {};
}

Result<void> MemoryBus::ensure_bucket(const BucketConfig& config, double) {
  const std::lock_guard lock(state_.mutex);
  if (const auto there = need(); !there) return there;
  state_.buckets[config.name];
  return {};
}

std::uint64_t MemoryBus::write(Bucket& bucket, std::string_view key, std::string_view value,
                               bool erased) {
  bucket.entries[std::string(key)] = {.key = std::string(key),
                                      .value = std::string(value),
                                      .revision = ++bucket.last,
                                      .erased = erased};
  return bucket.last;
}

Result<std::optional<KvEntry>> MemoryBus::kv_get(std::string_view name, std::string_view key,
                                                 double) {
  const std::lock_guard lock(state_.mutex);
  const auto found = bucket(name);
  if (!found) return found.error();
  const auto entry = (*found)->entries.find(std::string(key));
  if (entry == (*found)->entries.end()) return std::optional<KvEntry>();
  return std::optional<KvEntry>(entry->second);
}

Result<std::uint64_t> MemoryBus::kv_put(std::string_view name, std::string_view key,
                                        std::string_view value, double) {
  const std::lock_guard lock(state_.mutex);
  const auto found = bucket(name);
  if (!found) return found.error();
  return write(**found, key, value, false);
}

Result<std::optional<std::uint64_t>> MemoryBus::kv_update(std::string_view name,
                                                          std::string_view key,
                                                          std::string_view value,
                                                          std::uint64_t revision, double) {
  const std::lock_guard lock(state_.mutex);
  const auto found = bucket(name);
  if (!found) return found.error();
  const auto entry = (*found)->entries.find(std::string(key));
  const bool there = entry != (*found)->entries.end();
  const std::uint64_t last =
      !there || (revision == 0 && entry->second.erased) ? 0 : entry->second.revision;
  if (last != revision) return std::optional<std::uint64_t>();
  return std::optional<std::uint64_t>(write(**found, key, value, false));
}

Result<void> MemoryBus::kv_erase(std::string_view name, std::string_view key, double) {
  const std::lock_guard lock(state_.mutex);
  const auto found = bucket(name);
  if (!found) return found.error();
  write(**found, key, "", true);
  return {};
}

Result<std::unique_ptr<Subscription>> MemoryBus::kv_watch(
    std::string_view name, std::string_view keys, std::function<void(const KvEntry&)> handler) {
  const std::lock_guard lock(state_.mutex);
  auto watcher = std::make_shared<Watcher>(
      Watcher{name_, std::string(name), std::string(keys), std::move(handler), {}, false});
  state_.watchers.push_back(watcher);
  return std::unique_ptr<Subscription>(
      std::make_unique<Held<Watcher>>(state_, state_.watchers, std::move(watcher)));
}

// Hands each watch what it has not seen. Returns how much there was. Under `delivering`.
int deliver_watches(State& state) {
  struct Fresh {
    std::shared_ptr<Watcher> watcher;
    KvEntry entry;
  };
  std::vector<Fresh> all;
  {
    const std::lock_guard lock(state.mutex);
    for (const auto& watcher : state.watchers) {
      if (state.cut.count(watcher->member) > 0) continue;
      const auto bucket = state.buckets.find(watcher->bucket);
      if (bucket == state.buckets.end()) continue;
      const auto first = static_cast<std::ptrdiff_t>(all.size());
      for (const auto& [key, entry] : bucket->second.entries) {
        if (!subject_matches(watcher->keys, key) || watcher->seen[key] >= entry.revision) continue;
        watcher->seen[key] = entry.revision;
        all.push_back({watcher, entry});
      }
      std::sort(all.begin() + first, all.end(),
                [](const Fresh& x, const Fresh& y) { return x.entry.revision < y.entry.revision; });
    }
  }
  for (const Fresh& one : all) {
    if (!one.watcher->ended) one.watcher->handler(one.entry);
  }
  return static_cast<int>(all.size());
}

// Takes the next message and who hears it; false: there is none.
bool take_message(State& state, Message& message,
                  std::vector<std::shared_ptr<Listener>>& listeners) {
  const std::lock_guard lock(state.mutex);
  if (state.queued.empty()) return false;
  message = std::move(state.queued.front());
  state.queued.pop_front();
  listeners.clear();
  std::set<std::string> queues;  // that have had it
  for (const auto& listener : state.listeners) {
    if (state.cut.count(listener->member) > 0) continue;
    if (!subject_matches(listener->subject, message.subject)) continue;
    if (!listener->queue.empty() && !queues.insert(listener->queue).second) continue;
    listeners.push_back(listener);
  }
  return true;
}

}  // namespace

MemoryNetwork::MemoryNetwork() : state_(std::make_unique<State>()) {}
MemoryNetwork::~MemoryNetwork() = default;

std::unique_ptr<Bus> MemoryNetwork::join(const std::string& name) {
  return std::make_unique<MemoryBus>(*state_, name);
}

void MemoryNetwork::cut_off(const std::string& name, bool cut) {
  const std::lock_guard lock(state_->mutex);
  if (cut) {
    state_->cut.insert(name);
  } else {
    state_->cut.erase(name);
  }
}

void MemoryNetwork::send(Message message) {
  const std::lock_guard lock(state_->mutex);
  state_->queued.push_back(std::move(message));
}

void MemoryNetwork::set_now_ns(std::int64_t now_ns) {
  const std::lock_guard lock(state_->mutex);
  state_->now_ns = now_ns;
}

int MemoryNetwork::deliver() {
  const std::lock_guard delivering(state_->delivering);
  int count = deliver_watches(*state_);
  Message message;
  std::vector<std::shared_ptr<Listener>> listeners;
  while (take_message(*state_, message, listeners)) {
    ++count;
    for (const auto& listener : listeners) {
      if (!listener->ended) listener->handler(message);
    }
    count += deliver_watches(*state_);
  }
  return count;
}

}  // namespace noroshi::fleet
