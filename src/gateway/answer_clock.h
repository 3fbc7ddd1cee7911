#pragma once

// What one site's answer took, as it is seen coming. Inside the gateway room only.

#include <optional>

#include "gateway/session.h"

namespace noroshi::gateway {

struct AnswerClock {
  Time asked = {};
  Time first_content = {};  // of a stream; none: it is none, or had nothing yet
  Time last_content = {};
  std::uint64_t tokens_first = 0;  // that came with the first

  // Content was in the bytes that came now; tokens of it so far.
  void content(std::uint64_t tokens) {
    last_content = std::chrono::steady_clock::now();
    if (first_content != Time{}) return;
    first_content = last_content;
    tokens_first = tokens;
  }

  // Of an answer that is whole now. Its tokens took from the first content to the last; where it is
  // no stream, all but the prompt's time, if the engine says that.
  AnswerTimes times(const Usage& usage, const std::optional<PromptTime>& prompt_time) const {
    const auto seconds = [](Time from, Time to) {
      return std::chrono::duration<double>(to - from).count();
    };
    AnswerTimes times{.whole_s = seconds(asked, std::chrono::steady_clock::now())};
    const bool streamed = first_content != Time{};
    if (prompt_time) {
      times.prompt_tokens = prompt_time->tokens;
      times.prompt_s = prompt_time->seconds;
    } else if (streamed) {
      times.prompt_tokens =
          usage.prompt_tokens - std::min(usage.prompt_tokens, usage.cached_tokens);
      times.prompt_s = seconds(asked, first_content);
    }
    if (streamed) {
      times.tokens = usage.completion_tokens - std::min(usage.completion_tokens, tokens_first);
      times.tokens_s = seconds(first_content, last_content);
    } else if (prompt_time) {
      times.tokens = usage.completion_tokens;
      times.tokens_s = times.whole_s - prompt_time->seconds;
    }
    return times;
  }
};

}  // namespace noroshi::gateway
