#pragma once

// Conformance cases on disk: one folder a component, cases.jsonl (a JSON object a line) beside
// cases.bin (all arrays, little-endian, last index fastest, dense or sparse).
//
//   {"name": "...", "component": "crc", "params": {...}, "implied": {...},
//    "arrays": {"blk": {"dtype": "u1", "shape": [9], "offset": 0, "slots": [0]}}}
//
// dtypes: u1, i1, i2, i4, f4, c8. Sparse: nnz int32 flat indices, then nnz elements; the rest is
// zero.

#include <boost/json.hpp>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace noroshi::conformance {

struct Array {
  std::vector<std::size_t> shape;
  std::vector<int> slots;  // what the first dimension stands for; empty when not given
  bool is_complex = false;
  std::vector<double> real;   // of u1, i1, i2, i4, f4
  std::vector<cf64> complex;  // of c8
  std::size_t size() const { return is_complex ? complex.size() : real.size(); }
};

struct VectorCase {
  std::string name;
  boost::json::object params;  // "implied" and "params" together
  std::map<std::string, Array, std::less<>> arrays;

  bool has(std::string_view key) const { return params.contains(key); }
  // Each returns an error that names the case's missing or mistyped key.
  Result<double> number(std::string_view key) const;
  Result<int> integer(std::string_view key) const;
  Result<std::string> text(std::string_view key) const;
  // A list, or one number standing for a list of one.
  Result<std::vector<double>> numbers(std::string_view key) const;
  Result<const Array*> array(std::string_view key) const;
};

// One line of cases.jsonl with the bytes of cases.bin. Errors name the field and the offset.
Result<VectorCase> parse_case(std::string_view line, std::string_view bin);

struct Component {
  std::string name;                       // of the folder
  std::vector<Result<VectorCase>> cases;  // a broken case is an error in its place
};

// Errors: a folder without cases.jsonl or cases.bin, a file that cannot be read.
Result<Component> read_component(const std::filesystem::path& folder);

}  // namespace noroshi::conformance
