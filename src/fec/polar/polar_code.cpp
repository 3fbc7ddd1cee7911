// The construction of TS 38.212 5.3.1.2 and 5.4.1.

#include <algorithm>
#include <array>
#include <bit>
#include <bitset>
#include <cassert>

#include "fec/polar/polar.h"
#include "fec/polar/polar_steps.h"
#include "fec/polar/polar_tables.h"

namespace noroshi::fec {
namespace {

constexpr int input_bits_max = 164;  // K_IL^max

int parity_bits_of(const PolarConfig& c) {
  return !c.interleave_input && c.message_bits >= 18 && c.message_bits <= 25 ? 3 : 0;
}

// n of 5.3.1.
int stages_of(const PolarConfig& c) {
  const int k = c.message_bits;
  const int e = c.coded_bits;
  const int ceil_log2 = std::bit_width(static_cast<unsigned>(e) - 1);
  const bool shorter = 8 * e <= 9 * (1 << (ceil_log2 - 1)) && 16 * k < 9 * e;
  const int by_coded = shorter ? ceil_log2 - 1 : ceil_log2;
  const int by_rate = std::bit_width(static_cast<unsigned>(8 * k) - 1);  // at least rate 1/8
  return std::max(std::min({by_coded, by_rate, c.n_max}), 5);
}

// Bits of u that rate matching freezes: Q_F,tmp of 5.4.1.1.
std::bitset<polar_block_bits_max> frozen_by_matching(const PolarCode& code) {
  const int n = code.block_bits;
  const int e = code.config.coded_bits;
  std::bitset<polar_block_bits_max> frozen;
  if (code.selection == PolarSelection::puncture) {
    for (int i = 0; i < n - e; ++i) {
      frozen[code.subblock_position[static_cast<std::size_t>(i)]] = true;
    }
    // ceil(3N/4 - E/2) or ceil(9N/16 - E/4)
    const int first = 4 * e >= 3 * n ? (3 * n - 2 * e + 3) / 4 : (9 * n - 4 * e + 15) / 16;
    for (int i = 0; i < first; ++i) frozen[static_cast<std::size_t>(i)] = true;
  } else if (code.selection == PolarSelection::shorten) {
    for (int i = e; i < n; ++i) {
      frozen[code.subblock_position[static_cast<std::size_t>(i)]] = true;
    }
  }
  return frozen;
}

// Fills information and parity_position; false where there is no room.
bool choose_information(PolarCode& code) {
  const std::bitset<polar_block_bits_max> frozen = frozen_by_matching(code);
  const auto wanted = static_cast<std::size_t>(code.config.message_bits + code.parity_bits);
  std::vector<std::uint16_t>& by_reliability = code.information;  // the most reliable first
  for (int i = polar_block_bits_max - 1; i >= 0 && by_reliability.size() < wanted; --i) {
    const std::uint16_t position = polar_sequence[i];
    if (position < code.block_bits && !frozen[position]) by_reliability.push_back(position);
  }
  if (by_reliability.size() < wanted) return false;
  if (code.parity_bits != 0) {
    const bool by_weight = code.config.coded_bits - code.config.message_bits + 3 > 192;  // n_PC^wm
    const auto least = static_cast<std::ptrdiff_t>(code.parity_bits - (by_weight ? 1 : 0));
    code.parity_position.assign(by_reliability.end() - least, by_reliability.end());
    if (by_weight) {  // among all but the n_PC least reliable; of equal weight the most reliable
      code.parity_position.push_back(*std::min_element(
          by_reliability.begin(), by_reliability.end() - code.parity_bits,
          [](std::uint16_t a, std::uint16_t b) { return std::popcount(a) < std::popcount(b); }));
    }
    std::ranges::sort(code.parity_position);
  }
  std::ranges::sort(by_reliability);
  return true;
}

bool is_parity(const PolarCode& code, std::uint16_t position) {
  return std::ranges::find(code.parity_position, position) != code.parity_position.end();
}

void place_message(PolarCode& code) {
  const int k_bits = code.config.message_bits;
  std::array<std::uint16_t, polar_block_bits_max> order;  // c'(k) = c(order[k])
  std::size_t ordered = 0;
  for (const std::uint8_t m : polar_input_interleaver) {
    if (!code.config.interleave_input) break;
    const int from = m - (input_bits_max - k_bits);
    if (from >= 0) order[ordered++] = static_cast<std::uint16_t>(from);
  }
  for (int k = 0; !code.config.interleave_input && k < k_bits; ++k) {
    order[ordered++] = static_cast<std::uint16_t>(k);
  }
  code.message_position.resize(static_cast<std::size_t>(k_bits));
  std::size_t k = 0;
  for (const std::uint16_t position : code.information) {
    if (!is_parity(code, position)) code.message_position[order[k++]] = position;
  }
  assert(k == ordered);
}

void gather_runs(PolarCode& code) {
  const auto& position = code.message_position;
  for (std::size_t k = 0; k < position.size();) {
    std::size_t count = 1;
    while (k + count < position.size() && position[k + count] == position[k] + count &&
           position[k + count] % 64 != 0) {
      ++count;
    }
    code.message_runs.push_back(
        {position[k], static_cast<std::uint16_t>(k), ~0ull >> (64 - count)});
    k += count;
  }
  if (2 * code.message_runs.size() > position.size()) code.message_runs.clear();
}

// The triangle of 5.4.1.3 is filled by rows and read by columns.
void fill_triangle(int e, std::vector<std::uint16_t>& order) {
  int side = 0;
  while (side * (side + 1) / 2 < e) ++side;
  for (int column = 0; column < side; ++column) {
    int at = column;
    for (int row = 0; row < side - column && at < e; ++row) {
      order.push_back(static_cast<std::uint16_t>(at));
      at += side - row;
    }
  }
}

void place_coded(PolarCode& code) {
  const int n = code.block_bits;
  const int e = code.config.coded_bits;
  for (int k = 0; k < e; ++k) {
    const int y = code.selection == PolarSelection::repeat     ? k % n
                  : code.selection == PolarSelection::puncture ? k + n - e
                                                               : k;
    code.selected.push_back(static_cast<std::uint16_t>(y));
  }
  if (code.config.interleave_coded) fill_triangle(e, code.triangle);
  for (std::size_t i = 0; i < static_cast<std::size_t>(e); ++i) {
    const std::size_t k = code.triangle.empty() ? i : code.triangle[i];
    code.coded_source.push_back(code.subblock_position[code.selected[k]]);
  }
}

}  // namespace

Refusal refuse(const PolarConfig& c) {
  if (c.n_max != 9 && c.n_max != 10) return {"polar code: n_max", double(c.n_max), "9, 10"};
  const int k_max = c.interleave_input ? input_bits_max : polar_message_bits_max;
  if (c.message_bits < polar_message_bits_min || c.message_bits > k_max)
    return {"polar code: message_bits", double(c.message_bits),
            c.interleave_input ? "12 to 164" : "12 to 1023"};
  const int e_min = c.message_bits + parity_bits_of(c);
  if (c.coded_bits < e_min || c.coded_bits > polar_coded_bits_max)
    return {"polar code: coded_bits", double(c.coded_bits),
            "as many as message and parity-check bits, up to 8192"};
  if (const int n = 1 << stages_of(c); e_min > n)
    return {"polar code: message_bits", double(c.message_bits),
            "as many as the block has room for beside parity-check bits"};
  return {};
}

Result<void> check(const PolarConfig& c) { return as_result(refuse(c)); }

void reserve(PolarCode& code) {
  constexpr std::size_t n = polar_block_bits_max;
  constexpr std::size_t e = polar_coded_bits_max;
  // Each node of the tree adds at most 4 steps, a leaf 2.
  constexpr std::size_t steps = 6 * n;
  for (auto* of_block :
       {&code.information, &code.parity_position, &code.message_position, &code.subblock_position})
    of_block->reserve(n);
  for (auto* of_coded : {&code.selected, &code.triangle, &code.coded_source}) of_coded->reserve(e);
  code.message_runs.reserve(n);
  code.single_steps.reserve(steps);
  code.list_steps.reserve(steps);
}

Result<PolarCode> make_polar_code(const PolarConfig& config) {
  PolarCode code;
  if (const Refusal no = make_polar_code(config, code)) return Error{words_of(no)};
  return code;
}

Refusal make_polar_code(const PolarConfig& config, PolarCode& code) {
  if (const Refusal no = refuse(config)) return no;
  for (auto* positions :
       {&code.information, &code.parity_position, &code.message_position, &code.selected,
        &code.triangle, &code.coded_source, &code.subblock_position})
    positions->clear();
  code.message_runs.clear();
  code.single_steps.clear();
  code.list_steps.clear();
  code.config = config;
  code.stages = stages_of(config);
  code.block_bits = 1 << code.stages;
  code.parity_bits = parity_bits_of(config);
  code.selection = config.coded_bits >= code.block_bits                ? PolarSelection::repeat
                   : 16 * config.message_bits <= 7 * config.coded_bits ? PolarSelection::puncture
                                                                       : PolarSelection::shorten;
  const int block = code.block_bits / 32;
  for (int i = 0; i < code.block_bits; ++i) {
    code.subblock_position.push_back(
        static_cast<std::uint16_t>(polar_subblock_interleaver[i / block] * block + i % block));
  }
  if (!choose_information(code))
    return {"polar code: message_bits", double(config.message_bits),
            "as many as coded_bits leave room for"};
  place_message(code);
  gather_runs(code);
  place_coded(code);
  make_polar_steps(code);
  return {};
}

}  // namespace noroshi::fec
