// Any channel is either refused with a message or received, without a fault and with numbers in its
// report: as PDSCH and as PUSCH, its fields and the grid whatever they are.

#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include "base/prng.h"
#include "phy/pusch.h"
#include "phy/shared_channel/shared_channel_bytes.h"

namespace {

using namespace noroshi;
using namespace noroshi::phy;

// Noise of any scale, silence, or noise with a few samples that are no numbers.
std::vector<cf32> make_grid(std::size_t size, std::uint8_t kind) {
  Prng prng(kind);
  const float scale = std::pow(10.0f, static_cast<float>(kind % 16) * 4 - 32);
  std::vector<cf32> grid(size);
  if (kind % 16 == 15) return grid;
  for (cf32& value : grid)
    value = {scale * static_cast<float>(prng.normal()), scale * static_cast<float>(prng.normal())};
  const float odd[] = {std::numeric_limits<float>::infinity(), std::nanf(""), 1e38f};
  for (int i = 0; i < kind / 64; ++i) grid[prng.below(size)] = odd[i % 3];
  return grid;
}

void receive(const nr::Carrier& carrier, const nr::SharedChannel& channel, std::uint8_t kind) {
  static ReceiveWorkspace workspace(carrier, nr::layers_max);
  const std::size_t antennas = 1 + kind % 8;
  const auto grid = make_grid(
      antennas * nr::symbols_per_slot * static_cast<std::size_t>(carrier.subcarriers()), kind);
  fec::HarqBuffer harq(std::max(8, channel.tb_bits)), second(std::max(8, channel.second.tb_bits));
  std::vector<std::uint8_t> tb(static_cast<std::size_t>(channel.tb_bits) / 8);
  std::vector<std::uint8_t> second_tb(static_cast<std::size_t>(channel.second.tb_bits) / 8);
  UciResult uci;
  Reception reception;
  reception.channel = &channel;
  reception.harq = &harq;
  reception.tb = tb;
  reception.second_harq = &second;
  reception.second_tb = second_tb;
  reception.uci = &uci;
  ReceiveOptions options;
  options.decode.iterations_max = 2;
  options.prg_rbs = kind % 3 == 0 ? 2 : 0;
  constexpr Equalizer equalizers[] = {Equalizer::mmse, Equalizer::mmse_irc,
                                      Equalizer::zero_forcing};
  options.equalizer = equalizers[kind / 2 % 3];
  options.smoothing = kind % 5 == 0 ? Smoothing::least_squares : Smoothing::wiener;
  ReceiveResult result;
  shared_channel_receive(
      carrier, 3, {&reception, 1},
      View<const cf32, 3>(grid.data(), antennas, nr::symbols_per_slot, carrier.subcarriers()),
      options, {&result, 1}, workspace);
  for (const float value : {result.sinr_db, result.noise_power, result.rsrp, result.rssi,
                            result.timing_offset_s, result.frequency_offset_hz, result.evm})
    if (!std::isfinite(value)) std::abort();
}

bool allowed(const Result<void>& result) {
  if (!result.ok() && result.error().message.empty()) std::abort();
  return result.ok();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const nr::Carrier carrier = nr::make_carrier(30, 10).value();
  const nr::SharedChannel channel = from_bytes(data, size);
  std::uint32_t kind = 0;
  for (std::size_t i = 0; i < size; ++i) kind = kind * 31 + data[i];
  if (allowed(check_pdsch_receive(carrier, channel)))
    receive(carrier, channel, static_cast<std::uint8_t>(kind));
  if (allowed(check_pusch(carrier, channel)))
    receive(carrier, channel, static_cast<std::uint8_t>(kind));
  return 0;
}
