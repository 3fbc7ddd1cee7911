#pragma once

// A shared channel as bytes, field by field: for fuzzers, whose inputs then are channels with a few
// fields bent.

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "nr/shared_channel.h"

namespace noroshi::phy {

// Calls visit(field) for every field; reserved elements as many as reserved_count says.
template <class Visit>
void visit_fields(nr::SharedChannel& c, Visit visit) {
  visit(c.rnti), visit(c.scrambling_id), visit(c.rbs), visit(c.symbol_start), visit(c.symbol_count);
  visit(c.modulation), visit(c.code_rate_x10240), visit(c.layers), visit(c.rv), visit(c.tb_bits);
  visit(c.limited_buffer_bits);
  visit(c.dmrs.type), visit(c.dmrs.symbol_mask), visit(c.dmrs.double_symbol);
  visit(c.dmrs.cdm_groups_without_data), visit(c.dmrs.port_mask), visit(c.dmrs.scrambling_id);
  visit(c.dmrs.n_scid), visit(c.dmrs.reference_rb), visit(c.dmrs.hopping);
  visit(c.dmrs.amplitude_override);
  visit(c.ptrs.present), visit(c.ptrs.time_density), visit(c.ptrs.frequency_density);
  visit(c.ptrs.re_offset), visit(c.ptrs.dmrs_port[0]), visit(c.ptrs.dmrs_port[1]);
  visit(c.ptrs.amplitude), visit(c.ptrs.groups), visit(c.ptrs.group_samples);
  visit(c.ptrs.scrambling_id);
  visit(c.second.modulation), visit(c.second.code_rate_x10240), visit(c.second.rv);
  visit(c.second.tb_bits), visit(c.second.limited_buffer_bits);
  visit(c.vrb.bundle_rbs), visit(c.vrb.rb_first), visit(c.vrb.rb_count), visit(c.vrb.from_first);
  visit(c.transform_precoding), visit(c.second_hop_rb);
  visit(c.uci.harq_bits), visit(c.uci.csi1_bits), visit(c.uci.csi2_bits);
  visit(c.uci.harq_beta_x8), visit(c.uci.csi1_beta_x8), visit(c.uci.csi2_beta_x8);
  visit(c.uci.alpha_x100), visit(c.reserved_count);
  for (int i = 0; i < std::clamp(c.reserved_count, 0, nr::reserved_max); ++i) {
    nr::ReservedElements& reserved = c.reserved[static_cast<std::size_t>(i)];
    visit(reserved.rbs), visit(reserved.symbol_mask), visit(reserved.subcarrier_mask);
  }
}

inline std::vector<std::uint8_t> to_bytes(nr::SharedChannel channel) {
  std::vector<std::uint8_t> bytes;
  visit_fields(channel, [&](auto& field) {
    if constexpr (std::is_same_v<decltype(field), std::bitset<nr::rb_max>&>) {
      for (std::size_t i = 0; i < nr::rb_max; i += 8) {
        std::uint8_t byte = 0;
        for (std::size_t j = i; j < std::min<std::size_t>(i + 8, nr::rb_max); ++j)
          byte = static_cast<std::uint8_t>(byte | (field[j] ? 1 << (j - i) : 0));
        bytes.push_back(byte);
      }
    } else {
      std::uint8_t raw[sizeof field];
      std::memcpy(raw, &field, sizeof field);
      bytes.insert(bytes.end(), raw, raw + sizeof field);
    }
  });
  return bytes;
}

// Missing bytes are zeros.
inline nr::SharedChannel from_bytes(const std::uint8_t* data, std::size_t size) {
  nr::SharedChannel channel;
  const auto next = [&]() -> std::uint8_t { return size == 0 ? 0 : (--size, *data++); };
  visit_fields(channel, [&](auto& field) {
    using Field = std::remove_reference_t<decltype(field)>;
    if constexpr (std::is_same_v<Field, std::bitset<nr::rb_max>>) {
      for (std::size_t i = 0; i < nr::rb_max; i += 8) {
        const std::uint8_t byte = next();
        for (std::size_t j = i; j < std::min<std::size_t>(i + 8, nr::rb_max); ++j)
          field[j] = (byte >> (j - i) & 1) != 0;
      }
    } else if constexpr (std::is_same_v<Field, bool>) {
      field = (next() & 1) != 0;
    } else {
      std::uint8_t raw[sizeof(Field)];
      for (std::uint8_t& byte : raw) byte = next();
      std::memcpy(&field, raw, sizeof raw);
    }
  });
  return channel;
}

}  // namespace noroshi::phy
