#include "fec/small_block/small_block.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "fec/small_block/small_block_tables.h"

namespace noroshi::fec {
namespace {

// The regularised incomplete beta function, by Lentz's continued fraction.
double incomplete_beta(double x, double a, double b) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(1 - x, b, a);
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x)) /
                       a;
  constexpr double tiny = 1e-300;
  constexpr int steps_max = 100'000;
  double c = 1;
  double d = 0;
  double value = 1;
  for (int step = 0; step < steps_max; ++step) {
    const int m = step / 2;
    double numerator = 1;
    if (step != 0) {
      numerator = step % 2 == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    }
    d = 1 + numerator * d;
    d = 1 / (std::abs(d) < tiny ? tiny : d);
    c = 1 + numerator / c;
    if (std::abs(c) < tiny) c = tiny;
    value *= c * d;
    if (std::abs(c * d - 1) < 1e-13) break;
  }
  return front * (value - 1);
}

}  // namespace

Refusal refuse(const SmallBlock& block) {
  if (block.bits < 1 || block.bits > small_block_bits_max)
    return {"bits", double(block.bits), "1..11 (TS 38.212 5.3.3)"};
  if (block.coded_bits < 1 || block.coded_bits > small_block_coded_bits_max)
    return {"coded_bits", double(block.coded_bits), "1 to what a slot has"};
  const int qm = block.bits_per_symbol;
  if (qm != 1 && qm != 2 && qm != 4 && qm != 6 && qm != 8)
    return {"bits_per_symbol", double(qm), "1, 2, 4, 6, 8"};
  return {};
}

Result<void> check(const SmallBlock& block) { return as_result(refuse(block)); }

int small_block_codeword_bits(int bits, int bits_per_symbol) {
  if (bits == 1) return bits_per_symbol;
  return bits == 2 ? 3 * bits_per_symbol : 32;
}

CodedBit small_block_coded_bit(const SmallBlock& block, int k) {
  const int in_symbol = k % block.bits_per_symbol;
  if (block.bits > 2 || in_symbol == 0) return CodedBit::bit;
  if (in_symbol == 1) return block.bits == 1 ? CodedBit::again : CodedBit::bit;
  return CodedBit::one;
}

int small_block_used_bits(const SmallBlock& block) {
  if (block.bits > 2) return block.coded_bits;
  const int symbols = block.coded_bits / block.bits_per_symbol;
  return std::min(2, block.bits_per_symbol) * symbols +
         std::min(2, block.coded_bits % block.bits_per_symbol);
}

double small_block_false_alarm(const SmallBlock& block, double metric) {
  assert(check(block));
  const int used = small_block_used_bits(block);
  if (metric >= 1) return 0;
  if (metric <= 0 || used < 2) return 1;
  const double one = incomplete_beta(1 - metric * metric, (used - 1) / 2.0, 0.5);
  return std::min(1.0, std::ldexp(one, block.bits - 1));
}

double small_block_threshold(const SmallBlock& block, double false_alarm) {
  double low = 0;
  double high = 1;
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (small_block_false_alarm(block, middle) > false_alarm ? low : high) = middle;
  }
  return high;
}

}  // namespace noroshi::fec
