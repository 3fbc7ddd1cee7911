#include "live/canary.h"

#include <algorithm>

#include "base/clock.h"
#include "site/realtime.h"

namespace noroshi::live {
namespace {
constexpr std::int64_t period_ns = 250'000;
constexpr std::size_t stalls_max = 200'000;
}  // namespace

Canary::Canary(int processor, int fifo_priority)
    : thread_([this, processor, fifo_priority] { run(processor, fifo_priority); }) {}

Canary::~Canary() { stop(); }

void Canary::stop() {
  stopping_.store(true);
  if (thread_.joinable()) thread_.join();
}

void Canary::run(int processor, int fifo_priority) {
  warning_ = site::pin_thread({processor});
  const std::string refused = site::set_fifo_priority(fifo_priority);
  if (warning_.empty()) warning_ = refused;
  stalls_.reserve(stalls_max);
  MonotonicClock clock;
  for (std::int64_t due = clock.now_ns() + period_ns; !stopping_.load(std::memory_order_relaxed);) {
    clock.sleep_until_ns(due);
    const std::int64_t now = clock.now_ns();
    late_ns_.add(static_cast<std::uint64_t>(std::max<std::int64_t>(now - due, 0)));
    if (now - due >= stall_min_ns && stalls_.size() < stalls_max) stalls_.push_back({due, now});
    due += std::max<std::int64_t>(1, (now - due) / period_ns + 1) * period_ns;
  }
}

std::int64_t stalled_ns(const std::vector<Stall>& stalls, std::int64_t from_ns,
                        std::int64_t to_ns) {
  auto stall = std::ranges::upper_bound(stalls, from_ns, {}, &Stall::to_ns);
  std::int64_t sum = 0;
  for (; stall != stalls.end() && stall->from_ns < to_ns; ++stall)
    sum += std::min(stall->to_ns, to_ns) - std::max(stall->from_ns, from_ns);
  return sum;
}

}  // namespace noroshi::live
