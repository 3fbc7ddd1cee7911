#include "fec/ldpc/ldpc_slices.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <iterator>
#include <numeric>

#include "fec/ldpc/ldpc_tables.h"

namespace noroshi::fec {
namespace {

constexpr std::size_t sizes = std::size(ldpc_lifting_size_table);

constexpr LdpcSlices make_slices(int zc) {
  LdpcSlices s;
  s.slice_bits = zc / std::gcd(zc, 8);
  for (int k = 0; k < 8; ++k) {
    s.slice_start[k] = static_cast<std::uint64_t>(s.slice_bits * k % zc);
  }
  const int step = std::gcd(s.slice_bits, 8);  // between the windows
  s.windows = s.slice_bits / step;
  for (int w = 0; w < s.windows; ++w) {
    for (int t = 0; t < 8; ++t) {
      s.window_bytes[w / 8][w % 8 * 8 + t] = static_cast<std::uint8_t>(w * step + t);
    }
  }
  for (int b = 0; b < (zc + 7) / 8; ++b) {
    const int window = 8 * b % s.slice_bits / step;
    s.column_bytes[zc % 8 == 0 ? b : 7 - b] =
        static_cast<std::uint8_t>(8 * window + 8 * b / s.slice_bits);
  }
  s.sum_bytes = s.slice_bits - step + 8;
  s.copies = (zc + s.sum_bytes + s.slice_bits - 1) / s.slice_bits;
  return s;
}

constexpr std::array<LdpcSlices, sizes> make_all() {
  std::array<LdpcSlices, sizes> all{};
  for (std::size_t i = 0; i < sizes; ++i) all[i] = make_slices(ldpc_lifting_size_table[i].zc);
  return all;
}
constexpr auto all_slices = make_all();

}  // namespace

const LdpcSlices& ldpc_slices(int zc) {
  const auto* const begin = std::begin(ldpc_lifting_size_table);
  const auto* const end = std::end(ldpc_lifting_size_table);
  const auto* at = std::lower_bound(
      begin, end, zc, [](const LdpcLiftingSize& size, int value) { return size.zc < value; });
  assert(at != end && at->zc == zc);
  return all_slices[static_cast<std::size_t>(at - begin)];
}

}  // namespace noroshi::fec
