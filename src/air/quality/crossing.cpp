#include "air/quality/crossing.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <map>
#include <numeric>
#include <thread>
#include <vector>

namespace noroshi::air {
namespace {

struct Rate {
  double mean = 0;
  double deviation = 0;  // of the mean
};

// Summed in the order of the trials, so that it does not depend on the threads.
Rate failure_rate(const CrossingConfig& config, const Trial& trial, double db, int trials) {
  std::vector<double> failed(static_cast<std::size_t>(trials));
  std::atomic<std::size_t> next = 0;
  const auto work = [&](int thread) {
    for (std::size_t i = next++; i < failed.size(); i = next++) failed[i] = trial(db, i, thread);
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < config.threads; ++thread) others.emplace_back(work, thread);
  work(0);
  others.clear();
  Rate rate;
  rate.mean = std::accumulate(failed.begin(), failed.end(), 0.0) / trials;
  double squares = 0;
  for (const double each : failed) squares += (each - rate.mean) * (each - rate.mean);
  rate.deviation = std::sqrt(squares) / trials;
  return rate;
}

// The measured curve, by level.
using Curve = std::map<double, Rate>;

// Where the curve falls through this rate, coming from below; its end when it does not.
double level_of(const Curve& curve, double rate) {
  for (auto at = curve.begin(); std::next(at) != curve.end(); ++at) {
    const double db = at->first, above = at->second.mean;
    const double next_db = std::next(at)->first, below = std::next(at)->second.mean;
    if (above >= rate && below < rate)
      return db + (next_db - db) * (above - rate) / (above - below);
  }
  return curve.begin()->second.mean < rate ? curve.begin()->first : curve.rbegin()->first;
}

// A tenth of the trials say where to spend them all: the level on a grid of `step` at which the
// rate first is below the target.
double coarse_level(const CrossingConfig& config, const Trial& trial) {
  const double step = config.step_db;
  const int trials = std::max(1, config.trials / 10);
  double db = std::clamp(config.first_db, config.low_db, config.high_db);
  const auto above = [&] { return failure_rate(config, trial, db, trials).mean >= config.target; };
  if (above()) {
    while (db < config.high_db && above()) db += step;
  } else {
    while (db > config.low_db && !above()) db -= step;
    db += step;
  }
  return db;
}

}  // namespace

Crossing find_crossing(const CrossingConfig& config, const Trial& trial, const Progress& progress) {
  assert(config.target > 0 && config.target < 1 && config.trials >= 1 && config.threads >= 1);
  assert(config.low_db < config.high_db && config.resolution_db > 0);
  Curve curve;
  const auto measure = [&](double db) {
    const Rate rate = failure_rate(config, trial, db, config.trials);
    curve[db] = rate;
    progress(db, rate.mean);
    return rate;
  };
  const auto above = [&](double db) {
    const Rate rate = measure(db);
    return rate.mean > config.target - 1.96 * rate.deviation;
  };
  const auto below = [&](double db) {
    const Rate rate = measure(db);
    return rate.mean < config.target + 1.96 * rate.deviation;
  };
  const double step = config.step_db;
  double high = coarse_level(config, trial), low = high - step;
  while (above(high) && high < config.high_db) high += step;
  while (below(low) && low > config.low_db) low -= step;

  // Halve what lies around the crossing until it is short.
  for (;;) {
    const double db = level_of(curve, config.target);
    const auto beyond = curve.upper_bound(db);
    if (beyond == curve.begin() || beyond == curve.end()) break;
    const double from = std::prev(beyond)->first, to = beyond->first;
    if (to - from <= config.resolution_db) break;
    measure((from + to) / 2);
  }
  Crossing crossing;
  crossing.db = level_of(curve, config.target);
  // The levels on both sides of the crossing tell how far the rate there can be off.
  const auto beyond = curve.upper_bound(crossing.db);
  double deviation = 0;
  if (beyond != curve.end()) deviation = beyond->second.deviation;
  if (beyond != curve.begin()) deviation = std::max(deviation, std::prev(beyond)->second.deviation);
  deviation *= 1.96;
  crossing.low_db = level_of(curve, std::min(1.0, config.target + deviation));
  crossing.high_db = level_of(curve, std::max(0.0, config.target - deviation));
  crossing.levels = static_cast<int>(curve.size());
  crossing.found =
      curve.begin()->second.mean >= config.target && curve.rbegin()->second.mean < config.target;
  return crossing;
}

}  // namespace noroshi::air
