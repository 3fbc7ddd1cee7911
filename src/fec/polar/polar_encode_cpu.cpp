// cpu:: encoder: the transform is shifts and XORs of 64-bit words, which needs no vectors.

#include <algorithm>
#include <cassert>

#include "fec/polar/polar.h"
#include "fec/polar/polar_words.h"

namespace noroshi::fec::cpu {
namespace {

PolarWords codeword_of(const PolarCode& code, View<const std::uint8_t, 1> message) {
  assert(bytes_for_bits(code.message_position.size()) <= message.size());
  PolarWords u{};
  for (std::size_t k = 0; k < code.message_position.size(); ++k) {
    polar_word_xor(u, code.message_position[k], bit_at(message.data(), k));
  }
  for (const std::uint16_t parity : code.parity_position) {
    bool sum = false;
    for (const std::uint16_t position : code.information) {
      if (position >= parity) break;
      // Bits that were put in as parity are left out: they sum what is summed already.
      if (position % 5 == parity % 5 && !std::ranges::binary_search(code.parity_position, position))
        sum ^= polar_word_bit(u, position);
    }
    polar_word_xor(u, parity, sum);
  }
  polar_transform(u, code.block_bits);
  return u;
}

void match(const PolarCode& code, const PolarWords& codeword, std::uint8_t* out,
           std::size_t out_bit) {
  const std::size_t bits = code.coded_source.size();
  const std::uint16_t* source = code.coded_source.data();
  std::size_t k = 0;
  for (; k < bits && (out_bit + k) % 8 != 0; ++k) {
    set_bit(out, out_bit + k, polar_word_bit(codeword, source[k]));
  }
  for (; k + 8 <= bits; k += 8) {
    unsigned byte = 0;
    for (std::size_t i = 0; i < 8; ++i) {
      byte = byte << 1 | (polar_word_bit(codeword, source[k + i]) ? 1u : 0u);
    }
    out[(out_bit + k) / 8] = static_cast<std::uint8_t>(byte);
  }
  for (; k < bits; ++k) set_bit(out, out_bit + k, polar_word_bit(codeword, source[k]));
}

}  // namespace

void polar_codeword(const PolarCode& code, View<const std::uint8_t, 1> message,
                    View<std::uint8_t, 1> codeword) {
  assert(bytes_for_bits(static_cast<std::size_t>(code.block_bits)) <= codeword.size());
  const PolarWords words = codeword_of(code, message);
  for (std::size_t i = 0; i < static_cast<std::size_t>(code.block_bits) / 8; ++i) {
    codeword[i] = polar_reversed((words[i / 8] >> (8 * (i % 8))) & 0xff);
  }
}

void polar_rate_match(const PolarCode& code, View<const std::uint8_t, 1> codeword,
                      View<std::uint8_t, 1> out, std::size_t out_bit) {
  assert(bytes_for_bits(static_cast<std::size_t>(code.block_bits)) <= codeword.size());
  assert(bytes_for_bits(out_bit + code.coded_source.size()) <= out.size());
  PolarWords words{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(code.block_bits) / 8; ++i) {
    words[i / 8] |= static_cast<std::uint64_t>(polar_reversed(codeword[i])) << (8 * (i % 8));
  }
  match(code, words, out.data(), out_bit);
}

void polar_encode(const PolarCode& code, View<const std::uint8_t, 1> message,
                  View<std::uint8_t, 1> out, std::size_t out_bit) {
  assert(bytes_for_bits(out_bit + code.coded_source.size()) <= out.size());
  match(code, codeword_of(code, message), out.data(), out_bit);
}

}  // namespace noroshi::fec::cpu
