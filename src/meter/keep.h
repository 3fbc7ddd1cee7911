#pragma once

// What a gateway calls to keep its usage records in a spool (gateway/usage.h): the last byte of an
// answer waits until its record is on the disk.

#include "gateway/usage.h"
#include "meter/ship.h"
#include "meter/spool/spool.h"

namespace noroshi::meter {

// The spool outlives what is returned.
gateway::StoreUsage keep_in(Spool& spool);

// Prometheus, for the gateway's /metrics.
std::string metrics_text(const Spool& spool, const Shipper& shipper);

}  // namespace noroshi::meter
