#pragma once

// The network between sites, as the fleet needs it: subjects on which messages are published and
// requests answered (at most once, nothing kept), streams that keep messages (JetStream), and
// buckets of keys whose revisions are fencing tokens. The words are NATS's.
//
// Two worlds stand behind it: a NATS server (nats_bus.h) and memory under a manual clock
// (memory_bus.h), so that the same fleet runs in tests without a network.
//
// Every call may come from any thread and returns within its time limit. A handler runs on a thread
// of the bus, one message of its subscription at a time, and must not end its own subscription.
// What the other end sends is untrusted bytes.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::fleet {

struct Message {
  std::string subject = {};
  std::string reply = {};  // publish the answer here; empty: none is awaited
  std::string data = {};
};

// Alive while it is held. After its end no handler runs.
class Subscription {
 public:
  virtual ~Subscription() = default;
};

struct StreamConfig {
  std::string name = {};  // letters, digits, '-' and '_'
  std::vector<std::string> subjects = {};
  double duplicates_s = 120;  // for so long a message id that was seen is known
  double age_s_max = 0;       // older messages go; 0: none does
  std::int64_t bytes_max =
      -1;  // above: the oldest go, or (refuse_when_full) the newest are refused
  bool refuse_when_full = false;
  bool until_acked = false;  // a message goes once its consumer has acknowledged it
  bool in_memory = false;
  int replicas = 1;  // servers that keep it
};

struct Published {
  std::uint64_t sequence = 0;
  bool duplicate = false;  // its id was there already: nothing was added
};

// One message of a stream, handed to a consumer.
struct Delivery {
  std::string subject = {};
  std::string data = {};
  std::string id = {};         // the message id that it was published with
  std::uint64_t sequence = 0;  // in its stream
  int deliveries = 1;          // how often it was handed out, this time included
  std::shared_ptr<void> token = {};
};

// Takes messages of a stream out by asking (pull), each to be acknowledged by itself. What is not
// acknowledged in time is handed out again, to whoever asks.
class Consumer {
 public:
  virtual ~Consumer() = default;
  // Waits at most timeout_s for the first and never for the rest: 0 to count messages.
  virtual Result<std::vector<Delivery>> fetch(int count, double timeout_s) = 0;
  // The server has it in writing when this returns; timeout_s 0: it is told and not waited for.
  virtual Result<void> acknowledge(const Delivery& delivery, double timeout_s) = 0;
  virtual Result<void> hand_out_again(const Delivery& delivery) = 0;  // at once
};

struct StreamState {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;
  std::uint64_t first = 0;  // sequences
  std::uint64_t last = 0;
};

struct ConsumerConfig {
  std::string stream = {};
  std::string durable = {};   // its name; empty: gone with this object
  std::string subject = {};   // of the stream's, wildcards allowed; empty: all
  double acknowledge_s = 30;  // then it is handed out again
  int unacknowledged_max = 1000;
};

struct BucketConfig {
  std::string name = {};  // letters, digits, '-' and '_'
  int history = 1;        // revisions kept of a key, 1..64
  double age_s_max = 0;
  std::int64_t bytes_max = -1;
  int replicas = 1;
};

struct KvEntry {
  std::string key = {};
  std::string value = {};
  std::uint64_t revision = 0;  // grows with each change in the bucket
  bool erased = false;
};

class Bus {
 public:
  virtual ~Bus() = default;

  virtual bool connected() const = 0;
  // What keeps us from the others, in the server's words: why there is no connection, or what it
  // did not permit on this one. Empty: nothing.
  virtual std::string trouble() const { return connected() ? "" : "no connection"; }

  // --- messages that nobody keeps -------------------------------------------------------------
  // Without connection: an error at once, nothing is kept for later.
  virtual Result<void> publish(std::string_view subject, std::string_view data) = 0;
  // subject: wildcards `*` (one word) and `>` (the rest). queue: of all subscriptions of that queue
  // one gets the message; empty: each does. Lives on over broken connections.
  virtual Result<std::unique_ptr<Subscription>> subscribe(
      std::string_view subject, std::string_view queue,
      std::function<void(const Message&)> handler) = 0;
  // The first answer. Errors: nobody listens, no answer in time, no connection.
  virtual Result<std::string> request(std::string_view subject, std::string_view data,
                                      double timeout_s) = 0;
  // Everything published so far is at the server when this returns.
  virtual Result<void> flush(double timeout_s) = 0;

