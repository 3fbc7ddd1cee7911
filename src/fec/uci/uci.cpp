#include "fec/uci/uci.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "fec/bits/bits.h"

namespace noroshi::fec {
namespace {

constexpr std::size_t block_bytes_max = bytes_for_bits(polar_message_bits_max);

std::size_t size_of(int count) { return static_cast<std::size_t>(count); }

// Where block r's bits start in the message, and how many zeros come before them.
struct Slice {
  std::size_t zeros = 0;
  std::size_t first = 0;
  std::size_t bits = 0;
};

Slice slice_of(const UciCode& code, int block) {
  Slice slice;
  slice.zeros = block == 0 ? size_of(code.leading_zeros) : 0;
  slice.first = block == 0 ? 0 : size_of(block * code.block_bits - code.leading_zeros);
  slice.bits = size_of(code.block_bits) - slice.zeros;
  return slice;
}

SmallBlock small_block_of(const UciConfig& config) {
  return {config.bits, config.coded_bits, config.bits_per_symbol};
}

// Of each code block.
PolarConfig polar_of(const UciConfig& config) {
  const int blocks = uci_code_blocks(config.bits, config.coded_bits);
  const int bits = (config.bits + config.bits % blocks) / blocks;
  return {.message_bits = bits + crc_bits(uci_crc_bits(config.bits) == 6 ? Crc::crc6 : Crc::crc11),
          .coded_bits = config.coded_bits / blocks,
          .n_max = 10,
          .interleave_input = false,
          .interleave_coded = true};
}

}  // namespace

Refusal refuse(const UciConfig& config) {
  if (config.bits < 1 || config.bits > uci_bits_max)
    return {"bits", double(config.bits), "1..1706 (TS 38.212 6.3.1)"};
  if (config.bits <= small_block_bits_max) {
    if (const Refusal no = refuse(small_block_of(config))) return no;
    if (!(config.false_alarm > 0 && config.false_alarm <= 1))
      return {"false_alarm", config.false_alarm, "above 0 up to 1"};
    return {};
  }
  if (config.coded_bits < 1) return {"coded_bits", double(config.coded_bits), "1 or more"};
  return refuse(polar_of(config));
}

Result<UciCode> make_uci_code(const UciConfig& config) {
  UciCode code;
  if (const Refusal no = make_uci_code(config, code)) return Error{words_of(no)};
  return code;
}

Refusal make_uci_code(const UciConfig& config, UciCode& code) {
  if (const Refusal no = refuse(config)) return no;
  code.config = config;
  if (config.bits <= small_block_bits_max) {
    code.threshold = small_block_threshold(small_block_of(config), config.false_alarm);
    return {};
  }
  code.code_blocks = uci_code_blocks(config.bits, config.coded_bits);
  code.leading_zeros = config.bits % code.code_blocks;
  code.block_bits = (config.bits + code.leading_zeros) / code.code_blocks;
  code.crc = uci_crc_bits(config.bits) == 6 ? Crc::crc6 : Crc::crc11;
  return make_polar_code(polar_of(config), code.polar);
}

void uci_code_block(const UciCode& code, View<const std::uint8_t, 1> message, int block,
                    View<std::uint8_t, 1> out) {
  assert(code.config.bits > small_block_bits_max && block >= 0 && block < code.code_blocks);
  assert(bytes_for_bits(size_of(code.polar.config.message_bits)) <= out.size());
  const Slice slice = slice_of(code, block);
  std::fill_n(out.data(), bytes_for_bits(size_of(code.polar.config.message_bits)), std::uint8_t{0});
  copy_bits(out.data(), slice.zeros, message.data(), slice.first, slice.bits);
  crc_attach(code.crc, out, size_of(code.block_bits));
}

void uci_encode(const UciCode& code, View<const std::uint8_t, 1> message, View<std::uint8_t, 1> out,
                std::size_t out_bit) {
  assert(bytes_for_bits(size_of(code.config.bits)) <= message.size());
  assert(bytes_for_bits(out_bit + size_of(code.config.coded_bits)) <= out.size());
  if (code.config.bits <= small_block_bits_max) {
    cpu::small_block_encode(small_block_of(code.config), message, out, out_bit);
    return;
  }
  const int coded_bits = code.polar.config.coded_bits;
  std::array<std::uint8_t, block_bytes_max> block;
  for (int r = 0; r < code.code_blocks; ++r) {
    uci_code_block(code, message, r, block);
    cpu::polar_encode(code.polar,
                      View<const std::uint8_t, 1>(
                          block.data(), bytes_for_bits(size_of(code.polar.config.message_bits))),
                      out, out_bit + size_of(r * coded_bits));
  }
  for (int i = code.code_blocks * coded_bits; i < code.config.coded_bits; ++i) {
    set_bit(out.data(), out_bit + size_of(i), false);
  }
}

UciDecoded uci_decode(const UciCode& code, View<const SoftBit, 1> soft_bits,
                      const UciDecodeOptions& options, View<std::uint8_t, 1> message,
                      PolarWorkspace& workspace) {
  assert(soft_bits.size() == size_of(code.config.coded_bits));
  assert(bytes_for_bits(size_of(code.config.bits)) <= message.size());
  UciDecoded decoded;
  if (code.config.bits <= small_block_bits_max) {
    decoded.metric =
        cpu::small_block_decode(small_block_of(code.config), soft_bits, message).metric;
    decoded.ok = decoded.metric > code.threshold;
    return decoded;
  }
  const auto coded_bits = size_of(code.polar.config.coded_bits);
  std::array<std::uint8_t, block_bytes_max> block;
  std::fill_n(message.data(), bytes_for_bits(size_of(code.config.bits)), std::uint8_t{0});
  decoded.ok = true;
  for (int r = 0; r < code.code_blocks; ++r) {
    const PolarDecoded one = cpu::polar_decode(
        code.polar, soft_bits.subview(size_of(r) * coded_bits, coded_bits), options.list,
        PolarCrc{.crc = code.crc, .mask = 0, .leading_ones = 0},
        View<std::uint8_t, 1>(block.data(),
                              bytes_for_bits(size_of(code.polar.config.message_bits))),
        workspace);
    const Slice slice = slice_of(code, r);
    const bool front_ok = slice.zeros == 0 || !bit_at(block.data(), 0);
    decoded.ok = decoded.ok && one.crc_ok && front_ok;
    copy_bits(message.data(), slice.first, block.data(), slice.zeros, slice.bits);
  }
  return decoded;
}

}  // namespace noroshi::fec
