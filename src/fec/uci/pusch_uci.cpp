#include "fec/uci/pusch_uci.h"

#include <algorithm>
#include <cassert>
#include <cstring>

#include "fec/bits/bits.h"
#include "fec/small_block/small_block.h"

namespace noroshi::fec {
namespace {

constexpr PuschPart control_parts[] = {PuschPart::csi1, PuschPart::csi2, PuschPart::harq};

std::size_t size_of(int count) { return static_cast<std::size_t>(count); }

// Calls visit(bit of the codeword, kind) for the placeholders that are sent, a y after the bit that
// it repeats.
template <class Visit>
void for_placeholders(const PuschUciLayout& layout, Visit visit) {
  const int qm = layout.bits_per_symbol();
  const int width = layout.element_bits();
  for (const PuschPart part : control_parts) {
    const int bits = layout.information_bits(part);
    if (bits < 1 || bits > 2 || qm == 1) continue;
    const SmallBlock block{bits, layout.coded_bits(part), qm};
    const View<const int, 1> punctured = layout.punctured(part);
    const int* overwritten = punctured.begin();
    int number = 0;  // of the element in its part
    for (const ElementRun& run : layout.runs(part)) {
      for (int element = run.first; element < run.first + run.count; ++element, ++number) {
        if (overwritten != punctured.end() && *overwritten == number) {
          ++overwritten;
          continue;
        }
        for (int i = 0; i < width; ++i) {
          const CodedBit kind = small_block_coded_bit(block, i);
          if (kind != CodedBit::bit) visit(size_of(element * width + i), kind);
        }
      }
    }
  }
}

}  // namespace

void pusch_uci_multiplex(const PuschUciLayout& layout, const PuschCodedBits& parts,
                         View<std::uint8_t, 1> codeword) {
  const std::size_t width = size_of(layout.element_bits());
  assert(bytes_for_bits(size_of(layout.coded_bits())) == codeword.size());
  std::fill_n(codeword.data(), codeword.size(), std::uint8_t{0});
  // HARQ-ACK last: it overwrites.
  for (const PuschPart part :
       {PuschPart::ul_sch, PuschPart::csi1, PuschPart::csi2, PuschPart::harq}) {
    const View<const std::uint8_t, 1> coded = parts.of[static_cast<std::size_t>(part)];
    assert(bytes_for_bits(size_of(layout.coded_bits(part))) <= coded.size());
    std::size_t from = 0;
    for (const ElementRun& run : layout.runs(part)) {
      const std::size_t bits = size_of(run.count) * width;
      copy_bits(codeword.data(), size_of(run.first) * width, coded.data(), from, bits);
      from += bits;
    }
  }
}

void pusch_uci_demultiplex(const PuschUciLayout& layout, View<const SoftBit, 1> soft_bits,
                           const PuschSoftBits& parts) {
  const std::size_t width = size_of(layout.element_bits());
  assert(soft_bits.size() == size_of(layout.coded_bits()));
  for (const PuschPart part :
       {PuschPart::ul_sch, PuschPart::harq, PuschPart::csi1, PuschPart::csi2}) {
    const View<SoftBit, 1> to = parts.of[static_cast<std::size_t>(part)];
    assert(to.size() == size_of(layout.coded_bits(part)));
    SoftBit* next = to.data();
    for (const ElementRun& run : layout.runs(part)) {
      const std::size_t bits = size_of(run.count) * width;
      std::memcpy(next, soft_bits.data() + size_of(run.first) * width, bits);
      next += bits;
    }
    for (const int element : layout.punctured(part)) {
      std::memset(to.data() + size_of(element) * width, 0, width);
    }
  }
}

void pusch_uci_scramble_placeholders(const PuschUciLayout& layout, View<std::uint8_t, 1> codeword) {
  assert(bytes_for_bits(size_of(layout.coded_bits())) <= codeword.size());
  for_placeholders(layout, [&](std::size_t bit, CodedBit kind) {
    set_bit(codeword.data(), bit, kind == CodedBit::one || bit_at(codeword.data(), bit - 1));
  });
}

void pusch_uci_descramble_placeholders(const PuschUciLayout& layout,
                                       View<const std::uint8_t, 1> scrambling,
                                       View<SoftBit, 1> soft_bits) {
  assert(bytes_for_bits(size_of(layout.coded_bits())) <= scrambling.size());
  assert(soft_bits.size() == size_of(layout.coded_bits()));
  for_placeholders(layout, [&](std::size_t bit, CodedBit kind) {
    const int soft = std::max<int>(soft_bits[bit], -soft_bit_max);
    const bool turned = bit_at(scrambling.data(), bit) != bit_at(scrambling.data(), bit - 1);
    soft_bits[bit] =
        kind == CodedBit::one ? SoftBit{0} : static_cast<SoftBit>(turned ? -soft : soft);
  });
}

}  // namespace noroshi::fec
