#pragma once

// One stream of chat or text completions as its client sees it, from however many sites it comes.
//
// Bytes of a site go on in whole server-sent events (WHATWG HTML, section 9.2), byte for byte as
// they came, but for two things. A usage event that only the gateway asked for is taken out. And
// what comes from a second site after the first one broke off in the middle is made to look like
// the first one's: id, created and model of its first event, no second role, usage of the whole. A
// site that first says again what it was to go on from, in one event (older vLLM), is not heard
// there.
// What stands between two events is never sent in part, so that the stream can go on anywhere.
//
// Tokens are the engine's own count where it gives one (usage, or llama-server's timings), else the
// events that carry content, which undercounts an engine that sends several tokens in one.
//
// Pure: no socket, clock or state outside.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gateway/openai.h"

namespace noroshi::gateway {

// Where the first event of these bytes ends, after its blank line; npos when it is not whole.
std::size_t event_end(std::string_view bytes);
// The data lines of one whole event, joined by \n. joined: memory for more than one line.
std::optional<std::string_view> event_data(std::string_view event, std::string& joined);

class Stream {
 public:
  static constexpr std::size_t event_bytes_max = 16 << 20;  // a longer one is a failure
  static constexpr std::size_t text_bytes_max = 4 << 20;    // above, it cannot go on elsewhere

  explicit Stream(bool usage_asked) : usage_asked_(usage_asked) {}

  // Returns what the client gets of these bytes: valid until the next call, or until bytes goes.
  // After failed() nothing more.
  std::string_view feed(std::string_view bytes);

  bool done() const { return done_; }          // "[DONE]" came
  bool finished() const { return finished_; }  // a finish_reason came
  bool has_content() const { return events_with_content_ > 0; }
  const std::string& failure() const { return failure_; }  // what the site says; empty: none

  // Why it cannot go on at another site now; empty: it can.
  std::string_view not_resumable() const;
  const std::string& text() const { return text_; }  // sent so far
  std::uint64_t tokens_sent() const { return events_with_content_; }

  // What comes next is another site's answer to continuation_body().
  void resume();
  int times_resumed() const { return resumed_; }
  // The end of an answer that broke off when nothing was missing but its end: the finish_reason
  // "length" unless one came, usage when it was asked for, "[DONE]".
  std::string closing_events();

  Usage usage() const;  // of the whole
  // What the last site said of it, and the prompt's tokens there.
  const std::optional<PromptTime>& prompt_time() const { return prompt_time_; }
  std::uint64_t prompt_tokens_there() const { return prompt_tokens_there_; }
  bool counted_here() const { return !reported_; }

 private:
  // Whether the event goes to the client as it is; else what it becomes is in rewritten_.
  bool read_event(std::string_view event);
  bool is_echo(std::size_t text_before);
  void rewrite(std::string_view data);

  const bool usage_asked_;
  std::string held_;  // an event that is not whole yet
  std::string out_;   // what the client gets, where it is not what came
  std::string joined_;
  std::string rewritten_;
  std::string first_;  // data of the first event
  std::string text_;
  std::string failure_;
  std::optional<Usage> reported_;
  std::optional<PromptTime> prompt_time_;
  std::uint64_t prompt_tokens_there_ = 0;
  std::uint64_t events_with_content_ = 0;
  std::uint64_t tokens_before_ = 0;  // sent by the sites before this one
  int resumed_ = 0;
  bool echo_may_come_ = false;  // of the text so far, at the beginning of a further site's part
  bool usage_said_ = false;     // to the client
  bool other_content_ = false;
  bool finished_ = false;
  bool done_ = false;
};

// The question that makes a site go on where another broke off: the text so far is the beginning
// of the answer (llama-server and vLLM continue an assistant's last message when
// continue_final_message is set and add_generation_prompt is not), and so many tokens fewer are
// allowed. Precondition: the question is resumable. Errors: no token is left.
Result<std::string> continuation_body(Endpoint endpoint, std::string_view body,
                                      std::string_view text, std::uint64_t tokens_sent);

// The same question, asking for usage at the end of the stream. Precondition: it is a JSON object
// with a member, streams, and does not ask yet.
std::string body_with_usage(std::string_view body, bool has_stream_options);

}  // namespace noroshi::gateway
