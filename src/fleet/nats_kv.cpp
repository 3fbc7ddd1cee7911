// Buckets of the bus over NATS: a stream KV_BUCKET, a subject $KV.BUCKET.KEY for each key, a
// message's sequence as revision. Written on the streams themselves, so that each call has its own
// time limit and a lost race can be told from a broken bus.

#include <algorithm>
#include <map>
#include <thread>

#include "fleet/nats_state.h"

namespace noroshi::fleet {
namespace {

constexpr double retry_s = 0.25;  // a watch whose bucket is not there yet
constexpr double check_s = 5;     // of quiet, then the watch asks whether it misses something
constexpr double check_timeout_s = 2;
constexpr const char* operation_header = "KV-Operation";

std::string stream_of(std::string_view bucket) { return "KV_" + std::string(bucket); }
std::string subject_of(std::string_view bucket, std::string_view key) {
  return "$KV." + std::string(bucket) + "." + std::string(key);
}

jsOptions wait_options(double timeout_s) {
  jsOptions options;
  jsOptions_Init(&options);
  options.Wait = milliseconds(timeout_s);
  return options;
}

KvEntry entry_of(natsMsg* message, std::string_view bucket, std::uint64_t revision) {
  const std::string operation = header_of(message, operation_header);
  return {.key = std::string(natsMsg_GetSubject(message)).substr(subject_of(bucket, "").size()),
          .value = std::string(data_of(message)),
          .revision = revision,
          .erased = operation == "DEL" || operation == "PURGE"};
}

// A thread that reads an ordered consumer, and makes a new one whenever this one may have missed
// something.
class NatsWatch final : public Subscription {
 public:
  NatsWatch(NatsBus& bus, std::string_view bucket, std::string_view keys,
            std::function<void(const KvEntry&)> handler)
      : bus_(bus), bucket_(bucket), keys_(keys), handler_(std::move(handler)) {
    thread_ = std::thread([this] { run(); });
  }
  NatsWatch(const NatsWatch&) = delete;
  NatsWatch& operator=(const NatsWatch&) = delete;
  ~NatsWatch() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      if (native_ != nullptr) natsSubscription_Unsubscribe(native_);  // ends its NextMsg
      changed_.notify_all();
    }
    thread_.join();
  }

 private:
  void run();
  bool open();
  void close();
  void read();
  void handle(natsMsg* message);
  bool behind();
  bool stopping() {
    const std::lock_guard lock(mutex_);
    return stopping_;
  }

  NatsBus& bus_;
  const std::string bucket_;
  const std::string keys_;
  const std::function<void(const KvEntry&)> handler_;
  std::map<std::string, std::uint64_t> seen_;  // the last revision handed on, of each key
  std::uint64_t last_ = 0;                     // the largest of them
  std::uint64_t missed_ = 0;                   // the bucket's last revision at the last check
  Link link_;                                  // the connection of native_

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;               // under mutex_
  natsSubscription* native_ = nullptr;  // set under mutex_
  std::thread thread_;
};

void NatsWatch::run() {
  while (!stopping()) {
    if (open()) read();
    close();
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::duration<double>(retry_s), [this] { return stopping_; });
  }
  nats_ReleaseThreadMemory();
}

