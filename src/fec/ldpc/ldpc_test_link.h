#pragma once

// A link over BPSK and white noise, for the tests of the LDPC codes.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "fec/ldpc/ldpc.h"

namespace noroshi::fec {

using Bits = std::vector<std::uint8_t>;  // packed

inline Bits random_bits(int count, int filler, Prng& prng) {
  Bits packed(bytes_for_bits(static_cast<std::size_t>(count)));
  for (int i = 0; i < count - filler; ++i) {
    set_bit(packed.data(), static_cast<std::size_t>(i), (prng() & 1) != 0);
  }
  return packed;
}

inline Bits encode(int base_graph, int zc, const Bits& bits, int count) {
  Bits codeword(bytes_for_bits(static_cast<std::size_t>(count)));
  cpu::ldpc_encode(base_graph, zc, bits, codeword, count);
  return codeword;
}

// Soft bits of the codeword's first `count` bits over BPSK and white noise: mean `amplitude`,
// standard deviation amplitude * sigma.
inline std::vector<SoftBit> soft_bits(const Bits& codeword, int count, double amplitude,
                                      double sigma, Prng& prng) {
  std::vector<SoftBit> llr(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < llr.size(); ++i) {
    const double sent = bit_at(codeword.data(), i) ? -1.0 : 1.0;
    const double value = amplitude * (sent + sigma * prng.normal());
    llr[i] = static_cast<SoftBit>(std::clamp(std::round(value), -127.0, 127.0));
  }
  return llr;
}

// Runs `f` with each instruction set that this machine and build have.
template <class F>
void on_each_target(F f) {
  on_every_target([&](const char* name) {
    SCOPED_TRACE(name);
    f();
  });
}

struct Decoded {
  LdpcDecodeResult result;
  Bits bits;
};

inline Decoded decode(const LdpcDecodeConfig& config, const std::vector<SoftBit>& llr,
                      LdpcWorkspace& workspace) {
  Decoded decoded;
  decoded.bits.assign(
      bytes_for_bits(static_cast<std::size_t>(ldpc_information_bits(config.base_graph, config.zc))),
      0xff);
  decoded.result = cpu::ldpc_decode(config, llr, decoded.bits, workspace);
  return decoded;
}

struct Link {
  int base_graph;
  int zc;
  int count;     // bits received
  double sigma;  // of the noise beside amplitude 1; block errors are then a few to some ten percent
};

inline constexpr Link links[] = {{1, 64, 24 * 64, 0.435},
                                 {1, 56, 44 * 56, 0.83},
                                 {1, 20, 66 * 20, 1.03},
                                 {2, 64, 12 * 64, 0.50},
                                 {2, 52, 50 * 52, 1.41}};

}  // namespace noroshi::fec
