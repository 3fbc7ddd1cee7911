#pragma once

// What two sites say to each other of a context, as JSON on noroshi.context.REGION.SITE: one asks
// for a session's context under a name in the fleet's store, the other answers once it is there.
// Untrusted bytes: errors name the field and its value.

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::live {

struct ContextAsk {
  std::string session = {};  // its name, 1..64 letters, digits, '-' and '_'
  std::string blob = {};     // a name likewise, at most 60
};

struct ContextAnswer {
  std::string error = {};  // why not; then the rest is not said
  int tokens = 0;
  std::uint64_t bytes = 0;
  double save_s = 0;
  double put_s = 0;
};

std::string context_subject(std::string_view region, std::string_view site);
std::string json_of(const ContextAsk& ask);
std::string json_of(const ContextAnswer& answer);
Result<ContextAsk> parse_context_ask(std::string_view text);
Result<ContextAnswer> parse_context_answer(std::string_view text);

// "REGION/SITE" as a gateway says it (gateway/context.h).
struct SiteName {
  std::string region = {};
  std::string site = {};
};
Result<SiteName> parse_site_name(std::string_view text);

}  // namespace noroshi::live
