// Any configuration is either refused or coded and decoded without a fault, whatever the soft bits
// are; what is decoded with a CRC that passes has that CRC.

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "fec/crc/crc.h"
#include "fec/dci/dci.h"
#include "fec/pbch/pbch.h"
#include "fec/polar/polar.h"

namespace {

using namespace noroshi;
using namespace noroshi::fec;

struct Bytes {
  const std::uint8_t* data;
  std::size_t size;

  std::uint32_t take(int bytes) {
    std::uint32_t value = 0;
    for (int i = 0; i < bytes && size != 0; ++i, ++data, --size) value = value << 8 | *data;
    return value;
  }
};

// The codeword at some amplitude, disturbed by the input; or the input alone.
std::vector<SoftBit> received(const std::vector<std::uint8_t>& sent, std::size_t bits,
                              Bytes bytes) {
  const int amplitude = static_cast<int>(bytes.take(1) % 128);
  std::vector<SoftBit> out(bits);
  for (std::size_t i = 0; i < bits; ++i) {
    const int noise = bytes.size == 0 ? 0 : static_cast<std::int8_t>(bytes.data[i % bytes.size]);
    const int sum = (bit_at(sent.data(), i) ? -amplitude : amplitude) + noise;
    out[i] = static_cast<SoftBit>(std::clamp(sum, -128, 127));
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static PolarWorkspace workspace;
  Bytes bytes{data, size};
  const std::uint32_t kind = bytes.take(1);
  const int list = 1 << (kind / 4 % 4);
  PolarConfig config;
  if (kind % 4 == 0) {  // numbers as they come
    config.message_bits = static_cast<int>(bytes.take(4));
    config.coded_bits = static_cast<int>(bytes.take(4));
    config.n_max = static_cast<int>(bytes.take(4));
  } else {
    config.message_bits = static_cast<int>(kind % 4 == 1 ? bytes.take(1) : bytes.take(2) % 1100);
    config.coded_bits = config.message_bits + static_cast<int>(bytes.take(2) % 9000);
    config.n_max = kind % 4 == 1 ? 9 : 10;
  }
  const std::uint32_t flags = bytes.take(1);
  config.interleave_input = (flags & 1) != 0;
  config.interleave_coded = (flags & 2) != 0;
  const auto code = make_polar_code(config);
  if (!code.ok()) return 0;

  const std::size_t k = code->message_position.size();
  const Crc crc = k < 24 || (flags & 4) != 0 ? Crc::crc6 : Crc::crc24c;
  std::vector<std::uint8_t> message(bytes_for_bits(k));
  for (auto& byte : message) byte = static_cast<std::uint8_t>(bytes.take(1));
  crc_attach(crc, message, k - static_cast<std::size_t>(crc_bits(crc)));
  const auto e = static_cast<std::size_t>(config.coded_bits);
  std::vector<std::uint8_t> sent(bytes_for_bits(e));
  cpu::polar_encode(*code, message, sent, 0);
  const auto soft_bits = received(sent, e, bytes);
  std::vector<std::uint8_t> decoded(message.size());
  const auto result = cpu::polar_decode(*code, soft_bits, list, PolarCrc{crc}, decoded, workspace);
  if (result.rank < 0 || result.rank >= list || result.metric < 0) std::abort();
  if (result.crc_ok && cpu::crc(crc, decoded, k) != 0) std::abort();

  if (config.interleave_input && e == pbch_coded_bits) {
    static const PolarCode pbch = make_pbch_code();
    const auto block = pbch_decode({.cell_id = static_cast<int>(flags), .l_max = 64}, pbch,
                                   soft_bits, list, workspace);
    if (block.polar.crc_ok && !check({.cell_id = 0, .l_max = 64}, block.block).ok()) std::abort();
  }
  if (const auto dci = make_dci_code(static_cast<int>(k) % 150, config.coded_bits); dci.ok()) {
    std::vector<std::uint8_t> payload(dci_payload_bits_max / 8 + 1);
    dci_decode(*dci, soft_bits, 0x4601, list, payload, workspace);
  }
  return 0;
}
