#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/rate_match/rate_match.h"

namespace noroshi::fec {
namespace {

// A code block of base graph 1, Zc = 384, at about R = 0.92.
RateMatch full_block(int qm) {
  RateMatch match;
  match.buffer_bits = 66 * 384;
  match.filler_start = 20 * 384 - 24;
  match.filler_bits = 24;
  match.bits_per_symbol = qm;
  match.coded_bits = 9120 / (2 * qm) * (2 * qm);
  return match;
}

std::string case_name(int qm) { return "bg1 z384 qm" + std::to_string(qm); }

NOROSHI_BENCH(rate_match) {
  Prng prng(1);
  std::vector<std::uint8_t> codeword(66 * 384 / 8);
  for (auto& byte : codeword) byte = static_cast<std::uint8_t>(prng());
  std::vector<std::uint8_t> out(10'000 / 8);
  for (const int qm : {1, 2, 4, 6, 8, 10}) {
    const RateMatch match = full_block(qm);
    bench.rate_mbps(case_name(qm), match.coded_bits, [&] {
      cpu::rate_match(match, codeword, out, 0);
      return std::uint64_t{out[7]} << 8 | out[500];
    });
  }
}

NOROSHI_BENCH(rate_recover) {
  Prng prng(1);
  std::vector<SoftBit> buffer(66 * 384);
  for (const int qm : {1, 2, 4, 6, 8, 10}) {
    const RateMatch match = full_block(qm);
    std::vector<SoftBit> soft_bits(static_cast<std::size_t>(match.coded_bits));
    for (auto& soft : soft_bits)
      soft = static_cast<SoftBit>(static_cast<int>(prng.below(127)) - 63);
    bench.rate_mbps(case_name(qm), match.coded_bits, [&] {
      cpu::rate_recover(match, soft_bits, buffer, 0);
      return hash_bytes(buffer.data(), 16);
    });
    // A retransmission: the sum with what is there.
    bench.rate_mbps(case_name(qm) + " combining", match.coded_bits, [&] {
      cpu::rate_recover(match, soft_bits, buffer, match.buffer_bits);
      return std::uint64_t{static_cast<std::uint8_t>(soft_bits[3])};
    });
  }
}

}  // namespace
}  // namespace noroshi::fec