bool NatsWatch::open() {
  const Result<Link> link = bus_.need_link("watch");
  if (!link) return false;
  const Result<StreamState> state = bus_.stream_state(stream_of(bucket_), check_timeout_s);
  if (!state) return false;
  // A bucket whose revisions start over is another one: what was seen says nothing about it.
  if (state->last < last_) {
    seen_.clear();
    last_ = 0;
  }
  const std::string stream = stream_of(bucket_);
  jsOptions options = wait_options(check_timeout_s);
  jsSubOptions sub_options;
  jsSubOptions_Init(&sub_options);
  sub_options.Stream = stream.c_str();
  // Not the library's ordered consumer: it is made anew in a thread of the library that frees what
  // the end of the subscription still reads. This one is not, and read() notices gaps itself.
  sub_options.Config.DeliverPolicy = js_DeliverLastPerSubject;
  sub_options.Config.AckPolicy = js_AckNone;
  sub_options.Config.FlowControl = true;
  sub_options.Config.Heartbeat = std::int64_t{5} * 1'000'000'000;
  sub_options.Config.MemoryStorage = true;
  sub_options.Config.Replicas = 1;
  natsSubscription* native = nullptr;
  jsErrCode code{};
  const natsStatus status = js_SubscribeSync(
      &native, (*link)->js, subject_of(bucket_, keys_).c_str(), &options, &sub_options, &code);
  if (status != NATS_OK) return false;
  natsSubscription_SetPendingLimits(native, -1, -1);
  const std::lock_guard lock(mutex_);
  native_ = native;
  link_ = *link;
  return !stopping_;
}

void NatsWatch::close() {
  natsSubscription* native = nullptr;
  {
    const std::lock_guard lock(mutex_);
    native = std::exchange(native_, nullptr);
  }
  NatsBus::end_subscription(std::exchange(link_, nullptr), native);
}

void NatsWatch::read() {
  while (!stopping()) {
    natsMsg* native = nullptr;
    const natsStatus status = natsSubscription_NextMsg(&native, native_, milliseconds(check_s));
    const MessagePtr message(native);
    if (status == NATS_OK) {
      handle(native);
    } else if (status != NATS_TIMEOUT || behind()) {
      return;
    }
  }
}

void NatsWatch::handle(natsMsg* message) {
  jsMsgMetaData* meta = nullptr;
  if (natsMsg_GetMetaData(&meta, message) != NATS_OK) return;  // a heartbeat of the server
  const KvEntry entry = entry_of(message, bucket_, meta->Sequence.Stream);
  jsMsgMetaData_Destroy(meta);
  std::uint64_t& seen = seen_[entry.key];
  if (entry.revision <= seen) return;
  seen = entry.revision;
  last_ = std::max(last_, entry.revision);
  handler_(entry);
}

// Whether the bucket has moved on without us, and had already at the last check.
bool NatsWatch::behind() {
  const Result<StreamState> state = bus_.stream_state(stream_of(bucket_), check_timeout_s);
  if (!state || state->last < last_) return true;
  const bool still = missed_ == state->last && state->last > last_;
  missed_ = state->last;
  return still;
}

}  // namespace

Result<void> NatsBus::ensure_bucket(const BucketConfig& config, double timeout_s) {
  const std::string name = stream_of(config.name);
  const std::string subject = subject_of(config.name, ">");
  const char* subjects[] = {subject.c_str()};
  jsStreamConfig native;
  jsStreamConfig_Init(&native);
  native.Name = name.c_str();
  native.Subjects = subjects;
  native.SubjectsLen = 1;
  native.MaxMsgsPerSubject = config.history;
  native.MaxBytes = config.bytes_max;
  native.MaxAge = static_cast<std::int64_t>(config.age_s_max * 1e9);
  native.Discard = js_DiscardNew;
  native.Replicas = config.replicas;
  native.AllowRollup = true;
  native.DenyDelete = true;
  native.AllowDirect = true;
  return ensure_stream(native, timeout_s);
}

Result<std::optional<KvEntry>> NatsBus::kv_get(std::string_view bucket, std::string_view key,
                                               double timeout_s) {
  const std::string subject = subject_of(bucket, key);
  const Result<Link> link = need_link("read " + subject);
  if (!link) return link.error();
  jsOptions options = wait_options(timeout_s);
  natsMsg* native = nullptr;
  jsErrCode code{};
  const natsStatus status = js_GetLastMsg(&native, (*link)->js, stream_of(bucket).c_str(),
                                          subject.c_str(), &options, &code);
  const MessagePtr message(native);
  if (status == NATS_NOT_FOUND && code == JSNoMessageFoundErr) return std::optional<KvEntry>();
  if (status != NATS_OK) return jetstream_error("read " + subject, status, code);
  return std::optional<KvEntry>(entry_of(native, bucket, natsMsg_GetSequence(native)));
}

