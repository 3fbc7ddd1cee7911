#pragma once

// What a copy of a model has to do, and what a request may expect there. One place for the formula
// of route.h: the router computes it in double precision once per change and keeps it as floats.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "gateway/route/candidates.h"
#include "gateway/route/route.h"

namespace noroshi::gateway {

// What puts a suspected site behind every other, and still lets floats tell suspects apart.
inline constexpr double suspect_penalty_s = 4096;

struct CopyLoad {
  double rtt_s = 0;
  double share = 1;      // mean of now's and the forecast's
  double share_now = 1;  // at which the rates were measured
  double places = 0;     // 0: no limit known
  double reported = 0;   // requests at and before the engine at the last report
  double others = 0;     // of them, not this gateway's
  double own = 0;        // this gateway's, now
  double prompt_tokens_per_s = 1;
  double tokens_per_s = 1;
  double service_s = 1;
  double slowness = 1;  // learned: times as long as the report lets expect
  // Which of prompt_tokens_per_s, tokens_per_s, service_s the site itself has told.
  std::array<bool, 3> told = {};
  // What tokens_per_s is, and so what slowness was learned against.
  enum class Basis : std::uint8_t { assumed, others, told } basis = Basis::assumed;
};

// What the copies of one content tell of themselves, together: the mean, by ratios, stands in for
// what a copy has not told yet. So a site that has answered nothing so far is taken to be like the
// others, and is asked. Logarithms, for rates span decades and one liar shall not decide.
struct ToldSpeeds {
  std::array<double, 3> logs = {};
  std::array<std::uint64_t, 3> copies = {};

  // With (sign 1) or without (-1) what this copy told.
  void count(const CopyLoad& load, int sign) {
    const std::array<double, 3> values = {load.prompt_tokens_per_s, load.tokens_per_s,
                                          load.service_s};
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!load.told[i]) continue;
      copies[i] += static_cast<std::uint64_t>(sign);
      // Nobody's is nothing, whatever was rounded.
      logs[i] = copies[i] == 0 ? 0 : logs[i] + sign * std::log(values[i]);
    }
  }
  double mean(std::size_t i, double otherwise) const {
    return copies[i] > 0 ? std::exp(logs[i] / static_cast<double>(copies[i])) : otherwise;
  }
};

// A number that is not one of a working engine would be none in floats.
inline constexpr double told_min = 1e-3;

inline double requests_there(const CopyLoad& load) { return load.others + load.own; }

inline double open_places(const CopyLoad& load) { return std::max(1.0, load.places * load.share); }

inline double wait_s(const CopyLoad& load) {
  const double open = open_places(load);
  if (load.places <= 0 || requests_there(load) < open) return 0;
  return (requests_there(load) - open + 1) / open * load.service_s * load.slowness;
}

// Rates were measured at the report's load and share; requests that came since share the engine
// (a full one makes each take twice as long as in an empty one), and so does the radio.
inline double slow_there(const CopyLoad& load) {
  double slow = load.slowness * std::clamp(load.share_now / std::max(load.share, 0.01), 0.25, 4.0);
  if (load.places > 0) {
    const double open = open_places(load);
    const double busy = std::min(requests_there(load), open) - std::min(load.reported, open);
    slow *= 1 + std::max(0.0, busy) / open;
  }
  return slow;
}

// Seconds that a completion token takes there by what is told, without what was learned.
inline double told_per_token_s(const CopyLoad& load) {
  return slow_there(load) / load.slowness / load.tokens_per_s;
}

// What a request teaches of its copy's slowness, that took `ratio` times as long as was expected
// when it was chosen, with this slowness and such a told time of a token. The site may tell another
// speed by now, and the request has seen something of both: it teaches what is common to them.
inline constexpr double slowness_weight = 0.1;  // of one request
inline constexpr double slowness_min = 0.05;
inline constexpr double slowness_max = 50;
inline double learned_slowness(const CopyLoad& load, double ratio, double slowness_then,
                               double told_then_s) {
  const double by_then = slowness_then * std::clamp(ratio, 0.1, 100.0);
  const double by_now = by_then * told_then_s / told_per_token_s(load);
  const auto [least, most] = std::minmax(by_then, by_now);
  const double seen = std::clamp(load.slowness, least, most);
  return std::clamp(load.slowness + slowness_weight * (seen - load.slowness), slowness_min,
                    slowness_max);
}

// reads_until_s: on the candidates' clock.
inline Terms terms_of(const CopyLoad& load, double penalty_s, double reads_until_s) {
  const double slow = slow_there(load);
  return {static_cast<float>(load.rtt_s + wait_s(load) + penalty_s),
          static_cast<float>(slow / load.prompt_tokens_per_s),
          static_cast<float>(slow / load.tokens_per_s), static_cast<float>(reads_until_s)};
}

// When prompts will have been read, after one more that takes so long. A speed that is nearly none
// makes a very long time, not one without end.
inline constexpr double backlog_s_max = 1e6;
inline std::int64_t reads_until_ns(std::int64_t until_ns, std::int64_t now_ns, double reads_s) {
  const double left_s = static_cast<double>(std::max<std::int64_t>(0, until_ns - now_ns)) / 1e9;
  const double sum_s = reads_s > 0 ? left_s + reads_s : left_s;
  return now_ns + static_cast<std::int64_t>(std::min(sum_s, backlog_s_max) * 1e9);
}

// Whether a cached prefix counts: below the load cap (route.h).
inline bool has_room(const CopyLoad& load, double load_cap) {
  return load.places <= 0 || requests_there(load) + 1 <= load_cap * open_places(load);
}

}  // namespace noroshi::gateway
