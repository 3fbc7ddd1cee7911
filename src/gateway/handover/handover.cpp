#include "gateway/handover/handover.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/json.hpp>
#include <chrono>
#include <filesystem>

namespace noroshi::gateway {
namespace {

namespace http = boost::beast::http;
namespace json = boost::json;
namespace fs = std::filesystem;
using tcp = boost::asio::ip::tcp;

constexpr std::size_t name_size_max = 60;
constexpr std::size_t slots_max = 1024;
constexpr std::size_t answer_bytes_max = 4 << 20;  // of /slots; other answers are short

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= name_size_max && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

double seconds_since(std::chrono::steady_clock::time_point from) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
}

Result<void> copy_file(const std::string& from, const std::string& to, const std::string& name) {
  std::error_code failure;
  // Under another name first: a reader never sees half a blob.
  const std::string part = to + ".part";
  fs::copy_file(from, part, fs::copy_options::overwrite_existing, failure);
  if (!failure) fs::rename(part, to, failure);
  if (failure) {
    std::error_code ignored;
    fs::remove(part, ignored);
    return Error{"blob '" + name + "': " + from + " to " + to + ": " + failure.message()};
  }
  return {};
}

// The body of the engine's answer, which must be a 200. at: who does what, for errors.
Result<std::string> call(const SlotPlace& place, http::verb verb, const std::string& target,
                         const std::string& body, const std::string& at) {
  boost::asio::io_context io;
  boost::beast::tcp_stream stream(io);
  boost::system::error_code failure;
  http::request<http::string_body> request{verb, target, 11};
  request.set(http::field::host, place.host);
  request.set(http::field::content_type, "application/json");
  if (!place.api_key.empty()) {
    request.set(http::field::authorization, "Bearer " + place.api_key);
  }
  request.body() = body;
  request.prepare_payload();
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  parser.body_limit(answer_bytes_max);
  // Asynchronous only so that the limit of time holds.
  stream.expires_after(std::chrono::nanoseconds(static_cast<std::int64_t>(place.timeout_s * 1e9)));
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(place.host, std::to_string(place.tcp_port), failure);
  if (failure) return Error{at + ": " + failure.message()};
  stream.async_connect(found, [&](boost::system::error_code connected, const tcp::endpoint&) {
    failure = connected;
    if (failure) return;
    http::async_write(stream, request, [&](boost::system::error_code written, std::size_t) {
      failure = written;
      if (failure) return;
      http::async_read(stream, buffer, parser,
                       [&](boost::system::error_code read, std::size_t) { failure = read; });
    });
  });
  io.run();
  if (failure) return Error{at + ": " + failure.message()};
  if (parser.get().result() != http::status::ok) {
    return Error{at + ": answered " + std::to_string(parser.get().result_int()) + " " +
                 parser.get().body().substr(0, 300)};
  }
  return std::move(parser.get().body());
}

// One action on a slot. Returns the count that the answer has under `field`.
Result<int> act(const SlotPlace& place, const std::string& action, const std::string& file,
                const char* field) {
  const std::string at = "slot " + std::to_string(place.slot) + " at " + place.host + ":" +
                         std::to_string(place.tcp_port) + ": " + action;
  const auto body =
      call(place, http::verb::post, "/slots/" + std::to_string(place.slot) + "?action=" + action,
           json::serialize(json::value{{"filename", file}}), at);
  if (!body) return body.error();
  boost::system::error_code failure;
  const json::value answer = json::parse(*body, failure);
  const json::value* count =
      !failure && answer.is_object() ? answer.get_object().if_contains(field) : nullptr;
  if (count == nullptr || !count->is_int64() || count->get_int64() < 0 ||
      count->get_int64() > INT32_MAX) {
    return Error{at + ": the answer has no count '" + field +
                 "'; is it a llama-server with --slot-save-path?"};
  }
  return static_cast<int>(count->get_int64());
}

std::optional<std::int64_t> count_at(const json::object& object, const char* field,
                                     std::int64_t most) {
  const json::value* value = object.if_contains(field);
  if (value == nullptr || !value->is_int64()) return {};
  const std::int64_t count = value->get_int64();
  if (count < 0 || count > most) return {};
  return count;
}

Result<EngineSlot> slot_of(const json::value& value, const std::string& at) {
  if (!value.is_object()) return Error{at + " is no object"};
  const json::object& fields = value.get_object();
  const auto id = count_at(fields, "id", INT32_MAX);
  if (!id) return Error{at + ".id is no count"};
  const json::value* busy = fields.if_contains("is_processing");
  if (busy == nullptr || !busy->is_bool()) return Error{at + ".is_processing is not true or false"};
  EngineSlot slot;
  slot.id = static_cast<int>(*id);
  slot.busy = busy->get_bool();
  slot.task = count_at(fields, "id_task", INT64_MAX).value_or(-1);
  slot.tokens = static_cast<int>(count_at(fields, "n_prompt_tokens", INT32_MAX).value_or(0));
  const json::value* params = fields.if_contains("params");
  if (params != nullptr && params->is_object()) {
    const auto seed = count_at(params->get_object(), "seed", UINT32_MAX);
    if (seed) slot.seed = static_cast<std::uint32_t>(*seed);
  }
  return slot;
}

std::string blob_file(const SlotPlace& place, const std::string& name) {
  return place.save_folder + "/" + name;
}

struct RemoveFile {
  std::string path;
  ~RemoveFile() {
    std::error_code ignored;
    fs::remove(path, ignored);
  }
};

Error bad_name(const std::string& name) {
  return Error{"handover: name '" + name.substr(0, 64) +
               "' must have 1..60 letters, digits, '-' or '_'"};
}

}  // namespace

