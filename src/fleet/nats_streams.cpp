// Streams of the bus over NATS: JetStream.

#include <openssl/evp.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <chrono>
#include <cstring>
#include <map>

#include "fleet/nats_state.h"

namespace noroshi::fleet {
namespace {

jsOptions wait_options(double timeout_s) {
  jsOptions options;
  jsOptions_Init(&options);
  options.Wait = milliseconds(timeout_s);
  return options;
}

class NatsConsumer final : public Consumer {
 public:
  NatsConsumer(NatsBus& bus, ConsumerConfig config) : bus_(bus), config_(std::move(config)) {}
  NatsConsumer(const NatsConsumer&) = delete;
  NatsConsumer& operator=(const NatsConsumer&) = delete;
  ~NatsConsumer() override { NatsBus::end_subscription(link_, native_); }

  Result<void> start(const Link& link, double timeout_s);
  Result<std::vector<Delivery>> fetch(int count, double timeout_s) override;
  Result<void> acknowledge(const Delivery& delivery, double timeout_s) override;
  Result<void> hand_out_again(const Delivery& delivery) override;

 private:
  Result<void> tell(const Delivery& delivery, std::string_view word);

  NatsBus& bus_;
  const ConsumerConfig config_;
  Link link_;  // the connection of native_
  natsSubscription* native_ = nullptr;
};

Result<void> NatsConsumer::start(const Link& link, double timeout_s) {
  NatsBus::end_subscription(link_, std::exchange(native_, nullptr));
  link_ = link;
  jsOptions options = wait_options(timeout_s);
  jsSubOptions sub_options;
  jsSubOptions_Init(&sub_options);
  sub_options.Stream = config_.stream.c_str();
  sub_options.Config.AckPolicy = js_AckExplicit;
  sub_options.Config.AckWait = static_cast<std::int64_t>(config_.acknowledge_s * 1e9);
  sub_options.Config.MaxAckPending = config_.unacknowledged_max;
  const std::string subject = config_.subject.empty() ? ">" : config_.subject;
  jsErrCode code{};
  const natsStatus status = js_PullSubscribe(
      &native_, link->js, subject.c_str(),
      config_.durable.empty() ? nullptr : config_.durable.c_str(), &options, &sub_options, &code);
  if (status == NATS_OK) return {};
  native_ = nullptr;
  return jetstream_error("consumer " + config_.durable + " of stream " + config_.stream, status,
                         code);
}

Result<std::vector<Delivery>> NatsConsumer::fetch(int count, double timeout_s) {
  const std::string what = "fetch from stream " + config_.stream;
  const Result<Link> link = bus_.need_link(what);
  if (!link) return link.error();
  if (*link != link_ || native_ == nullptr) {
    // One without a name was gone with its connection, and where it stood.
    if (config_.durable.empty()) return Error{what + ": the connection was lost meanwhile"};
    if (const Result<void> again = start(*link, timeout_s); !again) return again.error();
  }
  natsMsgList list{};
  jsErrCode code{};
  const natsStatus status =
      natsSubscription_Fetch(&list, native_, count, milliseconds(timeout_s), &code);
  std::vector<Delivery> out;
  if (status == NATS_TIMEOUT) return out;
  if (status != NATS_OK) return jetstream_error(what, status, code);
  for (int i = 0; i < list.Count; ++i) {
    const MessagePtr message(std::exchange(list.Msgs[i], nullptr));
    const char* answer = natsMsg_GetReply(message.get());
    jsMsgMetaData* meta = nullptr;
    if (answer == nullptr || natsMsg_GetMetaData(&meta, message.get()) != NATS_OK) continue;
    out.push_back({.subject = natsMsg_GetSubject(message.get()),
                   .data = std::string(data_of(message.get())),
                   .id = header_of(message.get(), "Nats-Msg-Id"),
                   .sequence = meta->Sequence.Stream,
                   .deliveries = static_cast<int>(meta->NumDelivered),
                   .token = std::make_shared<std::string>(answer)});
    jsMsgMetaData_Destroy(meta);
  }
  natsMsgList_Destroy(&list);
  return out;
}

// What the server makes of a delivery is told on the subject that came with it, over whichever
// connection there is.
Result<void> NatsConsumer::acknowledge(const Delivery& delivery, double timeout_s) {
  if (timeout_s <= 0) return tell(delivery, "+ACK");
  const auto& answer = *static_cast<const std::string*>(delivery.token.get());
  const auto told = bus_.request(answer, "+ACK", timeout_s);
  if (!told) return told.error();
  return {};
}

Result<void> NatsConsumer::hand_out_again(const Delivery& delivery) {
  return tell(delivery, "-NAK");
}

Result<void> NatsConsumer::tell(const Delivery& delivery, std::string_view word) {
  return bus_.publish(*static_cast<const std::string*>(delivery.token.get()), word);
}

// What the server answered to one publication: empty when it is kept, else the reason.
std::string refusal_in(std::string_view answer) {
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(answer, error);
  if (error || !value.is_object()) return "the server's answer is not JSON";
  const boost::json::value* fault = value.as_object().if_contains("error");
  if (fault == nullptr) return {};
  const boost::json::value* words =
      fault->is_object() ? fault->as_object().if_contains("description") : nullptr;
  return words != nullptr && words->is_string() ? std::string(words->as_string()) : "refused";
}

}  // namespace

Error jetstream_error(std::string_view what, natsStatus status, jsErrCode code) {
  Error error = nats_error(what, status);
  if (code == JSNotEnabledErr || code == JSNotEnabledForAccountErr ||
      status == NATS_NO_RESPONDERS) {
    error.message += "; is JetStream on at this server, and does a stream keep this subject?";
  }
  return error;
}

Result<void> NatsBus::ensure_stream(jsStreamConfig& config, double timeout_s) {
  const std::string what = std::string("stream ") + config.Name;
  const Result<Link> link = need_link(what);
  if (!link) return link.error();
  jsOptions options = wait_options(timeout_s);
  jsErrCode code{};
  jsStreamInfo* info = nullptr;
  natsStatus status = js_AddStream(&info, (*link)->js, &config, &options, &code);
  jsStreamInfo_Destroy(info);
  if (status != NATS_OK && code == JSStreamNameExistErr) {
    info = nullptr;
    status = js_UpdateStream(&info, (*link)->js, &config, &options, &code);
    jsStreamInfo_Destroy(info);
  }
  if (status != NATS_OK) return jetstream_error(what, status, code);
  return {};
}

Result<void> NatsBus::ensure_stream(const StreamConfig& config, double timeout_s) {
  std::vector<const char*> subjects;
  for (const std::string& subject : config.subjects) subjects.push_back(subject.c_str());
  jsStreamConfig native;
  jsStreamConfig_Init(&native);
  native.Name = config.name.c_str();
  native.Subjects = subjects.data();
  native.SubjectsLen = static_cast<int>(subjects.size());
  native.Retention = config.until_acked ? js_WorkQueuePolicy : js_LimitsPolicy;
  native.MaxBytes = config.bytes_max;
  native.MaxAge = static_cast<std::int64_t>(config.age_s_max * 1e9);
  native.Discard = config.refuse_when_full ? js_DiscardNew : js_DiscardOld;
  native.Storage = config.in_memory ? js_MemoryStorage : js_FileStorage;
  native.Replicas = config.replicas;
  native.Duplicates = static_cast<std::int64_t>(config.duplicates_s * 1e9);
  return ensure_stream(native, timeout_s);
}

Result<Published> NatsBus::publish_kept(std::string_view subject, std::string_view data,
                                        std::string_view id, double timeout_s) {
  const std::string name(subject);
  const std::string message_id(id);
  const std::string what = "keep " + std::to_string(data.size()) + " bytes on " + name;
  const Result<Link> link = need_link(what);
  if (!link) return link.error();
  jsPubOptions options;
  jsPubOptions_Init(&options);
  options.MaxWait = milliseconds(timeout_s);
  if (!message_id.empty()) options.MsgId = message_id.c_str();
  jsPubAck* ack = nullptr;
  jsErrCode code{};
  const natsStatus status = js_Publish(&ack, (*link)->js, name.c_str(), data.data(),
                                       static_cast<int>(data.size()), &options, &code);
  if (status != NATS_OK) return jetstream_error(what, status, code);
  const Published published{.sequence = ack->Sequence, .duplicate = ack->Duplicate};
  jsPubAck_Destroy(ack);
  return published;
}

// Publishes each message and hands on the answer to each, in whatever order they come.
Result<void> NatsBus::ask_all(const std::string& what, const std::vector<Kept>& messages,
                              double timeout_s,
                              const std::function<void(std::size_t, std::string_view)>& answered) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(timeout_s);
  const Result<Link> link = need_link(what);
  if (!link) return link.error();
  natsInbox* drawn = nullptr;  // "_INBOX." and what nobody can guess
  natsStatus status = natsInbox_Create(&drawn);
  if (status != NATS_OK) return nats_error(what, status);
  const std::string inbox = inbox_prefix_ + std::string(drawn).substr(std::strlen("_INBOX"));
  natsInbox_Destroy(drawn);
  natsSubscription* answers = nullptr;
  status = natsConnection_SubscribeSync(&answers, (*link)->connection, (inbox + ".*").c_str());
  if (status != NATS_OK) return nats_error(what, status);
  natsSubscription_SetPendingLimits(answers, -1, -1);
  for (std::size_t i = 0; i < messages.size() && status == NATS_OK; ++i) {
    const Kept& kept = messages[i];
    natsMsg* native = nullptr;
    status =
        natsMsg_Create(&native, kept.subject.c_str(), (inbox + "." + std::to_string(i)).c_str(),
                       kept.data.data(), static_cast<int>(kept.data.size()));
    const MessagePtr message(native);
    if (status == NATS_OK && !kept.id.empty()) {
      status = natsMsgHeader_Set(native, "Nats-Msg-Id", kept.id.c_str());
    }
    if (status == NATS_OK) status = natsConnection_PublishMsg((*link)->connection, native);
  }
  for (std::size_t count = 0; count < messages.size() && status == NATS_OK; ++count) {
    const std::chrono::duration<double> left = end - std::chrono::steady_clock::now();
    natsMsg* native = nullptr;
    status = natsSubscription_NextMsg(&native, answers, milliseconds(std::max(0.0, left.count())));
    const MessagePtr message(native);
    if (status != NATS_OK) break;
    if (natsMsg_IsNoResponders(native)) status = NATS_NO_RESPONDERS;
    if (status != NATS_OK) break;
    std::size_t number = 0;
    const std::string subject = natsMsg_GetSubject(native);
    const char* const last = subject.data() + subject.size();
    std::from_chars(subject.data() + inbox.size() + 1, last, number);
    if (number < messages.size()) answered(number, data_of(native));
  }
  end_subscription(*link, answers);
  if (status != NATS_OK) return jetstream_error(what, status, jsErrCode{});
  return {};
}

