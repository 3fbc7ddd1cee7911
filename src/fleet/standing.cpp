#include "fleet/standing.h"

#include <utility>

namespace noroshi::fleet {
namespace {

constexpr int missing_told = 2;
constexpr std::size_t told_max = 8;  // several servers fail in several ways

}  // namespace

std::string Standing::news() {
  const std::string trouble = bus_.trouble();
  missing_ = bus_.connected() ? 0 : missing_ + 1;
  if (trouble.empty()) {
    const bool was_out = !std::exchange(told_, {}).empty();
    return was_out ? "in the fleet again" : "";
  }
  if (missing_ > 0 && missing_ < missing_told) return {};
  if (told_.size() == told_max || !told_.insert(trouble).second) return {};
  return "not in the fleet: " + trouble + "; look at " + look_at_;
}

}  // namespace noroshi::fleet
