#pragma once

// The radio loads of `noroshi bench colocate`, as a site configuration.

#include <string_view>

#include "base/result.h"
#include "site/site.h"

namespace noroshi::live {

// "low": a few Mb/s. "diurnal": a cell's day within `seconds`. "bursty": 5 ms of full load, 5 ms of
// none. "full": always more to send than fits. Errors: another name.
Result<site::SiteConfig> colocate_site(std::string_view load, double seconds);

}  // namespace noroshi::live