Result<void> NatsBus::publish_kept_all(const std::vector<Kept>& messages, double timeout_s) {
  if (messages.empty()) return {};
  const std::string what =
      "keep " + std::to_string(messages.size()) + " messages, the first on " + messages[0].subject;
  std::string refusal;
  const auto asked = ask_all(what, messages, timeout_s, [&](std::size_t, std::string_view answer) {
    if (refusal.empty()) refusal = refusal_in(answer);
  });
  if (!asked) return asked;
  if (!refusal.empty()) return Error{what + ": " + refusal};
  return {};
}

namespace {

// One message of a stream as the server wraps it; nothing: it keeps none.
Result<std::optional<std::string>> unwrapped(std::string_view answer) {
  constexpr std::int64_t no_message = 10037;
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(answer, error);
  const boost::json::object* object = error ? nullptr : value.if_object();
  if (object == nullptr) return Error{"the server's answer is not JSON"};
  const auto member = [](const boost::json::object* of, const char* name) {
    const boost::json::value* found = of == nullptr ? nullptr : of->if_contains(name);
    return found == nullptr ? nullptr : found->if_object();
  };
  if (const boost::json::object* fault = member(object, "error")) {
    const boost::json::value* code = fault->if_contains("err_code");
    if (code != nullptr && code->is_number() && code->to_number<std::int64_t>() == no_message) {
      return std::optional<std::string>();
    }
    return Error{refusal_in(answer)};
  }
  const boost::json::object* message = member(object, "message");
  if (message == nullptr) return Error{"the server's answer has no message"};
  const boost::json::value* data = message->if_contains("data");
  if (data == nullptr) return std::optional<std::string>("");
  if (!data->is_string() || data->get_string().size() % 4 != 0) {
    return Error{"the server's answer is not base64"};
  }
  const std::string_view text = data->get_string();
  std::string out(text.size() / 4 * 3, 0);
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(text.data()),
                                   static_cast<int>(text.size()));
  if (size != static_cast<int>(out.size())) return Error{"the server's answer is not base64"};
  out.resize(out.size() - (text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0));
  return std::optional<std::string>(std::move(out));
}

}  // namespace