  // --- streams --------------------------------------------------------------------------------
  // Makes it, or changes it to this where that is possible. Errors: no server with JetStream.
  virtual Result<void> ensure_stream(const StreamConfig& config, double timeout_s) = 0;
  // The stream has it in writing when this returns. id: a second message with it is dropped; empty:
  // none. Errors: nobody keeps the subject, no answer in time (it may have arrived: send it again
  // with the same id).
  virtual Result<Published> publish_kept(std::string_view subject, std::string_view data,
                                         std::string_view id, double timeout_s) = 0;
  // Many at once, in order, in about one round trip. Each as above; the first error.
  struct Kept {
    std::string subject = {};
    std::string data = {};
    std::string id = {};
  };
  virtual Result<void> publish_kept_all(const std::vector<Kept>& messages, double timeout_s) = 0;
  virtual Result<std::unique_ptr<Consumer>> consume(const ConsumerConfig& config,
                                                    double timeout_s) = 0;
  // The last message that the stream keeps of each subject, in their order; nothing where it keeps
  // none. Many at once, so far as they fit into memory.
  virtual Result<std::vector<std::optional<std::string>>> last_kept(
      std::string_view stream, const std::vector<std::string>& subjects, double timeout_s) = 0;
  virtual Result<StreamState> stream_state(std::string_view stream, double timeout_s) = 0;
  // Throws away what the stream keeps of a subject (wildcards allowed).
  virtual Result<void> purge(std::string_view stream, std::string_view subject,
                             double timeout_s) = 0;

  // --- buckets of keys ------------------------------------------------------------------------
  // A key is words of letters, digits, '-' and '_', joined by '.'.
  virtual Result<void> ensure_bucket(const BucketConfig& config, double timeout_s) = 0;
  virtual Result<std::optional<KvEntry>> kv_get(std::string_view bucket, std::string_view key,
                                                double timeout_s) = 0;
  virtual Result<std::uint64_t> kv_put(std::string_view bucket, std::string_view key,
                                       std::string_view value, double timeout_s) = 0;
  // Compare and set: the new revision when `revision` is the key's last (0: the key is not there);
  // nothing when somebody else was faster. An error says neither: read before trying again.
  virtual Result<std::optional<std::uint64_t>> kv_update(std::string_view bucket,
                                                         std::string_view key,
                                                         std::string_view value,
                                                         std::uint64_t revision,
                                                         double timeout_s) = 0;
  virtual Result<void> kv_erase(std::string_view bucket, std::string_view key,
                                double timeout_s) = 0;
  // Every key of the bucket that matches (wildcards allowed), the last value of each first, then
  // each change. After a broken connection values may come again, never older than seen: a key's
  // revisions only grow. Does not wait for the bucket to be there.
  virtual Result<std::unique_ptr<Subscription>> kv_watch(
      std::string_view bucket, std::string_view keys,
      std::function<void(const KvEntry&)> handler) = 0;
};

// Whether a subject matches a pattern with `*` and `>`.
bool subject_matches(std::string_view pattern, std::string_view subject);

// A word of a subject, a key, a stream's or a bucket's name: 1..64 letters, digits, '-' and '_'.
bool is_word(std::string_view text);

inline constexpr std::string_view session_store = "sessions";  // contexts on their way

// Blobs larger than a message, kept for age_s_max at most: chunks in a stream, the last of which
// carries the hash of the whole. JetStream's object store without the client's help, which libnats
// 3.4 has not.
Result<void> ensure_objects(Bus& bus, const std::string& store, double age_s_max,
                            std::int64_t bytes_max, double timeout_s);
// The store of contexts where it is not there: in memory, so it goes with its server. The control
// plane's to do. It is never made anew over one that is there: the server would want room for both.
Result<void> ensure_session_store(Bus& bus, double timeout_s);
// name: a word. A name is written once.
Result<void> put_object(Bus& bus, const std::string& store, const std::string& name,
                        std::string_view data, double timeout_s);
// Errors: not there, not whole, another hash than was written.
Result<std::string> get_object(Bus& bus, const std::string& store, const std::string& name,
                               double timeout_s);
Result<void> erase_object(Bus& bus, const std::string& store, const std::string& name,
                          double timeout_s);

}  // namespace noroshi::fleet
