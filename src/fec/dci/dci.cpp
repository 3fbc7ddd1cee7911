#include "fec/dci/dci.h"

#include <algorithm>
#include <array>
#include <cassert>

#include "fec/bits/bits.h"

namespace noroshi::fec {
namespace {

constexpr int payload_bits_min = 12;
constexpr std::size_t ones = 24;
constexpr std::size_t parity_bits = 24;

using Message = std::array<std::uint8_t, (ones + dci_payload_bits_max + parity_bits) / 8 + 1>;

// A of 7.3.2
std::size_t padded_bits(const DciCode& code) {
  return static_cast<std::size_t>(std::max(code.payload_bits, payload_bits_min));
}

// The ones, a and its zeros, the masked parity.
std::uint32_t fill(const DciCode& code, View<const std::uint8_t, 1> payload, std::uint16_t rnti,
                   Message& message) {
  const auto bits = static_cast<std::size_t>(code.payload_bits);
  assert(bytes_for_bits(bits) <= payload.size());
  message.fill(0);
  std::fill_n(message.begin(), ones / 8, std::uint8_t{0xff});
  copy_bits(message.data(), ones, payload.data(), 0, bits);
  const std::size_t checked = ones + padded_bits(code);
  const std::uint32_t parity = cpu::crc(Crc::crc24c, message, checked) ^ rnti;
  crc_attach(Crc::crc24c, message, checked, rnti);
  return parity;
}

}  // namespace

Result<DciCode> make_dci_code(int payload_bits, int coded_bits) {
  if (payload_bits < 1 || payload_bits > dci_payload_bits_max) {
    return Error{"DCI: payload_bits is " + std::to_string(payload_bits) + ", must be 1 to " +
                 std::to_string(dci_payload_bits_max)};
  }
  const int k = std::max(payload_bits, payload_bits_min) + static_cast<int>(parity_bits);
  auto polar = make_polar_code({.message_bits = k,
                                .coded_bits = coded_bits,
                                .n_max = 9,
                                .interleave_input = true,
                                .interleave_coded = false});
  if (!polar) return Error{"DCI: " + polar.error().message};
  return DciCode{payload_bits, *std::move(polar)};
}

std::uint32_t dci_parity(const DciCode& code, View<const std::uint8_t, 1> payload,
                         std::uint16_t rnti) {
  Message message;
  return fill(code, payload, rnti, message);
}

void dci_encode(const DciCode& code, View<const std::uint8_t, 1> payload, std::uint16_t rnti,
                View<std::uint8_t, 1> out, std::size_t out_bit) {
  Message message;
  fill(code, payload, rnti, message);
  cpu::polar_encode(code.polar, {message.data() + ones / 8, message.size() - ones / 8}, out,
                    out_bit);
}

PolarDecoded dci_decode(const DciCode& code, View<const SoftBit, 1> coded, std::uint16_t rnti,
                        int list, View<std::uint8_t, 1> payload, PolarWorkspace& workspace) {
  const auto bits = static_cast<std::size_t>(code.payload_bits);
  assert(bytes_for_bits(bits) <= payload.size());
  std::array<std::uint8_t, (dci_payload_bits_max + parity_bits) / 8 + 1> message{};
  auto result =
      cpu::polar_decode(code.polar, coded, list,
                        PolarCrc{Crc::crc24c, rnti, static_cast<int>(ones)}, message, workspace);
  for (std::size_t i = bits; i < padded_bits(code); ++i) {
    if (bit_at(message.data(), i)) result.crc_ok = false;
  }
  if (result.crc_ok) copy_bits(payload.data(), 0, message.data(), 0, bits);
  return result;
}

}  // namespace noroshi::fec
