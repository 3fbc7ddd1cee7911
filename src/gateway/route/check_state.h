#pragma once

#include "base/result.h"
#include "gateway/route/route.h"

namespace noroshi::gateway {

inline constexpr std::size_t site_models_max = 256;
inline constexpr std::size_t site_text_bytes_max = 256;  // names, hosts, regions

// Whether a report can be believed at all. Errors name site, field and value.
Result<void> check_state(const SiteState& state);

}  // namespace noroshi::gateway
