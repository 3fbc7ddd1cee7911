#include "fec/uci/pucch_uci.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <string>

#include "fec/bits/bits.h"

namespace noroshi::fec {
namespace {

Error wrong(const char* field, int value, const std::string& why) {
  return Error{std::string(field) + " " + std::to_string(value) + " " + why};
}

bool has_small_factors(int number) {
  for (const int factor : {2, 3, 5}) {
    while (number % factor == 0) number /= factor;
  }
  return number == 1;
}

Result<void> check(const PucchUciConfig& config) {
  const bool short_format = config.format == 2;
  if (config.format < 2 || config.format > 4) {
    return wrong("format", config.format, "is not 2, 3 or 4");
  }
  if (config.symbols < (short_format ? 1 : 4) ||
      config.symbols > (short_format ? 2 : nr::symbols_per_slot)) {
    return wrong("symbols", config.symbols, short_format ? "is not 1..2" : "is not 4..14");
  }
  if (config.rbs < 1 || config.rbs > (config.format == 4 ? 1 : 16) ||
      (config.format == 3 && !has_small_factors(config.rbs))) {
    return wrong("rbs", config.rbs, "is no size of format " + std::to_string(config.format));
  }
  if (config.bits_per_symbol != 2 && (short_format || config.bits_per_symbol != 1)) {
    return wrong("bits_per_symbol", config.bits_per_symbol,
                 short_format ? "is not 2" : "is not 1 or 2");
  }
  if (config.format == 4 && config.spreading != 2 && config.spreading != 4) {
    return wrong("spreading", config.spreading, "is not 2 or 4");
  }
  if (config.bits < 1 || config.bits > uci_bits_max) {
    return wrong("bits", config.bits, "is not 1.." + std::to_string(uci_bits_max));
  }
  if (config.csi2_bits < 0 || config.csi2_bits > uci_bits_max) {
    return wrong("csi2_bits", config.csi2_bits, "is not 0.." + std::to_string(uci_bits_max));
  }
  if (config.csi2_bits > 0 && short_format) {
    return wrong("csi2_bits", config.csi2_bits, "on format 2");
  }
  if (config.csi2_bits > 0 && (config.max_code_rate_x100 < 1 || config.max_code_rate_x100 > 100)) {
    return wrong("max_code_rate_x100", config.max_code_rate_x100, "is not 1..100");
  }
  return {};
}

// Distances of the symbols with UCI to the next DM-RS: the number of the set S that 6.3.1.6 has
// them in.
std::array<int, nr::symbols_per_slot> distances(int symbols, std::uint16_t dmrs_mask) {
  std::array<int, nr::symbols_per_slot> result{};
  std::size_t number = 0;
  for (int l = 0; l < symbols; ++l) {
    if ((dmrs_mask >> l & 1) != 0) continue;
    int distance = 1;
    while (!((l >= distance && (dmrs_mask >> (l - distance) & 1) != 0) ||
             (dmrs_mask >> (l + distance) & 1) != 0)) {
      ++distance;
    }
    result[number++] = distance;
  }
  return result;
}

// TS 38.212 6.3.1.6.
void place_parts(const std::array<int, nr::symbols_per_slot>& distance, PucchUciLayout& layout) {
  int left = layout.parts[0].coded_bits / layout.bits_per_symbol;
  for (int set = 1; left > 0; ++set) {
    assert(set < nr::symbols_per_slot);
    const int members =
        static_cast<int>(std::count(distance.begin(), distance.begin() + layout.symbols, set));
    if (members == 0) continue;
    const int most = std::min(left, members * layout.symbol_elements);
    int more = most % members;  // symbols with one more
    for (int l = 0; l < layout.symbols; ++l) {
      if (distance[static_cast<std::size_t>(l)] != set) continue;
      layout.part1_elements[static_cast<std::size_t>(l)] = most / members + (more > 0 ? 1 : 0);
      if (more > 0) --more;
    }
    left -= most;
  }
}

}  // namespace

std::uint16_t pucch_dmrs_mask(int symbols, bool additional_dmrs, bool hopping) {
  assert(symbols >= 4 && symbols <= nr::symbols_per_slot);
  const auto mask = [](std::initializer_list<int> positions) {
    int bits = 0;
    for (const int l : positions) bits |= 1 << l;
    return static_cast<std::uint16_t>(bits);
  };
  const bool more = additional_dmrs;
  switch (symbols) {
    case 4:
      return hopping ? mask({0, 2}) : mask({1});
    case 5:
      return mask({0, 3});
    case 6:
    case 7:
      return mask({1, 4});
    case 8:
      return mask({1, 5});
    case 9:
      return mask({1, 6});
    case 10:
      return more ? mask({1, 3, 6, 8}) : mask({2, 7});
    case 11:
      return more ? mask({1, 3, 6, 9}) : mask({2, 7});
    case 12:
      return more ? mask({1, 4, 7, 10}) : mask({2, 8});
    case 13:
      return more ? mask({1, 4, 7, 11}) : mask({2, 9});
    default:
      return more ? mask({1, 5, 8, 12}) : mask({3, 10});
  }
}

Result<PucchUciLayout> make_pucch_uci_layout(const PucchUciConfig& config) {
  if (auto checked = check(config); !checked) return checked.error();
  PucchUciLayout layout;
  const int qm = config.bits_per_symbol;
  layout.bits_per_symbol = qm;
  std::uint16_t dmrs_mask = 0;
  if (config.format == 2) {
    layout.symbols = config.symbols;
    layout.symbol_elements = 8 * config.rbs;
  } else {
    dmrs_mask = pucch_dmrs_mask(config.symbols, config.additional_dmrs, config.hopping);
    layout.symbols = config.symbols - std::popcount(dmrs_mask);
    layout.symbol_elements = config.format == 3 ? 12 * config.rbs : 12 / config.spreading;
  }
  const int all = layout.coded_bits();
  layout.parts[0] = {config.bits, all, qm, config.false_alarm};
  layout.parts[1] = {0, 0, qm, config.false_alarm};
  if (config.csi2_bits == 0) {
    std::fill_n(layout.part1_elements.begin(), layout.symbols, layout.symbol_elements);
    return layout;
  }
  const int weighted = 100 * (config.bits + uci_crc_bits(config.bits));
  const int divisor = config.max_code_rate_x100 * qm;
  layout.parts[0].coded_bits = std::min(all, (weighted + divisor - 1) / divisor * qm);
  layout.parts[1].bits = std::max(3, config.csi2_bits);
  layout.parts[1].coded_bits = all - layout.parts[0].coded_bits;
  if (layout.parts[1].coded_bits == 0) {
    return wrong("csi2_bits", config.csi2_bits,
                 "have no room: part 1 takes all " + std::to_string(all) + " coded bits");
  }
  place_parts(distances(config.symbols, dmrs_mask), layout);
  return layout;
}

void pucch_uci_multiplex(const PucchUciLayout& layout, View<const std::uint8_t, 1> part1,
                         View<const std::uint8_t, 1> part2, View<std::uint8_t, 1> codeword) {
  const auto size = [](int count) { return static_cast<std::size_t>(count); };
  assert(codeword.size() == bytes_for_bits(size(layout.coded_bits())));
  assert(part1.size() >= bytes_for_bits(size(layout.parts[0].coded_bits)));
  assert(part2.size() >= bytes_for_bits(size(layout.parts[1].coded_bits)));
  if (!codeword.empty()) codeword[codeword.size() - 1] = 0;
  std::size_t at = 0;
  std::size_t from1 = 0;
  std::size_t from2 = 0;
  const std::size_t all = size(layout.symbol_elements * layout.bits_per_symbol);
  for (int l = 0; l < layout.symbols; ++l) {
    const std::size_t bits1 = size(layout.part1_elements[size(l)] * layout.bits_per_symbol);
    copy_bits(codeword.data(), at, part1.data(), from1, bits1);
    copy_bits(codeword.data(), at + bits1, part2.data(), from2, all - bits1);
    at += all;
    from1 += bits1;
    from2 += all - bits1;
  }
}

void pucch_uci_demultiplex(const PucchUciLayout& layout, View<const SoftBit, 1> soft_bits,
                           View<SoftBit, 1> part1, View<SoftBit, 1> part2) {
  const auto size = [](int count) { return static_cast<std::size_t>(count); };
  assert(soft_bits.size() == size(layout.coded_bits()));
  assert(part1.size() == size(layout.parts[0].coded_bits));
  assert(part2.size() == size(layout.parts[1].coded_bits));
  const SoftBit* from = soft_bits.data();
  SoftBit* to1 = part1.data();
  SoftBit* to2 = part2.data();
  const std::size_t all = size(layout.symbol_elements * layout.bits_per_symbol);
  for (int l = 0; l < layout.symbols; ++l) {
    const std::size_t bits1 = size(layout.part1_elements[size(l)] * layout.bits_per_symbol);
    to1 = std::copy_n(from, bits1, to1);
    to2 = std::copy_n(from + bits1, all - bits1, to2);
    from += all;
  }
}

}  // namespace noroshi::fec