double moving_s(const HandoverCosts& c, int tokens) {
  const double bytes = tokens * c.bytes_per_token;
  return bytes / c.save_bytes_per_s + bytes / c.bandwidth_bytes_per_s +
         bytes / c.restore_bytes_per_s + 2 * c.round_trip_s;
}

double recomputing_s(const HandoverCosts& c, int tokens) { return tokens / c.prompt_tokens_per_s; }

bool measured(const HandoverCosts& c) {
  return c.bytes_per_token > 0 && c.save_bytes_per_s > 0 && c.restore_bytes_per_s > 0 &&
         c.bandwidth_bytes_per_s > 0 && c.prompt_tokens_per_s > 0;
}

bool moving_pays(const HandoverCosts& c, int tokens) {
  return measured(c) && moving_s(c, tokens) < recomputing_s(c, tokens);
}

double patience_s(const HandoverCosts& c, int tokens) {
  if (!(c.prompt_tokens_per_s > 0)) return 0;
  const double recomputing = recomputing_s(c, tokens);
  if (!measured(c)) return recomputing / 4;
  if (!moving_pays(c, tokens)) return 0;
  return std::min(recomputing, std::max(recomputing / 4, 1.5 * moving_s(c, tokens)));
}

Result<std::vector<EngineSlot>> parse_slots(std::string_view text) {
  boost::system::error_code failure;
  const json::value answer = json::parse({text.data(), text.size()}, failure);
  if (failure || !answer.is_array()) return Error{"slots: the answer is no list"};
  const json::array& list = answer.get_array();
  if (list.size() > slots_max) {
    return Error{"slots: " + std::to_string(list.size()) +
                 " of them (allowed: " + std::to_string(slots_max) + ")"};
  }
  std::vector<EngineSlot> slots;
  for (std::size_t i = 0; i < list.size(); ++i) {
    auto slot = slot_of(list[i], "slots[" + std::to_string(i) + "]");
    if (!slot) return slot.error();
    slots.push_back(*std::move(slot));
  }
  return slots;
}

