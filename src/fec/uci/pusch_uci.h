#pragma once

// UCI on PUSCH: how many resource elements each part gets (TS 38.212 6.3.2.4), where they lie
// (6.2.7), and both directions of the multiplexing. CG-UCI and UCI of two priorities: not here.
//
// Parts: UL-SCH, HARQ-ACK, CSI part 1, CSI part 2. An element is a resource element on all layers:
// N_L Qm consecutive coded bits. Elements count from 0 over the allocation's elements for data,
// symbol by symbol, frequency ascending within.
//
//   Q' = min(ceil((O + L) beta M / K), what is left of ceil(alpha M))      with UL-SCH
//   Q' = min(ceil((O + L) beta / (R Qm)), what is left of M)               without; the last CSI
//                                                                          part takes all that is
//                                                                          left
//   G = N_L Qm Q'
//
//   O: bits, L: of its CRC, M: elements for UCI (on symbols without DM-RS), K: sum of the UL-SCH's
//   code block sizes. For HARQ-ACK M in alpha M counts from the first symbol after DM-RS.
//
// HARQ-ACK of more than 2 bits is taken out before CSI and UL-SCH are laid. For 0 to 2 bits the
// elements for 2 bits are reserved: CSI part 1 avoids them, CSI part 2 and UL-SCH fill them, and
// HARQ-ACK then overwrites (punctures) what it needs of them.
//
// With frequency hopping every part is halved between the hops. Where the halves do not fit behind
// their hop's DM-RS, the clause's loops go on in the second hop, and so does the layout; where they
// would leave the PUSCH or lay HARQ-ACK on itself, the clause is undefined and the layout refuses.

#include <array>
#include <cstdint>
#include <vector>

#include "base/refusal.h"
#include "base/result.h"
#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"

namespace noroshi::fec {

inline constexpr int pusch_elements_max = nr::rb_max * 12 * nr::symbols_per_slot;

struct PuschUciConfig {
  int symbols = nr::symbols_per_slot;                     // of the PUSCH, those with DM-RS too
  std::array<int, nr::symbols_per_slot> data_elements{};  // in symbol l of the PUSCH, on one layer,
                                                          // without DM-RS and PT-RS
  std::uint16_t dmrs_mask = 0;                            // bit l: symbol l of the PUSCH has DM-RS
  int hop_symbol = 0;                                     // first of the second hop; 0: no hopping
  int layers = 1;                                         // N_L
  int bits_per_symbol = 2;                                // Qm
  int code_block_bits = 0;   // sum of K_r, fillers and CRC included; 0: no UL-SCH
  int code_rate_x10240 = 0;  // R; matters without UL-SCH

  int harq_bits = 0;  // O_ACK, see pusch_harq_bits()
  int csi1_bits = 0;
  int csi2_bits = 0;     // needs CSI part 1
  int harq_beta_x8 = 0;  // beta offset times 8; for HARQ-ACK of 0 bits too, which reserves
  int csi1_beta_x8 = 0;
  int csi2_beta_x8 = 0;
  int alpha_x100 = 100;  // 50, 65, 80, 100
};

// O_ACK as it is sent (6.3.2.1.1): at least 2 with CSI part 1 alone and without UL-SCH, zeros
// behind the given bits.
constexpr int pusch_harq_bits(int harq_bits, bool ul_sch, int csi1_bits, int csi2_bits) {
  return !ul_sch && csi1_bits > 0 && csi2_bits == 0 && harq_bits < 2 ? 2 : harq_bits;
}

// TS 38.213 tables 9.3-1 and 9.3-2, times 8. Errors: a reserved or nonexistent index.
Result<int> harq_beta_offset_x8(int index);
Result<int> csi_beta_offset_x8(int index);

// What an allocation fixes and what pusch.uci says: symbols, elements, DM-RS, hops, layers, Qm, R,
// with UL-SCH (tb_bits > 0) the code blocks; UCI bits as they are sent (pusch_harq_bits), betas,
// alpha. Errors: a transport block that has no segmentation. Precondition: that of
// nr::find_data_elements.
Result<PuschUciConfig> pusch_uci_config(const nr::SharedChannel& pusch);
Refusal pusch_uci_config(const nr::SharedChannel& pusch, PuschUciConfig& config);

enum class PuschPart : std::uint8_t { ul_sch, harq, csi1, csi2 };
inline constexpr int pusch_parts = 4;

struct ElementRun {
  int first = 0;
  int count = 0;
};

// Which elements carry what; written by make_pusch_uci_layout, which does not allocate.
class PuschUciLayout {
 public:
  PuschUciLayout();

