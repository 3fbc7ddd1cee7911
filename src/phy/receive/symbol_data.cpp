#include "phy/receive/symbol_data.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "phy/ptrs/ptrs.h"

namespace noroshi::phy {
namespace {

cf32 product(cf32 a, cf32 b) {  // without the search for infinities
  return {a.real() * b.real() - a.imag() * b.imag(), a.real() * b.imag() + a.imag() * b.real()};
}

// A phase that PT-RS of this much energy over noise tells is better than none.
constexpr float ptrs_energy_min = 20;

// The turn of one PT-RS port in a symbol (TS 38.211 6.4.1.2.2.1): of sum y conj(sent) / noise.
cf32 ptrs_turn(const ReceiveGroup& group, const Hop& hop, const nr::SharedChannel& channel,
               int first_layer, int ptrs_port, int symbol, const float* inverse_noise,
               ReceiveScratch& scratch) {
  const std::int8_t port = channel.ptrs.dmrs_port[static_cast<std::size_t>(ptrs_port)];
  const int layer = first_layer + std::popcount(channel.dmrs.port_mask & ((1u << port) - 1));
  const Stream* stream = &group.streams[0];
  while (layer >= stream->first_layer + stream->layers) ++stream;
  const nr::PtRsBlocks at = nr::ptrs_blocks(channel);
  const std::int8_t k = at.subcarrier[static_cast<std::size_t>(ptrs_port)];
  const View<cf32, 1> sent(scratch.ptrs.data(), ptrs_block_count(channel));
  ptrs_values(group.slot, channel, ptrs_port, hop.index, hop.allocation, sent);
  cf32 sum = 0;
  float energy = 0;
  std::size_t next = 0;
  int number = 0;
  for (const RbRun& run : hop.allocation)
    for (int rb = run.first; rb < run.first + run.count; ++rb, ++number) {
      if (number % at.step != at.first) continue;
      const cf32 expected = channel.ptrs.amplitude * sent[next++];
      if ((nr::reserved_subcarriers(channel, symbol, rb) >> k & 1) != 0) continue;
      const std::size_t element =
          static_cast<std::size_t>(stream->first_layer) * group.state.plane +
          static_cast<std::size_t>((12 * number + k) * stream->layers + layer -
                                   stream->first_layer);
      sum += inverse_noise[element] * product(scratch.symbols[element], std::conj(expected));
      energy += inverse_noise[element] * std::norm(expected);
    }
  const float size = std::abs(sum);
  return energy > ptrs_energy_min && size > 0 ? sum / size : cf32(1);
}

}  // namespace

StreamSymbol pick_data(const ReceiveGroup& group, const Hop& hop, const Stream& stream, int symbol,
                       const float* inverse_noise, ReceiveScratch& scratch) {
  const nr::DataElements& elements = group.state.elements[static_cast<std::size_t>(stream.handset)];
  const nr::SymbolElements& here = elements.symbols[static_cast<std::size_t>(symbol)];
  const std::size_t layers = static_cast<std::size_t>(stream.layers);
  const std::size_t offset = static_cast<std::size_t>(stream.first_layer) * group.state.plane;
  const cf32* const symbols = scratch.symbols.data() + offset;
  const float* const noise = inverse_noise + offset;
  if (hop.ascending && here.uniform && here.mask == all_subcarriers) {
    const std::size_t count = static_cast<std::size_t>(hop.allocation.subcarriers()) * layers;
    return {{symbols, count}, {noise, count}};
  }
  std::size_t at = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(hop.allocation.rb_count); ++i) {
    const std::uint32_t mask = elements.mask(symbol, hop.crb[i]);
    const std::size_t from = std::size_t{hop.place[i]} * nr::subcarriers_per_rb * layers;
    if (mask == all_subcarriers) {
      std::memcpy(scratch.data.data() + at, symbols + from, 12 * layers * sizeof(cf32));
      std::memcpy(scratch.data_noise.data() + at, noise + from, 12 * layers * sizeof(float));
      at += 12 * layers;
      continue;
    }
    for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
      const std::size_t k = from + static_cast<std::size_t>(std::countr_zero(rest)) * layers;
      for (std::size_t layer = 0; layer < layers; ++layer, ++at) {
        scratch.data[at] = symbols[k + layer];
        scratch.data_noise[at] = noise[k + layer];
      }
    }
  }
  return {{scratch.data.data(), at}, {scratch.data_noise.data(), at}};
}

