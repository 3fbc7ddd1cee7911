#include "conformance/sch_case.h"

#include <cmath>

#include "fec/sch/sch.h"
#include "nr/dmrs_symbols.h"
#include "nr/mcs.h"

namespace noroshi::conformance {

#define NOROSHI_VALUE(name, expression)             \
  auto name##_result = (expression);                \
  if (!name##_result) return name##_result.error(); \
  auto& name = *name##_result

Result<nr::SharedChannel> matlab_shared_channel(const VectorCase& c) {
  NOROSHI_VALUE(layers, c.integer("NumLayers"));
  NOROSHI_VALUE(rbs, c.numbers("PRBSet"));
  NOROSHI_VALUE(symbols, c.numbers("SymbolAllocation"));
  NOROSHI_VALUE(modulation, c.integer("Qm"));
  NOROSHI_VALUE(code_rate_x1024, c.number("TargetCodeRateby1024"));
  NOROSHI_VALUE(additional, c.integer("DMRSAdditionalPosition"));
  NOROSHI_VALUE(cdm_groups, c.integer("NumCDMGroupsWithoutData"));
  NOROSHI_VALUE(data, c.has("EnableULSCH") ? c.integer("EnableULSCH") : Result<int>(1));
  const auto type_a_position = c.has("DMRSTypeAPosition") ? c.integer("DMRSTypeAPosition")
                                                          : c.integer("dmrs_TypeA_Position");
  if (!type_a_position) return type_a_position.error();
  if (symbols.size() != 2 || symbols[0] < 0 || symbols[1] < 1 || symbols[0] + symbols[1] > 14) {
    return Error{"SymbolAllocation is not [start, length] inside a slot"};
  }
  if (layers < 1 || layers > 4) return Error{"NumLayers is not 1..4"};

  nr::SharedChannel channel;
  for (const double rb : rbs) {
    if (rb < 0 || rb >= nr::rb_max) return Error{"PRBSet holds " + std::to_string(rb)};
    channel.rbs.set(static_cast<std::size_t>(rb));
  }
  channel.symbol_start = static_cast<int>(symbols[0]);
  channel.symbol_count = static_cast<int>(symbols[1]);
  channel.modulation = static_cast<nr::Modulation>(modulation);
  channel.code_rate_x10240 = static_cast<int>(std::lround(code_rate_x1024 * 10));
  channel.layers = layers;
  if (data != 0) {
    NOROSHI_VALUE(tb, c.array("trblk_out"));
    channel.tb_bits = static_cast<int>(tb->size());
  }
  channel.dmrs.symbol_mask = nr::pdsch_dmrs_symbols(
      channel.symbol_start, channel.symbol_count,
      {.type_a_position = *type_a_position, .additional_positions = additional});
  channel.dmrs.cdm_groups_without_data = cdm_groups;
  channel.dmrs.port_mask = static_cast<std::uint16_t>((1 << layers) - 1);
  return channel;
}

Outcome check_codewords(const VectorCase& c, const nr::SharedChannel& channel,
                        std::string_view tb_name, std::string_view codeword_name) {
  NOROSHI_CASE_VALUE(tb_array, c.array(tb_name));
  NOROSHI_CASE_VALUE(expected, c.array(codeword_name));
  NOROSHI_CASE_VALUE(versions, c.numbers("rv_out"));
  const std::size_t rows = expected->shape.size() == 2 ? expected->shape[0] : 1;
  const std::size_t coded = expected->shape.back();
  if (static_cast<std::size_t>(nr::coded_bits(channel)) != coded) {
    return failed("G is " + std::to_string(nr::coded_bits(channel)) + ", expected " +
                  std::to_string(coded));
  }
  const std::vector<std::uint8_t> tb = packed(bits_of(*tb_array, 0, tb_array->size()));
  fec::SchWorkspace workspace;
  for (std::size_t row = 0; row < rows; ++row) {
    const std::size_t slot =
        row < expected->slots.size() ? static_cast<std::size_t>(expected->slots[row]) : row;
    if (slot >= versions.size())
      return failed("no redundancy version for slot " + std::to_string(slot));
    const fec::SchConfig config{.tb_bits = channel.tb_bits,
                                .code_rate_x10240 = channel.code_rate_x10240,
                                .bits_per_symbol = nr::bits_per_symbol(channel.modulation),
                                .layers = channel.layers,
                                .rv = static_cast<int>(versions[slot]),
                                .coded_bits = static_cast<int>(coded),
                                .limited_buffer_bits = channel.limited_buffer_bits};
    if (const auto allowed = fec::check(config); !allowed) return failed(allowed.error().message);
    std::vector<std::uint8_t> codeword(bytes_for_bits(coded));
    fec::sch_encode(config, tb, codeword, workspace);
    const std::string wrong =
        difference(unpacked(codeword, coded), bits_of(*expected, row * coded, coded));
    if (!wrong.empty()) return failed("codeword of slot " + std::to_string(slot) + ": " + wrong);
  }
  return passed();
}

}  // namespace noroshi::conformance
