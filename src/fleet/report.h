#pragma once

// A site's heartbeat: what it says of itself, five times a second, on noroshi.REGION.SITE.beat,
// where nobody keeps it. JSON, version "v": 1, so that a person can read along. It holds no time of
// day: when it was true is when it was heard, by the hearer's clock.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "gateway/route/route.h"

namespace noroshi::fleet {

inline constexpr std::int64_t beat_interval_ns = 200'000'000;
inline constexpr std::size_t report_bytes_max = 64 << 10;
inline constexpr std::size_t models_max = 64;  // of a site

struct SiteReport {
  // received_at_ns, rtt_ms and api_key are the hearer's and not sent.
  gateway::SiteState site = {};
  std::uint64_t sequence = 0;          // grows from beat to beat
  double uptime_s = 0;                 // of this instance
  std::uint64_t desired_revision = 0;  // of the desired state that it does, or tries to
  std::string fault = {};              // why it cannot
  std::string fetching = {};           // the model whose file it is being sent; empty: none
  int fetched_percent = 0;             // of that file
};

std::string beat_subject(std::string_view region, std::string_view site);
// A word without content: the site's desired state in KV is another one now.
std::string wanted_subject(std::string_view region, std::string_view site);

std::string report_text(const SiteReport& report);

// Errors name field and value: too large, not JSON, another version, a value out of range, a region
// or name that is not the subject's (nobody speaks for another site).
Result<SiteReport> parse_report(std::string_view subject, std::string_view bytes);

}  // namespace noroshi::fleet
