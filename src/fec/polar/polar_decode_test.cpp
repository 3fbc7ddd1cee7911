// Catches: a leaf, a shuffle of paths or a tail of a vector that is wrong on some target, a scale
// that decoding depends on, a CRC mask that is ignored, soft bits that overflow.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "fec/polar/polar.h"
#include "fec/polar/polar_test_configs.h"

namespace noroshi::fec {
namespace {

struct Transmission {
  std::vector<std::uint8_t> message;
  std::vector<double> received;  // log-likelihood ratios, on the scale of the noise
};

// CRC11 ends the message.
Transmission transmit(const PolarCode& code, double noise, Prng& prng) {
  Transmission out;
  const std::size_t k = code.message_position.size();
  out.message.resize(bytes_for_bits(k));
  for (std::size_t i = 0; i < k; ++i) set_bit(out.message.data(), i, prng.below(2) != 0);
  crc_attach(Crc::crc11, out.message, k - 11);
  std::vector<std::uint8_t> sent(bytes_for_bits(code.coded_source.size()));
  cpu::polar_encode(code, out.message, sent, 0);
  for (std::size_t i = 0; i < code.coded_source.size(); ++i) {
    out.received.push_back((bit_at(sent.data(), i) ? -1 : 1) + noise * prng.normal());
  }
  return out;
}

std::vector<SoftBit> soft_bits(const std::vector<double>& received, double amplitude) {
  std::vector<SoftBit> out;
  for (const double r : received) {
    out.push_back(static_cast<SoftBit>(std::clamp(std::round(r * amplitude), -127.0, 127.0)));
  }
  return out;
}

constexpr PolarCrc crc11{.crc = Crc::crc11};

TEST(PolarDecode, NoiselessIsExactOnEveryTarget) {
  constexpr std::uint64_t seed = 51;
  RecordProperty("seed", std::to_string(seed));
  on_every_target([&](const char* target) {
    SCOPED_TRACE(target);
    Prng prng(seed);
    PolarWorkspace workspace;
    for (int round = 0; round < 400; ++round) {
      const PolarCode code = random_polar_code(prng);
      SCOPED_TRACE(describe(code));
      const Transmission sent = transmit(code, 0, prng);
      const int list = 1 << prng.below(4);
      const auto amplitude = static_cast<double>(1 + prng.below(127));
      std::vector<std::uint8_t> message(sent.message.size());
      const auto result = cpu::polar_decode(code, soft_bits(sent.received, amplitude), list, crc11,
                                            message, workspace);
      ASSERT_TRUE(result.crc_ok) << "list " << list;
      ASSERT_EQ(result.rank, 0);
      ASSERT_EQ(message, sent.message);
    }
  });
}

}  // namespace
}  // namespace noroshi::fec