// Where a key is written. Servers keep $KV.> from passing a leaf node into another domain of
// JetStream; what is meant for that domain goes by its name.
std::string NatsBus::kv_write_subject(std::string_view bucket, std::string_view key) const {
  const std::string subject = subject_of(bucket, key);
  return options_.domain.empty() ? subject : "$JS." + options_.domain + ".API." + subject;
}

Result<std::uint64_t> NatsBus::kv_put(std::string_view bucket, std::string_view key,
                                      std::string_view value, double timeout_s) {
  const Result<Published> kept = publish_kept(kv_write_subject(bucket, key), value, "", timeout_s);
  if (!kept) return kept.error();
  return kept->sequence;
}

Result<std::optional<std::uint64_t>> NatsBus::kv_update(std::string_view bucket,
                                                        std::string_view key,
                                                        std::string_view value,
                                                        std::uint64_t revision, double timeout_s) {
  const std::string subject = kv_write_subject(bucket, key);
  const std::string what = "write " + std::to_string(value.size()) + " bytes to " + subject;
  const Result<Link> link = need_link(what);
  if (!link) return link.error();
  for (int attempt = 0; attempt < 2; ++attempt) {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    options.MaxWait = milliseconds(timeout_s);
    options.ExpectLastSubjectSeq = revision;
    options.ExpectNoMessage = revision == 0;
    jsPubAck* ack = nullptr;
    jsErrCode code{};
    const natsStatus status = js_Publish(&ack, (*link)->js, subject.c_str(), value.data(),
                                         static_cast<int>(value.size()), &options, &code);
    if (status == NATS_OK) {
      const std::uint64_t sequence = ack->Sequence;
      jsPubAck_Destroy(ack);
      return std::optional<std::uint64_t>(sequence);
    }
    if (code != JSStreamWrongLastSequenceErr) return jetstream_error(what, status, code);
    if (revision != 0 || attempt > 0) break;
    // An erased key is not there, but has a revision: take it from that.
    const Result<std::optional<KvEntry>> last = kv_get(bucket, key, timeout_s);
    if (!last) return last.error();
    if (!last->has_value() || !(*last)->erased) break;
    revision = (*last)->revision;
  }
  return std::optional<std::uint64_t>();
}

Result<void> NatsBus::kv_erase(std::string_view bucket, std::string_view key, double timeout_s) {
  const std::string subject = kv_write_subject(bucket, key);
  const Result<Link> link = need_link("erase " + subject);
  if (!link) return link.error();
  natsMsg* native = nullptr;
  natsStatus status = natsMsg_Create(&native, subject.c_str(), nullptr, nullptr, 0);
  const MessagePtr message(native);
  if (status == NATS_OK) status = natsMsgHeader_Set(native, operation_header, "DEL");
  if (status != NATS_OK) return nats_error("erase " + subject, status);
  jsPubOptions options;
  jsPubOptions_Init(&options);
  options.MaxWait = milliseconds(timeout_s);
  jsPubAck* ack = nullptr;
  jsErrCode code{};
  status = js_PublishMsg(&ack, (*link)->js, native, &options, &code);
  jsPubAck_Destroy(ack);
  if (status != NATS_OK) return jetstream_error("erase " + subject, status, code);
  return {};
}

Result<std::unique_ptr<Subscription>> NatsBus::kv_watch(
    std::string_view bucket, std::string_view keys, std::function<void(const KvEntry&)> handler) {
  return std::unique_ptr<Subscription>(
      std::make_unique<NatsWatch>(*this, bucket, keys, std::move(handler)));
}

}  // namespace noroshi::fleet
