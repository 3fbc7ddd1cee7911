#pragma once

#include <string>

#include "live/snapshot.h"

namespace noroshi::live {

// The radio's and the processors' part of /metrics, Prometheus text exposition format 0.0.4.
std::string radio_metrics(const Snapshot& snapshot);

}  // namespace noroshi::live
