#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "fec/polar/polar.h"

namespace noroshi::fec::ref {
namespace {

bool contains(const std::vector<std::uint16_t>& sorted, std::size_t position) {
  return std::ranges::binary_search(sorted, position);
}

// u of 5.3.1.2, one bit an element; message by its place in u.
std::vector<std::uint8_t> place(const PolarCode& code, View<const std::uint8_t, 1> message) {
  std::vector<std::uint8_t> u(static_cast<std::size_t>(code.block_bits));
  for (std::size_t k = 0; k < code.message_position.size(); ++k) {
    u[code.message_position[k]] = bit_at(message.data(), k) ? 1 : 0;
  }
  std::array<std::uint8_t, 5> y{};
  for (std::size_t n = 0; n < u.size(); ++n) {
    std::rotate(y.begin(), y.begin() + 1, y.end());
    if (contains(code.parity_position, n)) {
      u[n] = y[0];
    } else if (contains(code.information, n)) {
      y[0] ^= u[n];
    }
  }
  return u;
}

struct Path {
  double metric = 0;
  std::vector<std::vector<double>> soft;  // [stage][2^stage]
  std::vector<std::uint8_t> bits;         // [N]: u, and what the nodes made of it
  std::vector<std::uint8_t> u;            // [N]
};

struct Decoder {
  const PolarCode& code;
  std::size_t list;
  std::vector<Path> paths;

  static double cost(double soft, int bit) { return (bit != 0) == (soft < 0) ? 0 : std::abs(soft); }

  void frozen(std::size_t at, bool parity) {
    for (Path& path : paths) {
      std::uint8_t bit = 0;
      for (std::size_t i = at % 5; parity && i < at; i += 5) {
        if (!contains(code.parity_position, i)) bit ^= path.u[i];
      }
      path.metric += cost(path.soft[0][0], bit);
      path.bits[at] = path.u[at] = bit;
    }
  }

  void split(std::size_t at) {
    struct Candidate {
      double metric;
      std::size_t path;
      std::uint8_t bit;
    };
    std::vector<Candidate> candidates;
    for (std::size_t p = 0; p < paths.size(); ++p) {
      const double soft = paths[p].soft[0][0];
      for (const std::uint8_t bit : {0, 1}) {
        candidates.push_back({paths[p].metric + cost(soft, bit), p, bit});
      }
    }
    std::ranges::stable_sort(candidates, {}, &Candidate::metric);
    candidates.resize(std::min(candidates.size(), list));
    std::vector<Path> next;
    for (const Candidate& candidate : candidates) {
      next.push_back(paths[candidate.path]);
      next.back().metric = candidate.metric;
      next.back().bits[at] = next.back().u[at] = candidate.bit;
    }
    paths = std::move(next);
  }

