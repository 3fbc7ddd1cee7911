// Data of a PUSCH with transform precoding (TS 38.211 6.3.1.4): one layer, PT-RS among the samples,
// a DFT as wide as the allocation, then the matrix of the ports.

#include <cassert>

#include "phy/modulation/modulation.h"
#include "phy/ptrs/ptrs.h"
#include "phy/shared_channel/transmit_state.h"

namespace noroshi::phy {

void write_dft_symbol(const Transmission& t, int symbol) {
  TransmitWorkspace::State& state = t.state;
  const nr::SharedChannel& channel = t.channel;
  const nr::SymbolElements& at = state.elements.symbols[static_cast<std::size_t>(symbol)];
  if (at.count == 0) return;
  const Allocation& blocks = state.blocks[static_cast<std::size_t>(at.hop)];
  const auto size = static_cast<std::size_t>(blocks.subcarriers());
  const auto count = static_cast<std::size_t>(at.count);
  const auto qm = static_cast<std::size_t>(nr::bits_per_symbol(channel.modulation));

  // pi/2-BPSK counts its symbols from the codeword's start; every OFDM symbol has an even number.
  const View<cf32, 1> data(state.spectrum.data(), count);
  cpu::modulate(channel.modulation, take_bits(t, 0, count * qm), 1.0f, data);
  const View<cf32, 1> samples(state.samples.data(), size);
  std::size_t next = 0, i = 0;
  if (count < size) {
    const PtRsSamples ptrs = ptrs_before_dft(t.slot, channel);
    for (std::size_t p = 0; p < static_cast<std::size_t>(ptrs.count); ++p) {
      while (i < static_cast<std::size_t>(ptrs.place[p])) samples[i++] = data[next++];
      samples[i++] = ptrs.value[p];
    }
  }
  while (i < size) samples[i++] = data[next++];
  assert(next == count);

  const View<cf32, 1> spectrum(state.spectrum.data(), size);
  cpu::dft(state.dft, FftDirection::forward, samples, spectrum);
  std::size_t done = 0;
  for_each_piece(t, blocks, [&](const RbRun& run, int group) {
    const std::size_t width = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
    for (std::size_t port = 0; port < t.ports(); ++port) {
      const cf32 w = t.weight(group, port, 0);
      cf32* const row = &t.grid(port, symbol, run.first * nr::subcarriers_per_rb);
      for (std::size_t k = 0; k < width; ++k) {
        const cf32 x = spectrum[done + k];
        row[k] = {w.real() * x.real() - w.imag() * x.imag(),
                  w.real() * x.imag() + w.imag() * x.real()};
      }
    }
    done += width;
  });
}

}  // namespace noroshi::phy