Result<std::vector<EngineSlot>> read_slots(const SlotPlace& place) {
  const std::string at = "slots at " + place.host + ":" + std::to_string(place.tcp_port);
  const auto body = call(place, http::verb::get, "/slots", "", at);
  if (!body) return body.error();
  return parse_slots(*body);
}

Result<void> FolderStore::put(const std::string& name, const std::string& path) {
  return copy_file(path, folder_ + "/" + name, name);
}
Result<void> FolderStore::get(const std::string& name, const std::string& path) {
  return copy_file(folder_ + "/" + name, path, name);
}
Result<void> FolderStore::remove(const std::string& name) {
  std::error_code failure;
  fs::remove(folder_ + "/" + name, failure);
  if (failure) return Error{"blob '" + name + "': " + failure.message()};
  return {};
}

Result<Moved> send_slot(const SlotPlace& from, BlobStore& store, const std::string& name) {
  if (!is_name(name)) return bad_name(name);
  const RemoveFile saved{blob_file(from, name)};
  Moved moved;
  auto step = std::chrono::steady_clock::now();
  const auto count = act(from, "save", name, "n_saved");
  if (!count) return count.error();
  moved.save_s = seconds_since(step);
  moved.tokens = *count;
  if (moved.tokens == 0) return Error{"handover: the slot at " + from.host + " holds no context"};
  std::error_code failure;
  moved.bytes = fs::file_size(saved.path, failure);
  if (failure) return Error{"handover: " + saved.path + ": " + failure.message()};
  step = std::chrono::steady_clock::now();
  if (const auto put = store.put(name, saved.path); !put) return put.error();
  moved.transfer_s = seconds_since(step);
  return moved;
}

Result<Moved> receive_slot(const SlotPlace& to, BlobStore& store, const std::string& name,
                           int tokens) {
  if (!is_name(name)) return bad_name(name);
  const RemoveFile fetched{blob_file(to, name + "-in")};
  Moved moved;
  auto step = std::chrono::steady_clock::now();
  if (const auto got = store.get(name, fetched.path); !got) return got.error();
  moved.transfer_s = seconds_since(step);
  std::error_code failure;
  moved.bytes = fs::file_size(fetched.path, failure);
  if (failure) return Error{"handover: " + fetched.path + ": " + failure.message()};
  step = std::chrono::steady_clock::now();
  const auto restored = act(to, "restore", name + "-in", "n_restored");
  if (!restored) return restored.error();
  moved.restore_s = seconds_since(step);
  moved.tokens = *restored;
  if (*restored != tokens) {
    return Error{"handover: " + std::to_string(tokens) + " tokens were saved and " +
                 std::to_string(*restored) + " restored"};
  }
  return moved;
}

Result<Moved> move_slot(const SlotPlace& from, const SlotPlace& to, BlobStore& store,
                        const std::string& name) {
  const auto sent = send_slot(from, store, name);
  if (!sent) return sent;
  auto received = receive_slot(to, store, name, sent->tokens);
  (void)store.remove(name);
  if (!received) return received;
  received->save_s = sent->save_s;
  received->transfer_s += sent->transfer_s;
  return received;
}

void learn(HandoverCosts& costs, const Moved& moved) {
  if (moved.tokens <= 0 || moved.bytes == 0) return;
  const auto mix = [](double& known, double seen) {
    known = known > 0 ? 0.75 * known + 0.25 * seen : seen;
  };
  const double bytes = static_cast<double>(moved.bytes);
  mix(costs.bytes_per_token, bytes / moved.tokens);
  if (moved.save_s > 0) mix(costs.save_bytes_per_s, bytes / moved.save_s);
  if (moved.restore_s > 0) mix(costs.restore_bytes_per_s, bytes / moved.restore_s);
  if (moved.transfer_s > 0) mix(costs.bandwidth_bytes_per_s, bytes / moved.transfer_s);
}

}  // namespace noroshi::gateway
