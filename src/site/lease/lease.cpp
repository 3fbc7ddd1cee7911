#include "site/lease/lease.h"

#include <algorithm>
#include <cassert>
#include <string>

namespace noroshi::site {
namespace {

// What "a little more" is, for a processor to be given back.
constexpr double budget_share = 0.25;  // of the whole budget
constexpr double left_more = 0.1;

constexpr std::uint64_t all(std::size_t workers) {
  return workers >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << workers) - 1;
}

}  // namespace

Result<LeasePolicy> lease_policy(std::string_view name) {
  for (const auto policy :
       {LeasePolicy::off, LeasePolicy::fixed_split, LeasePolicy::os, LeasePolicy::lease}) {
    if (name == name_of(policy)) return policy;
  }
  return Error{"no lease policy '" + std::string(name) + "': off, static, os or lease"};
}

std::string_view name_of(LeasePolicy policy) {
  switch (policy) {
    case LeasePolicy::off:
      return "off";
    case LeasePolicy::fixed_split:
      return "static";
    case LeasePolicy::os:
      return "os";
    case LeasePolicy::lease:
      return "lease";
  }
  return "";
}

Lease::Lease(const LeaseConfig& config, int processors)
    : config_(config),
      processors_(static_cast<std::size_t>(processors)),
      taken_(all(static_cast<std::size_t>(processors))) {
  assert(0 < processors && processors <= processors_max);
  budget_.fill(config.risk_max * config.budget_slots);
}

// What comes to a processor, in order, each piece starting when the one before is done.
Lease::Outlook Lease::look(std::size_t processor, std::int64_t now_ns, std::int64_t next_tick_ns,
                           std::int64_t until_ns, View<const RadioWork, 1> work) const {
  Outlook outlook;
  std::int64_t free_at_ns = now_ns;
  std::int64_t asked_ns = 0;
  for (const RadioWork& piece : work) {
    if (static_cast<std::size_t>(piece.processor) != processor) continue;
    const std::int64_t start_ns = std::max(free_at_ns, piece.release_ns);
    free_at_ns = start_ns + piece.p50_ns;
    asked_ns += piece.p50_ns;
    if (piece.model == nullptr) continue;
    const std::int64_t time_ns = piece.deadline_ns - start_ns;
    outlook.risk = std::max(outlook.risk, piece.model->share_between(
                                              *piece.work, time_ns - config_.margin_ns, time_ns));
    if (piece.release_ns == next_tick_ns) outlook.next_ns += piece.p50_ns;
  }
  outlook.left = 1 - static_cast<double>(asked_ns) /
                         static_cast<double>(std::max<std::int64_t>(until_ns - now_ns, 1));
  return outlook;
}

bool Lease::lends(std::size_t processor, const Outlook& outlook) {
  const double whole = config_.risk_max * config_.budget_slots;
  double& budget = budget_[processor];
  budget = std::min(budget + config_.risk_max, whole);
  const bool is_taken = (taken_ >> processor & 1) != 0;
  if (budget < outlook.risk + (is_taken ? budget_share * whole : 0) ||
      outlook.left < config_.left_min + (is_taken ? left_more : 0))
    return false;
  budget -= outlook.risk;
  return true;
}

LeaseDecision Lease::decide(std::int64_t now_ns, std::int64_t next_tick_ns, std::int64_t until_ns,
                            View<const RadioWork, 1> work) {
  LeaseDecision decision;
  for (std::size_t p = 0; p < processors_; ++p) {
    const Outlook outlook = look(p, now_ns, next_tick_ns, until_ns, work);
    const std::uint64_t bit = std::uint64_t{1} << p;
    if (!lends(p, outlook)) decision.taken |= bit;
    if (config_.early_ns > 0 && outlook.next_ns >= config_.early_min_ns) decision.early |= bit;
    decision.risk = std::max(decision.risk, outlook.risk);
    decision.left = std::min(decision.left, outlook.left);
  }
  if (config_.policy != LeasePolicy::lease) {
    decision.early = 0;
    decision.taken = config_.policy == LeasePolicy::os ? 0 : all(processors_);
  }
  taken_ = decision.taken;
  return decision;
}

}  // namespace noroshi::site
