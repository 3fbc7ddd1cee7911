#include "mac/traffic.h"

#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>

namespace noroshi::mac {
namespace {

constexpr int arrivals_per_call_max = 4096;
constexpr double time_s_max = 1e7;
constexpr std::int64_t bytes_max = 1'000'000'000;
// A replay of arrivals that all stand at time 0 would loop without time passing.
constexpr double loop_s_min = 1e-3;

constexpr std::string_view header = "time_s,bytes";

double poisson_gap_s(TrafficQueue& queue) {
  const double packets_per_s = queue.traffic.mbps * 1e6 / (8.0 * queue.traffic.packet_bytes);
  return queue.prng.exponential() / packets_per_s;
}

void arrive_replay(TrafficQueue& queue, double time_s) {
  const auto& arrivals = queue.traffic.arrivals;
  for (int i = 0; i < arrivals_per_call_max && !queue.exhausted && queue.next_s <= time_s; ++i) {
    queue.backlog_bytes += arrivals[queue.next].second;
    if (++queue.next == arrivals.size()) {
      queue.exhausted = !queue.traffic.loop;
      queue.next = 0;
      queue.loop_s += std::max(arrivals.back().first, loop_s_min);
    }
    queue.next_s = queue.loop_s + arrivals[queue.next].first;
  }
}

}  // namespace

TrafficQueue::TrafficQueue(Traffic offered, std::uint64_t seed, std::uint64_t stream)
    : traffic(std::move(offered)), prng(seed, stream) {
  switch (traffic.kind) {
    case Traffic::Kind::none:
      break;
    case Traffic::Kind::full_buffer:
      backlog_bytes = full_buffer_bytes;
      break;
    case Traffic::Kind::poisson:
      assert(traffic.mbps > 0 && traffic.packet_bytes > 0);
      next_s = poisson_gap_s(*this);
      break;
    case Traffic::Kind::replay:
      assert(!traffic.arrivals.empty());
      next_s = traffic.arrivals.front().first;
      break;
  }
}

void arrive(TrafficQueue& queue, double time_s) {
  switch (queue.traffic.kind) {
    case Traffic::Kind::none:
    case Traffic::Kind::full_buffer:
      return;
    case Traffic::Kind::poisson:
      for (int i = 0; i < arrivals_per_call_max && queue.next_s <= time_s; ++i) {
        queue.backlog_bytes += queue.traffic.packet_bytes;
        queue.next_s += poisson_gap_s(queue);
      }
      return;
    case Traffic::Kind::replay:
      arrive_replay(queue, time_s);
      return;
  }
}

void depart(TrafficQueue& queue, std::int64_t bytes) {
  if (queue.traffic.kind == Traffic::Kind::full_buffer) return;
  queue.backlog_bytes -= std::min(bytes, queue.backlog_bytes);
}

Result<std::vector<std::pair<double, std::int64_t>>> parse_traffic_csv(std::string_view text,
                                                                       const std::string& name) {
  std::vector<std::pair<double, std::int64_t>> arrivals;
  int line_number = 0;
  const auto error = [&](std::size_t column, const std::string& message) {
    return Error{name + ":" + std::to_string(line_number) + ":" + std::to_string(column + 1) +
                 ": " + message};
  };
  while (!text.empty()) {
    ++line_number;
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line_number == 1) {
      if (line != header) return error(0, "the first line must be \"time_s,bytes\"");
      continue;
    }
    if (line.empty() && text.empty()) break;  // an empty last line

    double time_s = 0;
    const char* const line_end = line.data() + line.size();
    const auto time = std::from_chars(line.data(), line_end, time_s);
    if (time.ec != std::errc() || !(time_s >= 0) || time_s > time_s_max) {
      return error(0, "expected a time in seconds, 0 to 10000000");
    }
    if (!arrivals.empty() && time_s < arrivals.back().first) {
      return error(0, "times must ascend: this one is earlier than the line above");
    }
    const auto comma = static_cast<std::size_t>(time.ptr - line.data());
    if (comma == line.size() || line[comma] != ',') {
      return error(comma, "expected a comma after the time");
    }
    std::int64_t bytes = 0;
    const auto count = std::from_chars(time.ptr + 1, line_end, bytes);
    if (count.ec != std::errc() || bytes < 1 || bytes > bytes_max) {
      return error(comma + 1, "expected a number of bytes, 1 to 1000000000");
    }
    if (count.ptr != line_end) {
      return error(static_cast<std::size_t>(count.ptr - line.data()),
                   "unexpected text after the number of bytes");
    }
    arrivals.emplace_back(time_s, bytes);
  }
  if (line_number == 0) line_number = 1;
  if (arrivals.empty()) return error(0, "no arrivals: expected lines of time_s,bytes");
  return arrivals;
}

Result<std::vector<std::pair<double, std::int64_t>>> read_traffic_csv(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error{path + ": cannot be opened; check that it exists and may be read"};
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (file.bad()) return Error{path + ": reading failed"};
  return parse_traffic_csv(text, path);
}

}  // namespace noroshi::mac
