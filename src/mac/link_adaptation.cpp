#include "mac/link_adaptation.h"

#include <algorithm>
#include <cassert>
#include <cmath>

namespace noroshi::mac {
namespace {

constexpr double step_db = 0.5;
constexpr double offset_db_min = -15;
constexpr double offset_db_max = 6;
constexpr double start_factor = 4;

// Before the first report: served by nearly everyone in coverage.
constexpr double initial_sinr_db = 0;

// Reports older than the feedback delay lose their worth.
constexpr int fresh_slots = 8;
constexpr double ageing_db_per_slot = 0.15;
constexpr double ageing_db_max = 10;

constexpr double regression_reports = 200;

// What a real receiver needs above Shannon's bound, by spectral efficiency: 10 % block errors of a
// single-tap 1x1 link, MCS 0, 9, 16, 20, 28 of the 64QAM table and 27 of the 256QAM table.
struct Gap {
  double spectral_efficiency;
  double db;
};
constexpr Gap gaps[] = {{0.234, 2.76}, {1.326, 1.94}, {2.570, 2.20},
                        {3.322, 2.87}, {5.555, 3.10}, {7.406, 4.00}};

double gap_db(double spectral_efficiency) {
  const Gap* right = std::begin(gaps);
  while (right != std::end(gaps) && right->spectral_efficiency < spectral_efficiency) ++right;
  if (right == std::begin(gaps)) return right->db;
  if (right == std::end(gaps)) return std::prev(right)->db;
  const Gap* left = std::prev(right);
  const double t = (spectral_efficiency - left->spectral_efficiency) /
                   (right->spectral_efficiency - left->spectral_efficiency);
  return left->db + t * (right->db - left->db);
}

}  // namespace

McsLadder mcs_ladder(nr::McsTable table) {
  McsLadder ladder;
  ladder.count = nr::mcs_index_max(table) + 1;
  assert(ladder.count <= mcs_count_max);
  double highest = -100;
  for (int index = 0; index < ladder.count; ++index) {
    const nr::Mcs mcs = *nr::mcs(table, index);
    const double efficiency = nr::bits_per_symbol(mcs.modulation) * mcs.code_rate_x10240 / 10240.0;
    const double shannon_db = 10 * std::log10(std::exp2(efficiency) - 1);
    // The tables step back by a hair where the modulation changes; the ladder must not.
    highest = std::max(highest, shannon_db + gap_db(efficiency));
    ladder.required_sinr_db[index] = highest;
    ladder.spectral_efficiency[index] = efficiency;
  }
  return ladder;
}

double start_offset_db(double target_bler) {
  return -3 + 2 * std::clamp(std::log10(target_bler / 0.1), -2.0, 0.0);
}

bool known(const Link& link, SlotCount slot) {
  return link.reports > 0 && slot - link.last_report_slot <= remembered_slots;
}

void on_sinr_report(Link& link, SlotCount slot, std::optional<double> expected_db, double sinr_db) {
  if (expected_db) {
    link.weight += (1 - link.weight) / regression_reports;
    const double share = 1 / (regression_reports * link.weight);
    const double x = *expected_db - link.expected_mean_db;
    const double y = sinr_db - link.measured_mean_db;
    link.expected_mean_db += share * x;
    link.measured_mean_db += share * y;
    link.expected_variance += share * ((1 - share) * x * x - link.expected_variance);
    link.covariance += share * ((1 - share) * x * y - link.covariance);
  }
  if (!known(link, slot)) link.reports = link.next = 0;
  link.reports_db[link.next] = sinr_db;
  link.next = (link.next + 1) % Link::window;
  link.reports = std::min(link.reports + 1, Link::window);
  link.last_report_slot = std::max(link.last_report_slot, slot);
}

void on_first_outcome(Link& link, double target_bler, FirstOutcome outcome) {
  if (outcome.ok && link.failed) link.starting = false;
  const double step = link.starting ? start_factor * step_db : step_db;
  if (outcome.ok && !outcome.at_highest) {
    link.offset_db += step * target_bler / (1 - target_bler);
  } else if (!outcome.ok && !outcome.at_lowest) {
    link.offset_db -= step;
  }
  link.offset_db = std::clamp(link.offset_db, offset_db_min, offset_db_max);
  link.failed = !outcome.ok;
  link.allowance = outcome.ok ? std::min(2 * link.allowance, Link::allowance_max) : 1;
}

double recent_sinr_db(const Link& link, SlotCount slot) {
  if (link.reports == 0) return initial_sinr_db;
  const double lowest =
      *std::min_element(link.reports_db.begin(), link.reports_db.begin() + link.reports);
  const auto age = static_cast<double>(slot - link.last_report_slot - fresh_slots);
  return lowest - std::clamp(age * ageing_db_per_slot, 0.0, ageing_db_max);
}

double effective_sinr_db(const Link& link, SlotCount slot) {
  const double recent = recent_sinr_db(link, slot);
  if (link.reports == 0) return recent + (link.starting ? 0 : std::min(link.offset_db, 0.0));
  const double trust = std::clamp(link.covariance / (link.expected_variance + 1), 0.0, 1.0);
  const double worth = link.weight * trust + (1 - link.weight);
  return recent + (1 - worth) * (link.expected_mean_db - recent) + link.offset_db;
}

int choose_mcs(const McsLadder& ladder, double sinr_db) {
  int index = ladder.count - 1;
  while (index > 0 && ladder.required_sinr_db[index] > sinr_db) --index;
  return index;
}

}  // namespace noroshi::mac
