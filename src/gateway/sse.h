#pragma once

// Server-sent events (WHATWG HTML, section 9.2) read in whatever pieces the network gives, only to
// meter a stream: the bytes themselves go to the client untouched.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "gateway/openai.h"

namespace noroshi::gateway {

class SseParser {
 public:
  // An event longer than this is skipped whole: it is not a token, and memory has a limit.
  static constexpr std::size_t event_bytes_max = 1 << 20;

  // Calls event(data) for each event that these bytes complete: its data lines, joined by \n.
  void feed(std::string_view bytes, const std::function<void(std::string_view data)>& event);

  // Whether the bytes so far end between two events.
  bool between_events() const { return line_.empty() && !has_data_ && !skipping_line_; }

 private:
  void end_of_line(const std::function<void(std::string_view)>& event);

  std::string line_;
  std::string data_;
  bool has_data_ = false;
  bool skipping_line_ = false;  // the line is longer than the limit
  bool too_long_ = false;       // so is the event
  bool after_return_ = false;   // a \n that follows belongs to the \r before it
};

// What a stream of chat or text completions used. Tokens are the engine's own count where it gives
// one (usage, or llama-server's timings), else the chunks that carry content, which undercounts an
// engine that sends several tokens in one.
class StreamMeter {
 public:
  // Returns whether the first content was in these bytes.
  bool feed(std::string_view bytes);

  Usage usage() const { return reported_.value_or(Usage{0, content_chunks_}); }
  bool done() const { return done_; }  // "[DONE]" was seen
  bool between_events() const { return parser_.between_events(); }

 private:
  SseParser parser_;
  std::optional<Usage> reported_;
  std::uint64_t content_chunks_ = 0;
  bool done_ = false;
};

}  // namespace noroshi::gateway
