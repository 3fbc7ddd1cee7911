#include <algorithm>
#include <cassert>

#include "fec/uci/pusch_uci.h"
#include "fec/uci/pusch_uci_rates.h"

namespace noroshi::fec {
namespace {

// What is known of an element; 0: still free.
constexpr std::uint8_t taken = 1;
constexpr std::uint8_t reserved = 2;   // for HARQ-ACK of up to 2 bits
constexpr std::uint8_t punctured = 4;  // of these, used

}  // namespace

PuschUciLayout::PuschUciLayout() {
  runs_.reserve(2 * pusch_elements_max);
  punctured_.reserve(pusch_elements_max);
  owners_.reserve(pusch_elements_max);
}

View<const ElementRun, 1> PuschUciLayout::runs(PuschPart part) const {
  const Stretch& stretch = run_stretches_[index(part)];
  return {runs_.data() + stretch.begin, stretch.end - stretch.begin};
}

View<const int, 1> PuschUciLayout::punctured(PuschPart part) const {
  const Stretch& stretch = punctured_stretches_[index(part)];
  return {punctured_.data() + stretch.begin, stretch.end - stretch.begin};
}

// One run through the steps of TS 38.212 6.2.7. Elements are counted, not their bits: all G are
// multiples of N_L Qm.
class PuschUciPlacing {
 public:
  PuschUciPlacing(const PuschUciConfig& config, const PuschRates& rates, PuschUciLayout& layout)
      : config_(config), rates_(rates), layout_(layout) {
    int first = 0;
    for (int l = 0; l < config.symbols; ++l) {
      first_[at(l)] = first;
      free_[at(l)] = uci_elements(config, l);
      first += config.data_elements[at(l)];
    }
    layout.elements_ = first;
    layout.element_bits_ = config.layers * config.bits_per_symbol;
    layout.bits_per_symbol_ = config.bits_per_symbol;
    layout.bits_ = {0, config.harq_bits, config.csi1_bits, config.csi2_bits};
    layout.counts_ = {};
    layout.runs_.clear();
    layout.punctured_.clear();
    layout.owners_.assign(static_cast<std::size_t>(first), 0);
  }

  Refusal place() {
    const bool few = config_.harq_bits <= 2;
    if (few && !reserve()) return undefined("harq_bits", config_.harq_bits);
    begin(PuschPart::harq);
    if (config_.harq_bits > 0 && !(few ? puncture() : take(PuschPart::harq, rates_.harq))) {
      return undefined("harq_bits", config_.harq_bits);
    }
    end(PuschPart::harq);
    begin(PuschPart::csi1);
    if (!take(PuschPart::csi1, rates_.csi1)) return undefined("csi1_bits", config_.csi1_bits);
    end(PuschPart::csi1);
    begin(PuschPart::csi2);
    if (!take(PuschPart::csi2, rates_.csi2)) return undefined("csi2_bits", config_.csi2_bits);
    end(PuschPart::csi2);
    begin(PuschPart::ul_sch);
    if (config_.code_block_bits > 0) fill();
    end(PuschPart::ul_sch);
    if (config_.code_block_bits > 0 && layout_.elements(PuschPart::ul_sch) == 0) {
      return {"code_block_bits", double(config_.code_block_bits),
              "0 where UCI leaves no resource element for UL-SCH"};
    }
    return {};
  }

 private:
  static std::size_t at(int l) { return static_cast<std::size_t>(l); }

  static Refusal undefined(const char* field, int bits) {
    return {field, double(bits),
            "as many as fit behind the DM-RS (TS 38.212 6.2.7 is undefined here)"};
  }

  void begin(PuschPart part) {
    layout_.run_stretches_[PuschUciLayout::index(part)].begin = layout_.runs_.size();
    layout_.punctured_stretches_[PuschUciLayout::index(part)].begin = layout_.punctured_.size();
  }
  void end(PuschPart part) {
    layout_.run_stretches_[PuschUciLayout::index(part)].end = layout_.runs_.size();
    layout_.punctured_stretches_[PuschUciLayout::index(part)].end = layout_.punctured_.size();
  }

  // The part's next element.
  void add(PuschPart part, int element) {
    int& count = layout_.counts_[PuschUciLayout::index(part)];
    if (part != PuschPart::harq && (layout_.owners_[at(element)] & punctured) != 0) {
      layout_.punctured_.push_back(count);
    }
    auto& runs = layout_.runs_;
    const std::size_t begin = layout_.run_stretches_[PuschUciLayout::index(part)].begin;
    if (runs.size() > begin && runs.back().first + runs.back().count == element) {
      ++runs.back().count;
    } else {
      runs.push_back({element, 1});
    }
    ++count;
  }

  // All data elements of an untouched symbol.
  void add_symbol(PuschPart part, int l) {
    const int elements = config_.data_elements[at(l)];
    if (elements == 0) return;
    add(part, first_[at(l)]);
    layout_.runs_.back().count += elements - 1;
    layout_.counts_[PuschUciLayout::index(part)] += elements - 1;
  }

