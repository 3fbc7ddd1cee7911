// cpu:: encoder: the transform is shifts and XORs of 64-bit words, which needs no vectors.

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include "fec/bits/bits.h"
#include "fec/polar/polar.h"
#include "fec/polar/polar_words.h"

namespace noroshi::fec::cpu {
namespace {

void place_message(const PolarCode& code, const std::uint8_t* message, PolarWords& u) {
  const std::size_t bits = code.message_position.size();
  if (code.message_runs.empty()) {
    for (std::size_t k = 0; k < bits; ++k) {
      polar_word_xor(u, code.message_position[k], bit_at(message, k));
    }
    return;
  }
  std::array<std::uint64_t, polar_block_bits_max / 64 + 1> words{};
  for (std::size_t i = 0; i < bytes_for_bits(bits); ++i) {
    words[i / 8] |= static_cast<std::uint64_t>(polar_reversed(message[i])) << (8 * (i % 8));
  }
  for (const PolarRun& run : code.message_runs) {
    const std::size_t shift = run.to % 64;
    const std::uint64_t taken = words[run.to / 64] >> shift | words[run.to / 64 + 1]
                                                                  << 1 << (63 - shift);
    u[run.from / 64] |= (taken & run.mask) << (run.from % 64);
  }
}

PolarWords codeword_of(const PolarCode& code, View<const std::uint8_t, 1> message) {
  assert(bytes_for_bits(code.message_position.size()) <= message.size());
  PolarWords u{};
  place_message(code, message.data(), u);
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

using Packed = std::array<std::uint8_t, polar_block_bits_max / 8>;

Packed packed_of(const PolarCode& code, const PolarWords& words) {
  Packed out;
  for (std::size_t i = 0; i < static_cast<std::size_t>(code.block_bits) / 8; ++i) {
    out[i] = polar_reversed((words[i / 8] >> (8 * (i % 8))) & 0xff);
  }
  return out;
}

// Without the triangle everything moves in stretches.
void match_stretches(const PolarCode& code, const std::uint8_t* d, std::uint8_t* out,
                     std::size_t out_bit) {
  const auto n = static_cast<std::size_t>(code.block_bits);
  const auto e = static_cast<std::size_t>(code.config.coded_bits);
  Packed y{};
  for (std::size_t i = 0; i < n; i += n / 32) {
    copy_bits(y.data(), i, d, code.subblock_position[i], n / 32);
  }
  std::size_t from = code.selected.front();
  for (std::size_t k = 0; k < e; from = 0) {
    const std::size_t count = std::min(n - from, e - k);
    copy_bits(out, out_bit + k, y.data(), from, count);
    k += count;
  }
}

// A byte a bit, so that the permutation moves bytes.
void match_triangle(const PolarCode& code, const std::uint8_t* d, std::uint8_t* out,
                    std::size_t out_bit) {
  constexpr std::uint64_t ones = 0x0101010101010101u;
  std::array<std::uint8_t, polar_block_bits_max> spread;
  for (std::size_t i = 0; i < static_cast<std::size_t>(code.block_bits) / 8; ++i) {
    const std::uint64_t in_place = (d[i] * ones) & 0x0102040810204080u;  // the first bit lowest
    const std::uint64_t eight = ((in_place + 0x7f * ones) >> 7) & ones;
    std::memcpy(spread.data() + 8 * i, &eight, 8);
  }
  const std::size_t bits = code.coded_source.size();
  const std::uint16_t* source = code.coded_source.data();
  std::size_t k = 0;
  for (; k < bits && (out_bit + k) % 8 != 0; ++k) {
    set_bit(out, out_bit + k, spread[source[k]] != 0);
  }
  for (; k + 8 <= bits; k += 8) {
    unsigned byte = 0;
    for (std::size_t i = 0; i < 8; ++i)
      byte |= static_cast<unsigned>(spread[source[k + i]]) << (7 - i);
    out[(out_bit + k) / 8] = static_cast<std::uint8_t>(byte);
  }
  for (; k < bits; ++k) set_bit(out, out_bit + k, spread[source[k]] != 0);
}

void match(const PolarCode& code, const std::uint8_t* d, std::uint8_t* out, std::size_t out_bit) {
  if (code.triangle.empty()) {
    match_stretches(code, d, out, out_bit);
  } else {
    match_triangle(code, d, out, out_bit);
  }
}

}  // namespace

void polar_codeword(const PolarCode& code, View<const std::uint8_t, 1> message,
                    View<std::uint8_t, 1> codeword) {
  assert(bytes_for_bits(static_cast<std::size_t>(code.block_bits)) <= codeword.size());
  const Packed d = packed_of(code, codeword_of(code, message));
  std::copy_n(d.begin(), static_cast<std::size_t>(code.block_bits) / 8, codeword.data());
}

void polar_rate_match(const PolarCode& code, View<const std::uint8_t, 1> codeword,
                      View<std::uint8_t, 1> out, std::size_t out_bit) {
  assert(bytes_for_bits(static_cast<std::size_t>(code.block_bits)) <= codeword.size());
  assert(bytes_for_bits(out_bit + code.coded_source.size()) <= out.size());
  match(code, codeword.data(), out.data(), out_bit);
}

void polar_encode(const PolarCode& code, View<const std::uint8_t, 1> message,
                  View<std::uint8_t, 1> out, std::size_t out_bit) {
  assert(bytes_for_bits(out_bit + code.coded_source.size()) <= out.size());
  match(code, packed_of(code, codeword_of(code, message)).data(), out.data(), out_bit);
}

}  // namespace noroshi::fec::cpu
