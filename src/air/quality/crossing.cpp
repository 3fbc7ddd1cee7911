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

// Summed in the order of the trials, so that it does not depend on the threads.
double failure_rate(const CrossingConfig& config, const Trial& trial, double db, int trials) {
  std::vector<double> failed(static_cast<std::size_t>(trials));
  std::atomic<std::size_t> next = 0;
  const auto work = [&](int thread) {
    for (std::size_t i = next++; i < failed.size(); i = next++) failed[i] = trial(db, i, thread);
  };
  std::vector<std::jthread> others;
  for (int thread = 1; thread < config.threads; ++thread) others.emplace_back(work, thread);
  work(0);
  others.clear();
  return std::accumulate(failed.begin(), failed.end(), 0.0) / trials;
}

// The measured curve, by level.
using Curve = std::map<double, double>;

// Where the curve falls through this rate, coming from below; its end when it does not.
double level_of(const Curve& curve, double rate) {
  for (auto at = curve.begin(); std::next(at) != curve.end(); ++at) {
    const auto [db, above] = *at;
    const auto [next_db, below] = *std::next(at);
    if (above >= rate && below < rate)
      return db + (next_db - db) * (above - rate) / (above - below);
  }
  return curve.begin()->second < rate ? curve.begin()->first : curve.rbegin()->first;
}

// A tenth of the trials say where to spend them all: the level on a grid of `step` at which the
// rate first is below the target.
double coarse_level(const CrossingConfig& config, const Trial& trial, double step) {
  const int trials = std::max(1, config.trials / 10);
  double db = std::clamp(config.first_db, config.low_db, config.high_db);
  const auto above = [&] { return failure_rate(config, trial, db, trials) >= config.target; };
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
    const double rate = failure_rate(config, trial, db, config.trials);
    curve[db] = rate;
    progress(db, rate);
    return rate;
  };
  const double deviation = 1.96 * std::sqrt(config.target * (1 - config.target) / config.trials);
  constexpr double step = 0.25;
  double high = coarse_level(config, trial, step), low = high - step;
  while (measure(high) > config.target - deviation && high < config.high_db) high += step;
  while (measure(low) < config.target + deviation && low > config.low_db) low -= step;

  // Halve what lies around the crossing until it is short.
  for (;;) {
    const double db = level_of(curve, config.target);
    const auto above = curve.upper_bound(db);
    if (above == curve.begin() || above == curve.end()) break;
    const double from = std::prev(above)->first, to = above->first;
    if (to - from <= config.resolution_db) break;
    measure((from + to) / 2);
  }
  Crossing crossing;
  crossing.db = level_of(curve, config.target);
  crossing.low_db = level_of(curve, std::min(1.0, config.target + deviation));
  crossing.high_db = level_of(curve, std::max(0.0, config.target - deviation));
  crossing.levels = static_cast<int>(curve.size());
  crossing.found = curve.begin()->second >= config.target && curve.rbegin()->second < config.target;
  return crossing;
}

}  // namespace noroshi::air