  // Neither reserved nor taken from.
  bool untouched(int l) const {
    return reserved_[at(l)] == 0 && free_[at(l)] == uci_elements(config_, l);
  }

  // Visits `count` of the `available` elements of symbol l that are eligible, evenly spaced as the
  // clause wants: each d-th, or all. Returns how many it visited.
  template <class Eligible, class Visit>
  int spread(int l, int available, int count, Eligible eligible, Visit visit) {
    const int spacing = count >= available ? 1 : available / count;
    const int visits = std::min(count, available);
    if (untouched(l)) {
      for (int j = 0; j < visits; ++j) visit(first_[at(l)] + j * spacing);
      return visits;
    }
    int skipped = spacing - 1;  // eligible ones since the last visit
    int done = 0;
    for (int element = first_[at(l)]; done < visits; ++element) {
      if (!eligible(layout_.owners_[at(element)]) || ++skipped < spacing) continue;
      skipped = 0;
      visit(element);
      ++done;
    }
    return done;
  }

  // Step 1.
  bool reserve() {
    for (int hop = 0; hop < rates_.hops; ++hop) {
      int left = rates_.reserved.of[at(hop)];
      for (int l = rates_.harq_symbol[at(hop)]; left > 0; ++l) {
        if (l >= config_.symbols) return false;
        if (reserved_[at(l)] > 0) return false;  // by the hop before
        if (free_[at(l)] == 0) continue;
        const int done = spread(
            l, free_[at(l)], left, [](std::uint8_t) { return true; },
            [&](int element) { layout_.owners_[at(element)] = reserved; });
        reserved_[at(l)] += done;
        left -= done;
      }
    }
    return true;
  }

  // Step 5, ahead of the others because they must know what is punctured.
  bool puncture() {
    for (int hop = 0; hop < rates_.hops; ++hop) {
      int left = rates_.harq.of[at(hop)];
      for (int l = rates_.harq_symbol[at(hop)]; left > 0; ++l) {
        if (l >= config_.symbols) return false;
        if (reserved_[at(l)] == 0) continue;
        bool twice = false;
        left -= spread(
            l, reserved_[at(l)], left, [](std::uint8_t owner) { return (owner & reserved) != 0; },
            [&](int element) {
              std::uint8_t& owner = layout_.owners_[at(element)];
              twice = twice || (owner & punctured) != 0;
              owner = static_cast<std::uint8_t>(owner | punctured);
              add(PuschPart::harq, element);
            });
        if (twice) return false;
      }
    }
    return true;
  }

  // Step 2 (HARQ-ACK) and step 3 (CSI).
  bool take(PuschPart part, const HopSplit& elements) {
    const bool around = part == PuschPart::csi1;  // of what is reserved
    const auto& start = part == PuschPart::harq ? rates_.harq_symbol : rates_.csi_symbol;
    const auto unusable = static_cast<std::uint8_t>(around ? taken | reserved : taken);
    for (int hop = 0; hop < rates_.hops; ++hop) {
      int left = elements.of[at(hop)];
      for (int l = start[at(hop)]; left > 0; ++l) {
        if (l >= config_.symbols) return false;
        const int available = free_[at(l)] - (around ? reserved_[at(l)] : 0);
        if (available <= 0) continue;
        int done = available;
        if (left >= available && untouched(l)) {
          add_symbol(part, l);
          std::fill_n(layout_.owners_.begin() + first_[at(l)], available, taken);
        } else {
          done = spread(
              l, available, left, [&](std::uint8_t owner) { return (owner & unusable) == 0; },
              [&](int element) {
                add(part, element);
                layout_.owners_[at(element)] |= taken;
              });
        }
        free_[at(l)] -= done;
        left -= done;
      }
    }
    return true;
  }

  // Step 4: UL-SCH has what is left.
  void fill() {
    for (int l = 0; l < config_.symbols; ++l) {
      const int elements = config_.data_elements[at(l)];
      if (untouched(l)) {
        add_symbol(PuschPart::ul_sch, l);
        continue;
      }
      for (int k = 0; k < elements; ++k) {
        const int element = first_[at(l)] + k;
        if ((layout_.owners_[at(element)] & taken) == 0) add(PuschPart::ul_sch, element);
      }
    }
  }

  const PuschUciConfig& config_;
  const PuschRates& rates_;
  PuschUciLayout& layout_;
  std::array<int, nr::symbols_per_slot> first_{};
  std::array<int, nr::symbols_per_slot> free_{};      // for UCI
  std::array<int, nr::symbols_per_slot> reserved_{};  // of them
};

Refusal place_pusch_uci(const PuschUciConfig& config, PuschUciLayout& layout) {
  PuschRates rates;
  if (const Refusal no = pusch_uci_rates(config, rates)) return no;
  return PuschUciPlacing(config, rates, layout).place();
}

Result<void> make_pusch_uci_layout(const PuschUciConfig& config, PuschUciLayout& layout) {
  return as_result(place_pusch_uci(config, layout));
}

}  // namespace noroshi::fec
