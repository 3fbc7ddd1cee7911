#pragma once

// What an engine takes to read a prompt, learned from what it says of each answer
// (llama-server's "timings"): seconds a token by the prompt's length in powers of two, for a token
// costs more the more there are before it. Also how many bytes of text make a token of the model.
// Pure: no clock, no lock.

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace noroshi::gateway {

class PromptTimes {
 public:
  static constexpr std::uint64_t computed_min =
      16;  // fewer say more of the request than of a token

  // Of one prompt: its tokens, of them computed and not from the cache, and the time that took.
  void learn(std::size_t bytes, std::uint64_t tokens, std::uint64_t computed, double seconds) {
    if (tokens > 0 && bytes > 0) {
      mix(bytes_per_token_, static_cast<double>(bytes) / static_cast<double>(tokens));
    }
    if (computed < computed_min || computed > tokens || !(seconds > 0)) return;
    mix(per_token_s_[bin_of(tokens)], seconds / static_cast<double>(computed));
  }

  // As a model's tokens of so much text; 4 bytes each until told.
  int tokens(std::size_t bytes) const {
    const double each = bytes_per_token_ > 0 ? bytes_per_token_ : 4;
    return static_cast<int>(std::min(1e9, static_cast<double>(bytes) / each));
  }
  // At which a prompt of so many is read, as the nearest length that is known; 0: none is.
  double tokens_per_s(int tokens) const {
    const std::size_t wanted = bin_of(static_cast<std::uint64_t>(std::max(1, tokens)));
    for (std::size_t step = 0; step < bins; ++step) {
      // The shorter first: it promises less of a gain.
      if (step <= wanted && per_token_s_[wanted - step] > 0) return 1 / per_token_s_[wanted - step];
      if (wanted + step < bins && per_token_s_[wanted + step] > 0) {
        return 1 / per_token_s_[wanted + step];
      }
    }
    return 0;
  }

 private:
  static constexpr std::size_t bins = 32;
  static std::size_t bin_of(std::uint64_t tokens) {
    return std::min<std::size_t>(bins - 1, std::bit_width(tokens));
  }
  static void mix(double& known, double seen) {
    known = known > 0 ? 0.75 * known + 0.25 * seen : seen;
  }

  std::array<double, bins> per_token_s_ = {};  // 0: not known
  double bytes_per_token_ = 0;
};

}  // namespace noroshi::gateway
