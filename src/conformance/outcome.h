#pragma once

// What one case came to, and the comparisons that decide it.

#include <string>
#include <vector>

#include "base/units.h"
#include "conformance/vectors.h"

namespace noroshi::conformance {

struct Outcome {
  enum class Kind { passed, failed, skipped } kind = Kind::passed;
  std::string why;  // empty when passed
};

inline Outcome passed() { return {}; }
inline Outcome failed(std::string why) { return {Outcome::Kind::failed, std::move(why)}; }
inline Outcome skipped(std::string why) { return {Outcome::Kind::skipped, std::move(why)}; }

// Bits 0/1, one an element, from a slice of a real array.
std::vector<std::uint8_t> bits_of(const Array& array, std::size_t first, std::size_t count);
std::vector<std::uint8_t> packed(const std::vector<std::uint8_t>& bits);
std::vector<std::uint8_t> unpacked(const std::vector<std::uint8_t>& bytes, std::size_t bits);

// "" when equal, else what differs first: "bit 17 of 96 is 0, expected 1".
std::string difference(const std::vector<std::uint8_t>& got,
                       const std::vector<std::uint8_t>& expected);
// Complex values against an absolute error; the largest error is named.
std::string difference(const std::vector<cf32>& got, const cf64* expected, std::size_t count,
                       double tolerance);

// Turns a Result's error into a failed outcome: the case lacks what it should have.
#define NOROSHI_CASE_VALUE(name, expression)                        \
  auto name##_result = (expression);                                \
  if (!name##_result) return failed(name##_result.error().message); \
  auto& name = *name##_result

}  // namespace noroshi::conformance