// Turns every handset's layers back by what its PT-RS tell of the symbol's common phase. With two
// PT-RS ports the second speaks for its own layer, the first for all others.
void correct_phase(const ReceiveGroup& group, const Hop& hop, int symbol,
                   const float* inverse_noise, ReceiveScratch& scratch) {
  int first_layer = 0;
  for (std::size_t handset = 0; handset < group.receptions.size(); ++handset) {
    const nr::SharedChannel& channel = *group.receptions[handset].channel;
    const int first = first_layer;
    first_layer += channel.layers;
    if (!channel.ptrs.present || (nr::ptrs_symbols(channel) >> symbol & 1) == 0) continue;
    std::array<cf32, nr::layers_max> back;
    back.fill(std::conj(ptrs_turn(group, hop, channel, first, 0, symbol, inverse_noise, scratch)));
    if (channel.ptrs.dmrs_port[1] >= 0) {
      const std::uint32_t below = channel.dmrs.port_mask & ((1u << channel.ptrs.dmrs_port[1]) - 1);
      back[static_cast<std::size_t>(std::popcount(below))] =
          std::conj(ptrs_turn(group, hop, channel, first, 1, symbol, inverse_noise, scratch));
    }
    for (const Stream& stream : group.streams) {
      if (stream.layers == 0 || stream.handset != static_cast<int>(handset)) continue;
      const std::size_t layers = static_cast<std::size_t>(stream.layers);
      cf32* const symbols =
          scratch.symbols.data() + static_cast<std::size_t>(stream.first_layer) * group.state.plane;
      const cf32* const turn = back.data() + (stream.first_layer - first);
      for (std::size_t k = 0; k < static_cast<std::size_t>(hop.allocation.subcarriers()); ++k)
        for (std::size_t i = 0; i < layers; ++i)
          symbols[k * layers + i] = product(symbols[k * layers + i], turn[i]);
    }
  }
}

// With transform precoding: the samples before the DFT. What the equaliser left unbiased on every
// subcarrier is weighted with b = gamma / (1 + gamma) again, as the MMSE of the samples wants it;
// their bias is the mean of b, and all have one noise: 1 / noise = b / (1 - b).
StreamSymbol invert_dft(const ReceiveGroup& group, const Hop& hop, const Stream& stream, int symbol,
                        const float* inverse_noise, ReceiveScratch& scratch) {
  const nr::SharedChannel& channel =
      *group.receptions[static_cast<std::size_t>(stream.handset)].channel;
  const std::size_t size = static_cast<std::size_t>(hop.allocation.subcarriers());
  const std::size_t offset = static_cast<std::size_t>(stream.first_layer) * group.state.plane;
  cf32* const spectrum = scratch.symbols.data() + offset;
  double bias_sum = 0;
  for (std::size_t k = 0; k < size; ++k) {
    const float gamma = inverse_noise[offset + k];
    const float bias = gamma / (1 + gamma);
    spectrum[k] *= bias;
    bias_sum += static_cast<double>(bias);
  }
  const View<cf32, 1> samples(scratch.data.data(), size);
  cpu::dft(scratch.dft, FftDirection::inverse, {spectrum, size}, samples);
  // The least that floats tell from 1.
  const double bias = std::clamp(bias_sum / static_cast<double>(size), 1e-9, 1 - 1e-7);
  cf32 turn(static_cast<float>(1 / bias));

  PtRsSamples ptrs;
  const std::size_t l = static_cast<std::size_t>(symbol);
  const std::size_t count = static_cast<std::size_t>(
      group.state.elements[static_cast<std::size_t>(stream.handset)].symbols[l].count);
  if (count < size) {
    ptrs = ptrs_before_dft(group.slot, channel);
    cf32 sum = 0;
    float energy = 0;
    for (std::size_t i = 0; i < static_cast<std::size_t>(ptrs.count); ++i) {
      sum += product(samples[static_cast<std::size_t>(ptrs.place[i])], std::conj(ptrs.value[i]));
      energy += std::norm(ptrs.value[i]);
    }
    const float known = energy * static_cast<float>(bias / (1 - bias));
    if (known > ptrs_energy_min && std::abs(sum) > 0) turn *= std::conj(sum) / std::abs(sum);
  }
  std::size_t at = 0, p = 0;
  for (std::size_t i = 0; i < size; ++i) {
    if (p < static_cast<std::size_t>(ptrs.count) && static_cast<std::size_t>(ptrs.place[p]) == i) {
      ++p;
      continue;
    }
    scratch.data[at++] = product(samples[i], turn);
  }
  std::fill_n(scratch.data_noise.begin(), at, static_cast<float>(bias / (1 - bias)));
  return {{scratch.data.data(), at}, {scratch.data_noise.data(), at}};
}

}  // namespace noroshi::phy
