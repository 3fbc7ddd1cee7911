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

constexpr std::chrono::seconds step_timeout{30};

bool is_name(const std::string& name) {
  return !name.empty() && name.size() <= 128 && std::ranges::all_of(name, [](char c) {
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

// One action on a slot. Returns the count that the answer has under `field`.
Result<int> act(const SlotPlace& place, const std::string& action, const std::string& file,
                const char* field) {
  const std::string at = "slot " + std::to_string(place.slot) + " at " + place.host + ":" +
                         std::to_string(place.tcp_port) + ": " + action;
  boost::asio::io_context io;
  boost::beast::tcp_stream stream(io);
  boost::system::error_code failure;
  http::request<http::string_body> request{
      http::verb::post, "/slots/" + std::to_string(place.slot) + "?action=" + action, 11};
  request.set(http::field::host, place.host);
  request.set(http::field::content_type, "application/json");
  if (!place.api_key.empty()) {
    request.set(http::field::authorization, "Bearer " + place.api_key);
  }
  request.body() = json::serialize(json::value{{"filename", file}});
  request.prepare_payload();
  boost::beast::flat_buffer buffer;
  http::response<http::string_body> response;
  // Asynchronous only so that the limit of time holds.
  stream.expires_after(step_timeout);
  tcp::resolver resolver(io);
  const auto found = resolver.resolve(place.host, std::to_string(place.tcp_port), failure);
  if (failure) return Error{at + ": " + failure.message()};
  stream.async_connect(found, [&](boost::system::error_code connected, const tcp::endpoint&) {
    failure = connected;
    if (failure) return;
    http::async_write(stream, request, [&](boost::system::error_code written, std::size_t) {
      failure = written;
      if (failure) return;
      http::async_read(stream, buffer, response,
                       [&](boost::system::error_code read, std::size_t) { failure = read; });
    });
  });
  io.run();
  if (failure) return Error{at + ": " + failure.message()};
  if (response.result() != http::status::ok) {
    return Error{at + ": answered " + std::to_string(response.result_int()) + " " +
                 response.body().substr(0, 300)};
  }
  const json::value answer = json::parse(response.body(), failure);
  const json::value* count =
      !failure && answer.is_object() ? answer.get_object().if_contains(field) : nullptr;
  if (count == nullptr || !count->is_int64() || count->get_int64() < 0 ||
      count->get_int64() > INT32_MAX) {
    return Error{at + ": the answer has no count '" + field +
                 "'; is it a llama-server with --slot-save-path?"};
  }
  return static_cast<int>(count->get_int64());
}

}  // namespace

double moving_s(const HandoverCosts& c, int tokens) {
  const double bytes = tokens * c.bytes_per_token;
  return bytes / c.save_bytes_per_s + bytes / c.bandwidth_bytes_per_s +
         bytes / c.restore_bytes_per_s + 2 * c.round_trip_s;
}

double recomputing_s(const HandoverCosts& c, int tokens) { return tokens / c.prompt_tokens_per_s; }

bool moving_pays(const HandoverCosts& c, int tokens) {
  const bool measured = c.bytes_per_token > 0 && c.save_bytes_per_s > 0 &&
                        c.restore_bytes_per_s > 0 && c.bandwidth_bytes_per_s > 0 &&
                        c.prompt_tokens_per_s > 0;
  return measured && moving_s(c, tokens) < recomputing_s(c, tokens);
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

Result<Moved> move_slot(const SlotPlace& from, const SlotPlace& to, BlobStore& store,
                        const std::string& name) {
  if (!is_name(name)) {
    return Error{"handover: name '" + name.substr(0, 64) +
                 "' must have 1..128 letters, digits, '-' or '_'"};
  }
  const std::string saved = from.save_folder + "/" + name;
  const std::string fetched = to.save_folder + "/" + name + "-in";
  const struct Tidy {
    const std::string& saved;
    const std::string& fetched;
    BlobStore& store;
    const std::string& name;
    ~Tidy() {
      std::error_code ignored;
      fs::remove(saved, ignored);
      fs::remove(fetched, ignored);
      (void)store.remove(name);
    }
  } tidy{saved, fetched, store, name};

  Moved moved;
  auto step = std::chrono::steady_clock::now();
  const auto count = act(from, "save", name, "n_saved");
  if (!count) return count.error();
  moved.save_s = seconds_since(step);
  moved.tokens = *count;
  if (moved.tokens == 0) return Error{"handover: the slot at " + from.host + " holds no context"};
  std::error_code failure;
  moved.bytes = fs::file_size(saved, failure);
  if (failure) return Error{"handover: " + saved + ": " + failure.message()};
  step = std::chrono::steady_clock::now();
  if (const auto put = store.put(name, saved); !put) return put.error();
  if (const auto got = store.get(name, fetched); !got) return got.error();
  moved.transfer_s = seconds_since(step);
  step = std::chrono::steady_clock::now();
  const auto restored = act(to, "restore", name + "-in", "n_restored");
  if (!restored) return restored.error();
  moved.restore_s = seconds_since(step);
  if (*restored != moved.tokens) {
    return Error{"handover: " + std::to_string(moved.tokens) + " tokens were saved and " +
                 std::to_string(*restored) + " restored"};
  }
  return moved;
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