Result<std::vector<std::optional<std::string>>> NatsBus::last_kept(
    std::string_view stream, const std::vector<std::string>& subjects, double timeout_s) {
  const std::string api = options_.domain.empty() ? "$JS.API." : "$JS." + options_.domain + ".API.";
  std::vector<Kept> asks;
  for (const std::string& subject : subjects) {
    asks.push_back({.subject = api + "STREAM.MSG.GET." + std::string(stream),
                    .data = boost::json::serialize(boost::json::object{{"last_by_subj", subject}}),
                    .id = {}});
  }
  std::vector<std::optional<std::string>> out(subjects.size());
  const std::string what = "read messages of stream " + std::string(stream);
  std::string fault;
  const auto asked = ask_all(what, asks, timeout_s, [&](std::size_t i, std::string_view answer) {
    Result<std::optional<std::string>> got = unwrapped(answer);
    if (got) {
      out[i] = *std::move(got);
    } else {
      fault = got.error().message;
    }
  });
  if (!asked) return asked.error();
  if (!fault.empty()) return Error{what + ": " + fault};
  return out;
}

Result<std::unique_ptr<Consumer>> NatsBus::consume(const ConsumerConfig& config, double timeout_s) {
  const Result<Link> link = need_link("consumer " + config.durable + " of stream " + config.stream);
  if (!link) return link.error();
  auto consumer = std::make_unique<NatsConsumer>(*this, config);
  if (const Result<void> started = consumer->start(*link, timeout_s); !started) {
    return started.error();
  }
  return std::unique_ptr<Consumer>(std::move(consumer));
}

