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

Lease::Lease(const LeaseConfig& config, int workers)
    : config_(config), workers_(static_cast<std::size_t>(workers)), taken_(all(workers_)) {
  assert(0 < workers && workers <= workers_max);
  budget_.fill(config.risk_max * config.budget_slots);
}

// Whether the radio keeps this worker's processor to itself.
bool Lease::keep(std::size_t worker, std::int64_t now_ns, std::int64_t until_ns,
                 View<const RadioWork, 1> work, LeaseDecision& decision) {
  std::int64_t free_at_ns = now_ns;  // when the work before is done
  std::int64_t asked_ns = 0;
  double risk = 0;
  for (std::size_t i = 0; i < work.size(); ++i) {
    const RadioWork& piece = work.data()[i];
    if (static_cast<std::size_t>(piece.worker) != worker) continue;
    const std::int64_t start_ns = std::max(free_at_ns, piece.release_ns);
    const std::int64_t time_ns = piece.deadline_ns - start_ns;
    risk = std::max(risk,
                    piece.model->share_between(*piece.work, time_ns - config_.margin_ns, time_ns));
    free_at_ns = start_ns + piece.p50_ns;
    asked_ns += piece.p50_ns;
  }
  const double left = 1 - static_cast<double>(asked_ns) /
                              static_cast<double>(std::max<std::int64_t>(until_ns - now_ns, 1));
  decision.risk = std::max(decision.risk, risk);
  decision.left = std::min(decision.left, left);
  const double whole = config_.risk_max * config_.budget_slots;
  double& budget = budget_[worker];
  budget = std::min(budget + config_.risk_max, whole);
  const bool is_taken = (taken_ >> worker & 1) != 0;
  if (budget < risk + (is_taken ? budget_share * whole : 0) ||
      left < config_.left_min + (is_taken ? left_more : 0))
    return true;
  budget -= risk;
  return false;
}

LeaseDecision Lease::decide(std::int64_t now_ns, std::int64_t until_ns,
                            View<const RadioWork, 1> work) {
  LeaseDecision decision;
  std::uint64_t taken = 0;
  for (std::size_t worker = 0; worker < workers_; ++worker) {
    if (keep(worker, now_ns, until_ns, work, decision)) taken |= std::uint64_t{1} << worker;
  }
  switch (config_.policy) {
    case LeasePolicy::off:
    case LeasePolicy::fixed_split:
      taken = all(workers_);
      break;
    case LeasePolicy::os:
      taken = 0;
      break;
    case LeasePolicy::lease:
      break;
  }
  decision.taken = taken_ = taken;
  return decision;
}

}  // namespace noroshi::site