  int element_bits() const { return element_bits_; }        // N_L Qm
  int bits_per_symbol() const { return bits_per_symbol_; }  // Qm
  int elements() const { return elements_; }
  int coded_bits() const { return elements_ * element_bits_; }  // G of all
  int elements(PuschPart part) const { return counts_[index(part)]; }
  int coded_bits(PuschPart part) const { return elements(part) * element_bits_; }
  int information_bits(PuschPart part) const { return bits_[index(part)]; }  // O; UL-SCH: 0
  // In the order of the part's coded bits. An element of HARQ-ACK of 1 or 2 bits is also one of
  // UL-SCH or CSI part 2.
  View<const ElementRun, 1> runs(PuschPart part) const;
  // The part's own elements (0 for its first) that HARQ-ACK overwrites, ascending.
  View<const int, 1> punctured(PuschPart part) const;

 private:
  friend class PuschUciPlacing;
  static constexpr std::size_t index(PuschPart part) { return static_cast<std::size_t>(part); }

  struct Stretch {
    std::size_t begin = 0;
    std::size_t end = 0;
  };
  int element_bits_ = 0;
  int bits_per_symbol_ = 0;
  int elements_ = 0;
  std::array<int, pusch_parts> counts_{};
  std::array<int, pusch_parts> bits_{};
  std::array<Stretch, pusch_parts> run_stretches_{};
  std::array<Stretch, pusch_parts> punctured_stretches_{};
  std::vector<ElementRun> runs_;
  std::vector<int> punctured_;
  std::vector<std::uint8_t> owners_;  // scratch
};

// Errors name the field and its value: an allocation that does not exist, a hop without DM-RS, UCI
// bits, beta or alpha out of range, CSI part 2 without part 1, a part that gets no element, a case
// that the clause leaves undefined. The layout is unusable after an error.
Result<void> make_pusch_uci_layout(const PuschUciConfig& config, PuschUciLayout& layout);
Refusal place_pusch_uci(const PuschUciConfig& config, PuschUciLayout& layout);  // the same

// The coded bits of the parts, coded_bits(part) each; packed, or soft bits.
struct PuschCodedBits {
  std::array<View<const std::uint8_t, 1>, pusch_parts> of;
};
struct PuschSoftBits {
  std::array<View<SoftBit, 1>, pusch_parts> of;
};

// Preconditions of all that follow: the layout is made, the views have its sizes.

// The codeword, bytes_for_bits(coded_bits()) bytes. Bits that nothing fills are 0.
void pusch_uci_multiplex(const PuschUciLayout& layout, const PuschCodedBits& parts,
                         View<std::uint8_t, 1> codeword);

// Soft bits that HARQ-ACK overwrote are 0 in UL-SCH and CSI part 2.
void pusch_uci_demultiplex(const PuschUciLayout& layout, View<const SoftBit, 1> soft_bits,
                           const PuschSoftBits& parts);

// Placeholders of parts of 1 and 2 bits (TS 38.211 6.3.1.1, small_block.h), in place. scrambling:
// the sequence c, packed, coded_bits() bits.
//
// codeword: scrambled as if there were no placeholders; x becomes 1, y the bit before it.
void pusch_uci_scramble_placeholders(const PuschUciLayout& layout, View<std::uint8_t, 1> codeword);
// soft_bits: descrambled as if there were no placeholders; x becomes 0 (unknown), y gets the sign
// that the bit before it was scrambled with.
void pusch_uci_descramble_placeholders(const PuschUciLayout& layout,
                                       View<const std::uint8_t, 1> scrambling,
                                       View<SoftBit, 1> soft_bits);

namespace ref {

// The clause step by step: the elements of each part in the order of its coded bits, with sets as
// it has them. Preconditions: make_pusch_uci_layout accepts the config.
std::array<std::vector<int>, pusch_parts> pusch_uci_elements(const PuschUciConfig& config);

}  // namespace ref
}  // namespace noroshi::fec
