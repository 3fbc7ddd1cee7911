#pragma once

#include <string>

#include "gateway/route/route.h"

namespace noroshi::gateway {

// A site that is ready and has model m in four places.
inline SiteState site_named(const std::string& name, double rtt_ms = 1) {
  SiteState state;
  state.name = name;
  state.instance = 1;
  state.host = "10.0.0.1";
  state.tcp_port = 8080;
  state.ready = true;
  state.rtt_ms = rtt_ms;
  state.models = {{.name = "m",
                   .content_hash = "aa",
                   .places = 4,
                   .prompt_tokens_per_s = 500,
                   .tokens_per_s = 20,
                   .service_s_mean = 2,
                   .cache_tokens = 100'000}};
  return state;
}

}  // namespace noroshi::gateway