Result<StreamState> NatsBus::stream_state(std::string_view stream, double timeout_s) {
  const std::string name(stream);
  const Result<Link> link = need_link("stream " + name);
  if (!link) return link.error();
  jsOptions options = wait_options(timeout_s);
  jsStreamInfo* info = nullptr;
  jsErrCode code{};
  const natsStatus status = js_GetStreamInfo(&info, (*link)->js, name.c_str(), &options, &code);
  if (status != NATS_OK) return jetstream_error("stream " + name, status, code);
  const StreamState state{.messages = info->State.Msgs,
                          .bytes = info->State.Bytes,
                          .first = info->State.FirstSeq,
                          .last = info->State.LastSeq};
  jsStreamInfo_Destroy(info);
  return state;
}

Result<void> NatsBus::purge(std::string_view stream, std::string_view subject, double timeout_s) {
  const std::string name(stream);
  const std::string filter(subject);
  const Result<Link> link = need_link("purge " + name);
  if (!link) return link.error();
  jsOptions options = wait_options(timeout_s);
  options.Stream.Purge.Subject = filter.c_str();
  jsErrCode code{};
  const natsStatus status = js_PurgeStream((*link)->js, name.c_str(), &options, &code);
  if (status != NATS_OK) return jetstream_error("purge " + name, status, code);
  return {};
}

}  // namespace noroshi::fleet
