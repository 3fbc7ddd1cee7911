#pragma once

// At which level in dB a failure probability falls through a target, by trials.
//
// Trial number i has the same chance (data, channel, noise before scaling) at every level, so that
// the measured rate falls nearly without steps of chance, and a search finds where it crosses. What
// is left is the chance in the choice of the trials: the interval is between the levels where the
// measured rate is target +- 1.96 deviations of it, as the spread of the trials at the crossing
// tells; for trials that fail or not that is 1.96 sqrt(target (1 - target) / trials).

#include <cstdint>
#include <functional>

namespace noroshi::air {

struct CrossingConfig {
  double target = 0.1;
  double first_db = 0;  // where the search begins
  double low_db = -30;  // and its bounds
  double high_db = 60;
  int trials = 1000;
  int threads = 1;
  double step_db = 0.25;        // of the search for the interval
  double resolution_db = 0.05;  // the crossing is interpolated over at most this much
};

struct Crossing {
  bool found = false;  // false: the rate does not fall through the target within the bounds
  double db = 0;
  double low_db = 0;  // 95 % confidence
  double high_db = 0;
  int levels = 0;  // that had all trials
};

// How much of trial `index` fails at this level, 0 to 1. `thread` is below config.threads; calls
// with different ones run at the same time.
using Trial = std::function<double(double db, std::uint64_t index, int thread)>;
// Told each level's rate as it becomes known.
using Progress = std::function<void(double db, double rate)>;

Crossing find_crossing(const CrossingConfig& config, const Trial& trial, const Progress& progress);

}  // namespace noroshi::air
