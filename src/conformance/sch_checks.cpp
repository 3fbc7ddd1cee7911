// UL-SCH and the scrambled chain (TS 38.212 6.2; TS 38.211 6.3.1.1).

#include <cmath>

#include "conformance/components.h"
#include "conformance/sch_case.h"
#include "fec/sch/sch.h"
#include "nr/mcs.h"
#include "nr/prbs/prbs.h"

namespace noroshi::conformance {

Outcome check_ulsch(const VectorCase& c) {
  NOROSHI_CASE_VALUE(channel, matlab_shared_channel(c));
  if (channel.tb_bits != nr::transport_block_bits(channel)) {
    return failed("transport block size " + std::to_string(nr::transport_block_bits(channel)) +
                  ", expected " + std::to_string(channel.tb_bits));
  }
  return check_codewords(c, channel, "trblk_out", "codeword_out");
}

Outcome check_sch_scrambled(const VectorCase& c) {
  NOROSHI_CASE_VALUE(tb_array, c.array("u_ref"));
  NOROSHI_CASE_VALUE(unscrambled, c.array("c_ref_no_scr"));
  NOROSHI_CASE_VALUE(scrambled, c.array("c_ref"));
  NOROSHI_CASE_VALUE(code_rate, c.number("coderate"));
  NOROSHI_CASE_VALUE(modulation, c.integer("num_bits_per_symbol"));
  NOROSHI_CASE_VALUE(layers, c.integer("num_layers"));
  NOROSHI_CASE_VALUE(rnti, c.integer("n_rnti"));
  NOROSHI_CASE_VALUE(id, c.integer("n_id"));
  const std::size_t coded = unscrambled->size();
  const fec::SchConfig config{.tb_bits = static_cast<int>(tb_array->size()),
                              .code_rate_x10240 = static_cast<int>(std::lround(code_rate * 10240)),
                              .bits_per_symbol = modulation,
                              .layers = layers,
                              .rv = 0,
                              .coded_bits = static_cast<int>(coded),
                              .limited_buffer_bits = 0};
  if (const auto allowed = fec::check(config); !allowed) return failed(allowed.error().message);
  std::vector<std::uint8_t> codeword(bytes_for_bits(coded));
  fec::SchWorkspace workspace;
  fec::sch_encode(config, packed(bits_of(*tb_array, 0, tb_array->size())), codeword, workspace);
  std::string wrong = difference(unpacked(codeword, coded), bits_of(*unscrambled, 0, coded));
  if (!wrong.empty()) return failed("codeword: " + wrong);
  nr::cpu::scramble(static_cast<std::uint32_t>(rnti) << 15 | static_cast<std::uint32_t>(id),
                    codeword, coded);
  wrong = difference(unpacked(codeword, coded), bits_of(*scrambled, 0, scrambled->size()));
  return wrong.empty() ? passed() : failed("scrambled: " + wrong);
}

}  // namespace noroshi::conformance
