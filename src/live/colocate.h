#pragma once

// `noroshi bench colocate`: what radio and AI on the same processors cost each other, under every
// lease policy and several radio loads, in one process tree and one run.
//
// The cell: 40 MHz at 30 kHz, TDD DDDSU, two antennas, two handsets, light air (site/site.h). The
// engine: llama-server with a load model, kept busy by many streams. Each policy also runs with the
// engine alone and the radio alone, so that shares have a base. The radio's workers tell the host's
// stalls from our own lateness (site/lease/stall.h).

#include <string>

namespace noroshi::live {

struct ColocateOptions {
  std::string policies = "all";  // "all", or some of off, static, os, lease with commas
  std::string loads = "all";     // "all", or some of low, diurnal, bursty, full with commas
  bool split = true;             // engines by processor (engines.h); false: one for all
  double seconds = 10;           // of each run
  int rounds = 1;                // of all policies in turn; above 1: medians over the rounds too
  int streams = 32;              // of the load, over all engines: large batches on few and on many
  int engine_kills = 0;          // of all engines, at even distances within each run
  std::string model_path = {};   // GGUF; empty: a tiny load model, made for the run
  std::string plot_path = {};    // SVG of one second under `lease` and bursty load; empty: none
  std::uint64_t seed = 1;
  bool json = false;
};

// Returns the exit code. Failures have been printed.
int run_colocate(const ColocateOptions& options);

}  // namespace noroshi::live
