#include "fec/pbch/pbch.h"

#include <array>
#include <cassert>
#include <string>

#include "fec/crc/crc.h"
#include "nr/prbs/prbs.h"

namespace noroshi::fec {
namespace {

constexpr int bits = pbch_payload_bits;

// G(j), table 7.1.1-1
constexpr std::array<std::uint8_t, bits> order = {16, 23, 18, 17, 8,  30, 10, 6,  24, 7,  0,
                                                  5,  3,  2,  1,  4,  9,  11, 12, 13, 14, 15,
                                                  19, 20, 21, 22, 25, 26, 27, 28, 29, 31};

// j of a(i): the SFN's bits are 1 ... 6 and 24 ... 27, the half frame's is 28, the index's 29
// ... 31.
constexpr int place_of(int i) {
  if (i >= 1 && i <= 6) return i - 1;
  if (i >= 24 && i <= 27) return i - 24 + 6;
  if (i >= 28) return i - 28 + 10;
  return i == 0 ? 14 : i - 7 + 15;
}

constexpr int position_of(int i) { return order[static_cast<std::size_t>(place_of(i))]; }

bool bit_of(std::uint32_t word, int i) { return ((word >> (bits - 1 - i)) & 1) != 0; }

// s of 7.1.2, s(0) in bit 31, for the two SFN bits that choose v: they are sent as they are.
std::uint32_t scrambling(const PbchConfig& config, int v) {
  std::uint32_t plain = 0;  // bit 31 - i set: s(i) = 0
  const auto leave = [&](int i) { plain |= 1u << (bits - 1 - position_of(i)); };
  leave(25);  // 3rd and 2nd LSB of the SFN
  leave(26);
  leave(28);
  if (config.l_max == 64) {
    for (int i = 29; i < 32; ++i) leave(i);
  }
  const int length = config.l_max == 64 ? bits - 6 : bits - 3;  // M
  std::array<std::uint8_t, 16> c{};
  nr::cpu::prbs_packed(static_cast<std::uint32_t>(config.cell_id), 0, c);
  std::uint32_t s = 0;
  auto at = static_cast<std::size_t>(v * length);
  for (int i = 0; i < bits; ++i) {
    const std::uint32_t mask = 1u << (bits - 1 - i);
    if ((plain & mask) == 0 && bit_at(c.data(), at++)) s |= mask;
  }
  return s;
}

Error wrong(const char* field, int value, const char* range) {
  return Error{std::string("PBCH: ") + field + " is " + std::to_string(value) + ", must be " +
               range};
}

}  // namespace

Result<void> check(const PbchConfig& config) {
  if (config.cell_id < 0 || config.cell_id > 1007) {
    return wrong("cell_id", config.cell_id, "0 to 1007");
  }
  if (config.l_max != 4 && config.l_max != 8 && config.l_max != 64) {
    return wrong("l_max", config.l_max, "4, 8 or 64");
  }
  return {};
}

Result<void> check(const PbchConfig& config, const PbchBlock& block) {
  if (auto ok = check(config); !ok) return ok;
  const Mib& mib = block.mib;
  const struct {
    const char* name;
    int value;
    int max;
  } fields[] = {{"sfn", mib.sfn, 1023},
                {"subcarrier_spacing_common", mib.subcarrier_spacing_common, 1},
                {"k_ssb", mib.k_ssb, config.l_max == 64 ? 15 : 31},
                {"dmrs_type_a_position", mib.dmrs_type_a_position, 1},
                {"pdcch_config_sib1", mib.pdcch_config_sib1, 255},
                {"cell_barred", mib.cell_barred, 1},
                {"intra_freq_reselection", mib.intra_freq_reselection, 1},
                {"spare", mib.spare, 1},
                {"ssb_index", block.ssb_index, config.l_max - 1}};
  for (const auto& field : fields) {
    if (field.value < 0 || field.value > field.max) {
      return wrong(field.name, field.value, ("0 to " + std::to_string(field.max)).c_str());
    }
  }
  return {};
}

std::uint32_t mib_bits(const Mib& mib) {
  std::uint32_t word = 0;  // the message's choice: mib
  const auto append = [&](int value, int width) {
    word = word << width | (static_cast<std::uint32_t>(value) & ((1u << width) - 1));
  };
  append(mib.sfn >> 4, 6);
  append(mib.subcarrier_spacing_common, 1);
  append(mib.k_ssb, 4);
  append(mib.dmrs_type_a_position, 1);
  append(mib.pdcch_config_sib1, 8);
  append(mib.cell_barred, 1);
  append(mib.intra_freq_reselection, 1);
  append(mib.spare, 1);
  return word;
}

std::uint32_t pbch_payload(const PbchConfig& config, const PbchBlock& block) {
  const auto last =
      config.l_max == 64 ? block.ssb_index >> 3 : (block.mib.k_ssb >> 4) << 2;  // else reserved
  return mib_bits(block.mib) << 8 | static_cast<std::uint32_t>(block.mib.sfn & 15) << 4 |
         (block.half_frame ? 8u : 0u) | static_cast<std::uint32_t>(last);
}

PolarCode make_pbch_code() {
  auto code = make_polar_code({.message_bits = pbch_payload_bits + 24,
                               .coded_bits = pbch_coded_bits,
                               .n_max = 9,
                               .interleave_input = true,
                               .interleave_coded = false});
  return *std::move(code);
}

void pbch_encode(const PbchConfig& config, const PolarCode& code, const PbchBlock& block,
                 View<std::uint8_t, 1> out) {
  assert(check(config, block).ok());
  assert(out.size() >= pbch_coded_bits / 8);
  const std::uint32_t payload = pbch_payload(config, block);
  std::uint32_t ordered = 0;
  for (int i = 0; i < bits; ++i) {
    ordered |= (bit_of(payload, i) ? 1u : 0u) << (bits - 1 - position_of(i));
  }
  ordered ^= scrambling(config, (block.mib.sfn >> 1) & 3);
  std::array<std::uint8_t, 7> message{};
  for (std::size_t i = 0; i < 4; ++i)
    message[i] = static_cast<std::uint8_t>(ordered >> (24 - 8 * i));
  crc_attach(Crc::crc24c, message, bits);
  cpu::polar_encode(code, message, out, 0);
}

PbchDecoded pbch_decode(const PbchConfig& config, const PolarCode& code,
                        View<const SoftBit, 1> coded, int list, PolarWorkspace& workspace) {
  assert(check(config).ok());
  std::array<std::uint8_t, 7> message{};
  PbchDecoded result;
  result.polar = cpu::polar_decode(code, coded, list, PolarCrc{Crc::crc24c}, message, workspace);
  if (!result.polar.crc_ok) return result;
  std::uint32_t ordered = 0;
  for (std::size_t i = 0; i < 4; ++i) ordered = ordered << 8 | message[i];
  const int v =
      (bit_of(ordered, position_of(25)) ? 2 : 0) + (bit_of(ordered, position_of(26)) ? 1 : 0);
  ordered ^= scrambling(config, v);
  std::uint32_t payload = 0;
  for (int i = 0; i < bits; ++i) {
    payload |= (bit_of(ordered, position_of(i)) ? 1u : 0u) << (bits - 1 - i);
  }
  int left = bits;
  const auto next = [&](int width) {
    left -= width;
    return static_cast<int>((payload >> left) & ((1u << width) - 1));
  };
  Mib& mib = result.block.mib;
  // Another kind of message (messageClassExtension) than a MIB: nothing that this decodes.
  if (next(1) != 0) result.polar.crc_ok = false;
  mib.sfn = next(6) << 4;
  mib.subcarrier_spacing_common = next(1);
  mib.k_ssb = next(4);
  mib.dmrs_type_a_position = next(1);
  mib.pdcch_config_sib1 = next(8);
  mib.cell_barred = next(1);
  mib.intra_freq_reselection = next(1);
  mib.spare = next(1);
  mib.sfn += next(4);
  result.block.half_frame = next(1) != 0;
  const int last = next(3);
  if (config.l_max == 64) {
    result.block.ssb_index = last << 3;
  } else {
    mib.k_ssb += (last >> 2) << 4;
  }
  return result;
}

}  // namespace noroshi::fec