  void node(std::size_t stage, std::size_t at) {
    if (stage == 0) {
      if (contains(code.parity_position, at)) return frozen(at, true);
      if (contains(code.information, at)) return split(at);
      return frozen(at, false);
    }
    const std::size_t half = std::size_t{1} << (stage - 1);
    for (Path& path : paths) {
      for (std::size_t i = 0; i < half; ++i) {
        const double a = path.soft[stage][i];
        const double b = path.soft[stage][i + half];
        const double least = std::min(std::abs(a), std::abs(b));
        path.soft[stage - 1][i] = (a < 0) != (b < 0) ? -least : least;
      }
    }
    node(stage - 1, at);
    for (Path& path : paths) {
      for (std::size_t i = 0; i < half; ++i) {
        const double a = path.soft[stage][i];
        path.soft[stage - 1][i] = path.soft[stage][i + half] + (path.bits[at + i] != 0 ? -a : a);
      }
    }
    node(stage - 1, at + half);
    for (Path& path : paths) {
      for (std::size_t i = 0; i < half; ++i) path.bits[at + i] ^= path.bits[at + half + i];
    }
  }
};

void message_of(const PolarCode& code, const Path& path, std::uint8_t* message) {
  for (std::size_t k = 0; k < code.message_position.size(); ++k) {
    set_bit(message, k, path.u[code.message_position[k]] != 0);
  }
}

bool passes(const PolarCrc& crc, View<const std::uint8_t, 1> message, std::size_t bits) {
  const auto ones = static_cast<std::size_t>(crc.leading_ones);
  const auto length = static_cast<std::size_t>(crc_bits(crc.crc));
  std::vector<std::uint8_t> all(bytes_for_bits(ones + bits));
  for (std::size_t i = 0; i < ones + bits; ++i) {
    set_bit(all.data(), i, i < ones || bit_at(message.data(), i - ones));
  }
  const std::uint32_t parity = ref::crc(crc.crc, all, ones + bits - length) ^ crc.mask;
  for (std::size_t i = 0; i < length; ++i) {
    if (bit_at(message.data(), bits - 1 - i) != (((parity >> i) & 1) != 0)) return false;
  }
  return true;
}

}  // namespace

void polar_codeword(const PolarCode& code, View<const std::uint8_t, 1> message,
                    View<std::uint8_t, 1> codeword) {
  const std::vector<std::uint8_t> u = place(code, message);
  for (std::size_t j = 0; j < u.size(); ++j) {
    int sum = 0;  // (G_N)_ij = 1 where every one of j's digits is one of i's
    for (std::size_t i = 0; i < u.size(); ++i) sum ^= (i & j) == j ? u[i] : 0;
    set_bit(codeword.data(), j, sum != 0);
  }
}

void polar_rate_match(const PolarCode& code, View<const std::uint8_t, 1> codeword,
                      View<std::uint8_t, 1> out, std::size_t out_bit) {
  for (std::size_t k = 0; k < code.selected.size(); ++k) {
    const std::size_t e = code.triangle.empty() ? k : code.triangle[k];
    const std::size_t d = code.subblock_position[code.selected[e]];
    set_bit(out.data(), out_bit + k, bit_at(codeword.data(), d));
  }
}

void polar_encode(const PolarCode& code, View<const std::uint8_t, 1> message,
                  View<std::uint8_t, 1> out, std::size_t out_bit) {
  std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(code.block_bits)));
  polar_codeword(code, message, codeword);
  polar_rate_match(code, codeword, out, out_bit);
}

void polar_rate_recover(const PolarCode& code, View<const double, 1> coded, double known,
                        View<double, 1> out) {
  std::fill(out.begin(), out.end(), 0.0);
  for (std::size_t k = 0; k < coded.size(); ++k) {
    const std::size_t e = code.triangle.empty() ? k : code.triangle[k];
    out[code.subblock_position[code.selected[e]]] += coded[k];
  }
  if (code.selection == PolarSelection::shorten) {
    for (std::size_t i = coded.size(); i < out.size(); ++i) out[code.subblock_position[i]] = known;
  }
}

PolarDecoded polar_decode(const PolarCode& code, View<const double, 1> coded, int list,
                          const std::optional<PolarCrc>& crc, View<std::uint8_t, 1> message) {
  assert(coded.size() == static_cast<std::size_t>(code.config.coded_bits) && list >= 1);
  const auto n = static_cast<std::size_t>(code.block_bits);
  Path first;
  for (int stage = 0; stage <= code.stages; ++stage) {
    first.soft.emplace_back(std::size_t{1} << stage);
  }
  first.bits.resize(n);
  first.u.resize(n);
  polar_rate_recover(code, coded, 1e9, first.soft.back());
  Decoder decoder{code, static_cast<std::size_t>(list), {first}};
  decoder.node(static_cast<std::size_t>(code.stages), 0);
  std::ranges::stable_sort(decoder.paths, {}, &Path::metric);
  PolarDecoded result;
  if (crc) {
    for (const Path& path : decoder.paths) {
      message_of(code, path, message.data());
      result.metric = static_cast<int>(std::min(path.metric, 1e9));
      if (passes(*crc, message, code.message_position.size())) {
        result.crc_ok = true;
        return result;
      }
      ++result.rank;
    }
  }
  result.rank = 0;
  result.metric = static_cast<int>(std::min(decoder.paths.front().metric, 1e9));
  message_of(code, decoder.paths.front(), message.data());
  return result;
}

}  // namespace noroshi::fec::ref
