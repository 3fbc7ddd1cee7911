#include "fleet/bus.h"

#include <openssl/evp.h>

#include <algorithm>
#include <charconv>

namespace noroshi::fleet {
namespace {

constexpr std::size_t chunk_bytes = 512 << 10;  // half of a server's usual limit of a message
constexpr std::size_t object_bytes_max = std::size_t{1} << 30;
constexpr std::size_t chunks_at_once = 16;

std::string object_subject(const std::string& store, const std::string& name) {
  return "noroshi.object." + store + "." + name;
}

std::string sha256(std::string_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  if (EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr) != 1) return {};
  std::string out;
  for (unsigned i = 0; i < size; ++i) {
    constexpr std::string_view digits = "0123456789abcdef";
    out += digits[digest[i] >> 4];
    out += digits[digest[i] & 15];
  }
  return out;
}

std::string_view next_word(std::string_view& rest) {
  const std::size_t dot = rest.find('.');
  const std::string_view word = rest.substr(0, dot);
  rest = dot == std::string_view::npos ? std::string_view() : rest.substr(dot + 1);
  return word;
}

Result<void> check_names(const std::string& store, const std::string& name) {
  if (is_word(store) && is_word(name)) return {};
  return Error{"object '" + name.substr(0, 80) + "' in store '" + store.substr(0, 80) +
               "': a name is 1 to 64 letters, digits, '-' and '_'"};
}

}  // namespace

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 64 && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
  });
}

bool subject_matches(std::string_view pattern, std::string_view subject) {
  while (!pattern.empty() && !subject.empty()) {
    const std::string_view wanted = next_word(pattern);
    const std::string_view word = next_word(subject);
    if (wanted == ">") return true;
    if (wanted != "*" && wanted != word) return false;
  }
  return pattern.empty() && subject.empty();
}

Result<void> ensure_objects(Bus& bus, const std::string& store, double age_s_max,
                            std::int64_t bytes_max, double timeout_s) {
  return bus.ensure_stream({.name = "OBJECTS_" + store,
                            .subjects = {object_subject(store, ">")},
                            .duplicates_s = std::min(age_s_max, 10.0),
                            .age_s_max = age_s_max,
                            .bytes_max = bytes_max,
                            .in_memory = true},
                           timeout_s);
}

Result<void> ensure_session_store(Bus& bus, double timeout_s) {
  constexpr double age_s_max = 60;
  constexpr std::int64_t bytes_max = std::int64_t{192} << 20;
  const std::string store(session_store);
  if (bus.stream_state("OBJECTS_" + store, timeout_s)) return {};
  return ensure_objects(bus, store, age_s_max, bytes_max, timeout_s);
}

Result<void> put_object(Bus& bus, const std::string& store, const std::string& name,
                        std::string_view data, double timeout_s) {
  if (const Result<void> named = check_names(store, name); !named) return named;
  if (data.size() > object_bytes_max) {
    return Error{"object '" + name + "' has " + std::to_string(data.size()) +
                 " bytes (allowed: " + std::to_string(object_bytes_max) + ")"};
  }
  std::vector<Bus::Kept> messages;
  const std::string subject = object_subject(store, name);
  for (std::size_t at = 0; at < data.size(); at += chunk_bytes) {
    messages.push_back({.subject = subject + "." + std::to_string(messages.size()),
                        .data = std::string(data.substr(at, chunk_bytes)),
                        .id = {}});
  }
  messages.push_back({.subject = subject + ".end",
                      .data = std::to_string(data.size()) + " " + sha256(data),
                      .id = {}});
  return bus.publish_kept_all(messages, timeout_s);
}

Result<std::string> get_object(Bus& bus, const std::string& store, const std::string& name,
                               double timeout_s) {
  if (const Result<void> named = check_names(store, name); !named) return named.error();
  const std::string what = "object '" + name + "' in store '" + store + "'";
  const std::string subject = object_subject(store, name);
  const std::string stream = "OBJECTS_" + store;
  // It is written last.
  const auto end = bus.last_kept(stream, {subject + ".end"}, timeout_s);
  if (!end) return end.error();
  if (!end->front()) return Error{what + " is not there"};
  const std::string_view text = *end->front();
  std::size_t bytes = 0;
  const auto [rest, fault] = std::from_chars(text.data(), text.data() + text.size(), bytes);
  if (fault != std::errc() || rest == text.data() + text.size() || *rest != ' ' ||
      bytes > object_bytes_max) {
    return Error{what + " does not say how large it is (at most " +
                 std::to_string(object_bytes_max) + " bytes)"};
  }
  std::string data;
  while (data.size() < bytes) {
    std::vector<std::string> chunks;
    const std::size_t first = data.size() / chunk_bytes;
    const std::size_t all = (bytes + chunk_bytes - 1) / chunk_bytes;
    for (std::size_t i = first; i < std::min(all, first + chunks_at_once); ++i) {
      chunks.push_back(subject + "." + std::to_string(i));
    }
    const auto got = bus.last_kept(stream, chunks, timeout_s);
    if (!got) return got.error();
    for (const std::optional<std::string>& chunk : *got) {
      if (!chunk || chunk->size() != std::min(chunk_bytes, bytes - data.size())) {
        return Error{what + " is not whole"};
      }
      data += *chunk;
    }
  }
  if (text != std::to_string(data.size()) + " " + sha256(data)) {
    return Error{what + " has another hash than was written"};
  }
  return data;
}

Result<void> erase_object(Bus& bus, const std::string& store, const std::string& name,
                          double timeout_s) {
  if (const Result<void> named = check_names(store, name); !named) return named;
  return bus.purge("OBJECTS_" + store, object_subject(store, name) + ".*", timeout_s);
}

}  // namespace noroshi::fleet
