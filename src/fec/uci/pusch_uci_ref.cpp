#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <set>

#include "fec/uci/pusch_uci.h"
#include "fec/uci/pusch_uci_rates.h"

namespace noroshi::fec::ref {
namespace {

// The sets and counters of TS 38.212 6.2.7 by its names, in bits. k counts the elements for data.
struct State {
  int symbols = 0;
  int width = 0;                      // N_L Qm
  std::vector<std::set<int>> ul_sch;  // of each l
  std::vector<std::set<int>> uci;
  std::vector<std::set<int>> rvd;
};

int nth(const std::set<int>& elements, int n) { return *std::next(elements.begin(), n); }

std::set<int> without(const std::set<int>& all, const std::set<int>& some) {
  std::set<int> rest;
  std::set_difference(all.begin(), all.end(), some.begin(), some.end(),
                      std::inserter(rest, rest.end()));
  return rest;
}

struct Step {
  int d = 1;
  int count = 0;
};

Step step_of(int missing_bits, int elements, int width) {
  if (missing_bits >= elements * width) return {1, elements};
  return {elements * width / missing_bits, (missing_bits + width - 1) / width};
}

// Lays bits(i) of hop i from symbol start[i] on, over those elements of a symbol that `choose`
// gives. Taken elements leave the symbol's sets when `remove`.
template <class Choose>
std::vector<std::pair<int, int>> lay(State& state, const std::array<int, 2>& bits,
                                     const std::array<int, 2>& start, bool remove, Choose choose) {
  std::vector<std::pair<int, int>> elements;  // (l, k)
  for (std::size_t i = 0; i < 2; ++i) {
    int l = start[i];
    for (int counted = 0; counted < bits[i]; ++l) {
      assert(l < state.symbols);
      const std::set<int> candidates = choose(l);
      if (candidates.empty()) continue;
      const Step step =
          step_of(bits[i] - counted, static_cast<int>(candidates.size()), state.width);
      std::set<int> taken;
      for (int j = 0; j < step.count; ++j) {
        const int k = nth(candidates, j * step.d);
        elements.emplace_back(l, k);
        taken.insert(k);
        counted += state.width;
      }
      if (!remove) continue;
      state.uci[static_cast<std::size_t>(l)] =
          without(state.uci[static_cast<std::size_t>(l)], taken);
      state.ul_sch[static_cast<std::size_t>(l)] =
          without(state.ul_sch[static_cast<std::size_t>(l)], taken);
    }
  }
  return elements;
}

}  // namespace

std::array<std::vector<int>, pusch_parts> pusch_uci_elements(const PuschUciConfig& config) {
  PuschRates made;
  const Refusal refused = pusch_uci_rates(config, made);
  assert(!refused);
  static_cast<void>(refused);
  const PuschRates* const rates = &made;
  assert(rates);
  State state;
  state.symbols = config.symbols;
  state.width = config.layers * config.bits_per_symbol;
  for (int l = 0; l < config.symbols; ++l) {
    std::vector<int> all(
        static_cast<std::size_t>(config.data_elements[static_cast<std::size_t>(l)]));
    std::iota(all.begin(), all.end(), 0);
    state.ul_sch.emplace_back(all.begin(), all.end());
    state.uci.push_back((config.dmrs_mask >> l & 1) != 0 ? std::set<int>{} : state.ul_sch.back());
    state.rvd.emplace_back();
  }
  const auto bits = [&](const HopSplit& hops) {
    return std::array<int, 2>{hops.of[0] * state.width, hops.of[1] * state.width};
  };
  const auto of = [](auto& sets, int l) { return sets[static_cast<std::size_t>(l)]; };
  using Elements = std::vector<std::pair<int, int>>;
  Elements harq;
  if (config.harq_bits <= 2) {  // step 1
    const Elements reserved = lay(state, bits(rates->reserved), rates->harq_symbol, false,
                                  [&](int l) { return of(state.uci, l); });
    for (const auto& [l, k] : reserved) state.rvd[static_cast<std::size_t>(l)].insert(k);
  } else {  // step 2
    harq = lay(state, bits(rates->harq), rates->harq_symbol, true,
               [&](int l) { return of(state.uci, l); });
  }
  // Step 3.
  const Elements csi1 = lay(state, bits(rates->csi1), rates->csi_symbol, true,
                            [&](int l) { return without(of(state.uci, l), of(state.rvd, l)); });
  const Elements csi2 = lay(state, bits(rates->csi2), rates->csi_symbol, true,
                            [&](int l) { return of(state.uci, l); });
  // Step 4.
  Elements ul_sch;
  for (int l = 0; l < config.symbols && config.code_block_bits > 0; ++l) {
    for (const int k : of(state.ul_sch, l)) ul_sch.emplace_back(l, k);
  }
  if (config.harq_bits <= 2) {  // step 5
    harq = lay(state, bits(rates->harq), rates->harq_symbol, false,
               [&](int l) { return of(state.rvd, l); });
  }
  std::array<std::vector<int>, pusch_parts> result;
  const Elements* parts[] = {&ul_sch, &harq, &csi1, &csi2};
  for (std::size_t part = 0; part < pusch_parts; ++part) {
    for (const auto& [l, k] : *parts[part]) {
      const auto before = config.data_elements.begin();
      result[part].push_back(std::accumulate(before, before + l, 0) + k);
    }
  }
  return result;
}

}  // namespace noroshi::fec::ref
