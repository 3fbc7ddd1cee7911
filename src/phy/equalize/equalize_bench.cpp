// A slot of 273 blocks and 14 symbols. `mmse 4x4` (layers x antennas): a channel that stands still,
// weights once and 14 symbols; `moving`: weights for every symbol; `mmse-irc`: with a covariance of
// every resource block. In millions of equalised layer elements a second, shown as Mb/s.

#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "phy/equalize/equalize.h"

namespace noroshi::phy {

NOROSHI_BENCH(equalize) {
  constexpr std::size_t subcarriers = 3276, symbols = nr::symbols_per_slot;
  constexpr std::size_t blocks = cpu::subcarrier_blocks(subcarriers);
  for (const auto& [layers, antennas] : {std::pair<std::size_t, std::size_t>{1, 1},
                                         {1, 4},
                                         {2, 2},
                                         {2, 4},
                                         {4, 4},
                                         {4, 8},
                                         {8, 8}}) {
    const std::string name = std::to_string(layers) + "x" + std::to_string(antennas);
    Prng prng(1);
    std::vector<float> channel(blocks * antennas * layers * 2 * cpu::subcarrier_block);
    for (float& value : channel) value = static_cast<float>(prng.normal());
    std::vector<float> weights(channel.size()), noise(blocks * 16 * layers);
    std::vector<cf32> grid(antennas * symbols * subcarriers), out(blocks * 16 * layers);
    for (cf32& value : grid)
      value = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
    cpu::LayerStreams<float> noise_streams;
    cpu::LayerStreams<cf32> symbol_streams;
    for (std::size_t first = 0; first < layers; first += 4) {
      const std::size_t s = static_cast<std::size_t>(noise_streams.count++);
      symbol_streams.count = noise_streams.count;
      noise_streams.layers[s] = symbol_streams.layers[s] =
          static_cast<int>(std::min<std::size_t>(4, layers - first));
      noise_streams.out[s] = noise.data() + first * blocks * 16;
      symbol_streams.out[s] = out.data() + first * blocks * 16;
    }
    const View<float, 5> w(weights.data(), blocks, antennas, layers, 2, cpu::subcarrier_block);
    cpu::InverseNoiseSums sums{};
    // Unit matrices cost what others do.
    constexpr std::size_t rbs = subcarriers / nr::subcarriers_per_rb + 2;
    std::vector<float> inverse(antennas * antennas * rbs);
    for (std::size_t a = 0; a < antennas; ++a)
      std::fill_n(inverse.begin() + static_cast<std::ptrdiff_t>((a * a + 2 * a) * rbs), rbs, 1.0f);
    const auto make_weights = [&](Equalizer kind) {
      cpu::InverseCovariance covariance;
      if (kind == Equalizer::mmse_irc)
        covariance.planes = {inverse.data(), antennas * antennas, rbs};
      std::copy(channel.begin(), channel.end(), weights.begin());
      cpu::equalizer_weights(kind, 0.01f, covariance, subcarriers, w, noise_streams, sums);
    };
    const auto combine = [&](std::size_t symbol) {
      std::array<const cf32*, nr::receive_antennas_max> rows{};
      for (std::size_t a = 0; a < antennas; ++a)
        rows[a] = grid.data() + (a * symbols + symbol) * subcarriers;
      cpu::combine(w, rows, subcarriers, symbol_streams);
    };
    const double elements = static_cast<double>(layers * subcarriers * symbols);
    bench.rate_mbps("mmse " + name, elements, [&] {
      make_weights(Equalizer::mmse);
      for (std::size_t symbol = 0; symbol < symbols; ++symbol) combine(symbol);
      return hash_bytes(out.data(), 64);
    });
    bench.rate_mbps("mmse " + name + " moving", elements, [&] {
      for (std::size_t symbol = 0; symbol < symbols; ++symbol) {
        make_weights(Equalizer::mmse);
        combine(symbol);
      }
      return hash_bytes(out.data(), 64);
    });
    bench.rate_mbps("mmse-irc " + name, elements, [&] {
      make_weights(Equalizer::mmse_irc);
      for (std::size_t symbol = 0; symbol < symbols; ++symbol) combine(symbol);
      return hash_bytes(out.data(), 64);
    });
  }
}

}  // namespace noroshi::phy
