#pragma once

// Offered traffic of one handset and direction: a queue that only counts bytes. Arrivals are a
// function of the seed and of radio time.

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/prng.h"
#include "mac/mac.h"

namespace noroshi::mac {

// Text of a traffic file as read_traffic_csv takes it; `name` stands in the errors.
Result<std::vector<std::pair<double, std::int64_t>>> parse_traffic_csv(std::string_view text,
                                                                       const std::string& name);

// What a full buffer holds, always: above any transport block.
inline constexpr std::int64_t full_buffer_bytes = std::int64_t{1} << 40;

struct TrafficQueue {
  TrafficQueue(Traffic traffic, std::uint64_t seed, std::uint64_t stream);

  Traffic traffic;
  Prng prng;
  std::int64_t backlog_bytes = 0;
  double next_s = 0;     // time of the next arrival
  std::size_t next = 0;  // replay: its index
  double loop_s = 0;     // replay: when this round began
  bool exhausted = false;
};

// Lets everything arrive that is due at time_s. More than 4096 arrivals at once (a site that left
// out slots for very long) wait for the next call. Allocates nothing.
void arrive(TrafficQueue& queue, double time_s);

// Takes at most this many bytes out of the queue.
void depart(TrafficQueue& queue, std::int64_t bytes);

}  // namespace noroshi::mac
