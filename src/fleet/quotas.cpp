#include "fleet/quotas.h"

#include <algorithm>
#include <iterator>

#include "fleet/tenant_use.h"

namespace noroshi::fleet {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t tell_interval_ns = 200 * ms;
constexpr std::int64_t silence_ns_max = 2000 * ms;

// Makes room in the range by the door that has been silent for longest. Returns whether it could.
template <typename Doors>
bool drop_silent(Doors& doors, typename Doors::iterator first, typename Doors::iterator last) {
  auto oldest = last;
  for (auto one = first; one != last; ++one) {
    if (one->second.speaks) continue;
    if (oldest == last || one->second.heard_ns < oldest->second.heard_ns) oldest = one;
  }
  if (oldest == last) return false;
  doors.erase(oldest);
  return true;
}

}  // namespace

Quotas::Quotas(Bus& bus, Clock& clock, QuotasConfig config, gateway::Tenants& tenants)
    : bus_(bus), clock_(clock), config_(std::move(config)), tenants_(tenants) {}

// What requests that are still here will have used is lost.
Quotas::~Quotas() {
  if (!subscription_) return;
  subscription_.reset();
  std::vector<gateway::TenantUse> used = tenants_.new_use(told_tenants_max);
  for (gateway::TenantUse& use : used) use.at_once = 0;
  tell(std::move(used));
}

Result<void> Quotas::start() {
  if (!is_word(config_.id)) {
    return Error{"fleet: the gateway's id is '" + config_.id +
                 "' (allowed: 1 to 64 letters, digits, '-' and '_')"};
  }
  auto listening =
      bus_.subscribe(quotas_subject("*"), "", [this](const Message& message) { heard(message); });
  if (!listening) return listening.error();
  subscription_ = *std::move(listening);
  return {};
}

Result<Quotas::Door*> Quotas::door(const std::string& id, std::uint64_t origin) {
  if (const auto known = doors_.find({id, origin}); known != doors_.end()) return &known->second;
  const auto first = doors_.lower_bound({id, 0});
  const auto last = doors_.upper_bound({id, ~std::uint64_t{0}});
  if (std::distance(first, last) >= static_cast<std::ptrdiff_t>(processes_max) &&
      !drop_silent(doors_, first, last)) {
    return Error{std::to_string(processes_max) + " processes with this id speak already"};
  }
  if (doors_.size() >= doors_max && !drop_silent(doors_, doors_.begin(), doors_.end())) {
    return Error{std::to_string(doors_max) + " gateways speak already"};
  }
  return &(doors_[{id, origin}] = {.number = ++doors_seen_});
}

void Quotas::heard(const Message& message) {
  Result<UseMessage> use = parse_use(message.subject, message.data);
  const std::int64_t now_ns = clock_.now_ns();
  const std::lock_guard lock(mutex_);
  const auto refuse = [&](const std::string& why) {
    ++counters_.refused;
    counters_.last_error = why;
  };
  if (!use) return refuse(use.error().message);
  if (use->origin == config_.origin) return;
  const std::string id = message.subject.substr(quotas_subject("").size());
  const Result<Door*> from = door(id, use->origin);
  if (!from) return refuse("quotas on " + message.subject + ": " + from.error().message);
  Door& other = **from;
  if (use->number <= other.last) {
    ++counters_.replayed;
    return;
  }
  ++counters_.heard;
  other.last = use->number;
  other.heard_ns = now_ns;
  other.speaks = true;
  tenants_.hear(other.number, use->used, now_ns);
}

void Quotas::forget_silent(std::int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  for (auto& [name, other] : doors_) {
    if (!other.speaks || now_ns - other.heard_ns <= silence_ns_max) continue;
    other.speaks = false;
    tenants_.hear(other.number, {}, now_ns);
  }
}

// Silent when there is nothing to say that others do not know.
void Quotas::tell(std::vector<gateway::TenantUse> used) {
  if (used.empty() && !told_at_once_) return;
  told_at_once_ = std::ranges::any_of(used, [](const auto& use) { return use.at_once > 0; });
  const Result<void> sent = bus_.publish(
      quotas_subject(config_.id),
      use_bytes({.origin = config_.origin, .number = ++number_, .used = std::move(used)}));
  const std::lock_guard lock(mutex_);
  ++(sent ? counters_.told : counters_.lost);
  if (!sent) counters_.last_error = sent.error().message;
}

void Quotas::step() {
  const std::int64_t now_ns = clock_.now_ns();
  if (now_ns < next_ns_) return;
  next_ns_ = now_ns + tell_interval_ns;
  forget_silent(now_ns);
  tell(tenants_.new_use(told_tenants_max));
}

QuotasCounters Quotas::counters() const {
  const std::lock_guard lock(mutex_);
  QuotasCounters out = counters_;
  out.doors = static_cast<std::uint64_t>(
      std::ranges::count_if(doors_, [](const auto& one) { return one.second.speaks; }));
  return out;
}

}  // namespace noroshi::fleet
