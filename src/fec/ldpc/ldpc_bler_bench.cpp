// Block error rate against SNR (2 Es / N0 of BPSK: the amplitude's square over the noise's
// variance), 8 iterations: the 8-bit decoder ("it8") and ref:: in double precision ("it8 ref") on
// the same noise. scripts/plot_curves.py draws the curves.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/ldpc/ldpc.h"

namespace noroshi::fec {
namespace {

struct Curve {
  int base_graph;
  int columns;  // sent, of zc bits
  double snr_db_first;
  double step_db;
};

constexpr int zc = 64;
constexpr int points = 5;
// Code rates 0.33, 0.67 and 0.9, and base graph 2 with just its core and with all of it. At 0.9
// base graph 2 misses a column of its core.
constexpr Curve curves[] = {{1, 66, -0.7, 0.1}, {1, 33, 3.4, 0.15}, {1, 24, 6.7, 0.2},
                            {2, 30, -0.4, 0.2}, {2, 15, 3.4, 0.25}, {2, 12, 5.7, 0.25},
                            {2, 11, 7.4, 0.25}, {2, 50, -3.2, 0.15}};

using Decoder = LdpcDecodeResult (*)(const LdpcDecodeConfig&, View<const SoftBit, 1>,
                                     View<std::uint8_t, 1>, LdpcWorkspace&);

bool fails(const Curve& curve, double snr_db, Decoder decoder, std::uint64_t trial,
           LdpcWorkspace& workspace) {
  Prng prng(1000 + trial);
  const auto information = static_cast<std::size_t>(ldpc_information_bits(curve.base_graph, zc));
  const int sent = curve.columns * zc;
  std::vector<std::uint8_t> bits(bytes_for_bits(information));
  for (auto& byte : bits) byte = static_cast<std::uint8_t>(prng());
  std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(sent)));
  cpu::ldpc_encode(curve.base_graph, zc, bits, codeword, sent);
  const double sigma = std::pow(10.0, -snr_db / 20);
  std::vector<SoftBit> llr(static_cast<std::size_t>(sent));
  for (std::size_t i = 0; i < llr.size(); ++i) {
    const double value = 20 * ((bit_at(codeword.data(), i) ? -1 : 1) + sigma * prng.normal());
    llr[i] = static_cast<SoftBit>(std::clamp(std::round(value), -127.0, 127.0));
  }
  LdpcDecodeConfig config;
  config.base_graph = curve.base_graph;
  config.zc = zc;
  std::vector<std::uint8_t> decoded(bits.size());
  decoder(config, llr, decoded, workspace);
  return decoded != bits;
}

}  // namespace

NOROSHI_BENCH(bler_ldpc) {
  constexpr int failures = 200;
  constexpr int trials_max = 20'000;
  LdpcWorkspace workspace;
  for (const Curve& curve : curves) {
    for (const bool ref : {false, true}) {
      for (int point = 0; point < points; ++point) {
        const double snr_db = curve.snr_db_first + point * curve.step_db;
        char name[64];
        std::snprintf(
            name, sizeof name, "bg%d r%.2f it8%s snr%.2f", curve.base_graph,
            static_cast<double>(ldpc_information_columns(curve.base_graph)) / curve.columns,
            ref ? " ref" : "", snr_db);
        bench.failure_rate(name, failures, trials_max, [&](std::uint64_t trial) {
          return fails(curve, snr_db, ref ? &ref::ldpc_decode : &cpu::ldpc_decode, trial,
                       workspace);
        });
      }
    }
  }
}

}  // namespace noroshi::fec
