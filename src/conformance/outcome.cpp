#include "conformance/outcome.h"

#include <cassert>
#include <cstdio>

namespace noroshi::conformance {

std::vector<std::uint8_t> bits_of(const Array& array, std::size_t first, std::size_t count) {
  assert(first + count <= array.real.size());
  std::vector<std::uint8_t> bits(count);
  for (std::size_t i = 0; i < count; ++i) bits[i] = array.real[first + i] != 0 ? 1 : 0;
  return bits;
}

std::vector<std::uint8_t> packed(const std::vector<std::uint8_t>& bits) {
  std::vector<std::uint8_t> bytes(bytes_for_bits(bits.size()));
  for (std::size_t i = 0; i < bits.size(); ++i) set_bit(bytes.data(), i, bits[i] != 0);
  return bytes;
}

std::vector<std::uint8_t> unpacked(const std::vector<std::uint8_t>& bytes, std::size_t bits) {
  assert(bytes.size() * 8 >= bits);
  std::vector<std::uint8_t> out(bits);
  for (std::size_t i = 0; i < bits; ++i) out[i] = bit_at(bytes.data(), i) ? 1 : 0;
  return out;
}

std::string difference(const std::vector<std::uint8_t>& got,
                       const std::vector<std::uint8_t>& expected) {
  if (got.size() != expected.size()) {
    return std::to_string(got.size()) + " bits, expected " + std::to_string(expected.size());
  }
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] != expected[i]) {
      return "bit " + std::to_string(i) + " of " + std::to_string(got.size()) + " is " +
             std::to_string(got[i]) + ", expected " + std::to_string(expected[i]);
    }
  }
  return {};
}

std::string difference(const std::vector<cf32>& got, const cf64* expected, std::size_t count,
                       double tolerance) {
  if (got.size() != count) {
    return std::to_string(got.size()) + " values, expected " + std::to_string(count);
  }
  double worst = 0;
  std::size_t where = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double error = std::abs(cf64(got[i]) - expected[i]);
    // Written so that a NaN counts as an error.
    if (!(error <= worst)) {
      worst = error;
      where = i;
    }
  }
  if (worst <= tolerance) return {};
  char text[200];
  std::snprintf(
      text, sizeof text,
      "value %zu of %zu is (%.6g, %.6g), expected (%.6g, %.6g): off by %.2g, allowed %.1g", where,
      count, static_cast<double>(got[where].real()), static_cast<double>(got[where].imag()),
      expected[where].real(), expected[where].imag(), worst, tolerance);
  return text;
}

}  // namespace noroshi::conformance
