#include "phy/receive/front_end.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#include "nr/prbs/prbs.h"
#include "phy/dmrs/dmrs.h"
#include "phy/ptrs/ptrs.h"
#include "phy/receive/code_blocks.h"
#include "phy/receive/evm.h"
#include "phy/receive/interference.h"

namespace noroshi::phy {
namespace {

// Blocks of subcarriers whose channel, weights and symbols stay in the nearest cache while the
// channel moves.
constexpr std::size_t chunk_blocks = 8;

// Of one codeword: with base graph 2 and its longest blocks (TS 38.212 5.2.2).
constexpr std::size_t code_blocks_max = fec::sch_tb_bits_max / (3840 - 24) + 1;

// Of the scrambling bits of so many soft bits: whole cache lines.
constexpr std::size_t mask_bytes(std::size_t soft_bits) {
  return (soft_bits / 8 + cpu::demap_mask_slack_bytes + 63) / 64 * 64;
}

std::size_t padded_subcarriers(const nr::Carrier& carrier) {
  return (static_cast<std::size_t>(carrier.subcarriers()) + 127) / 128 * 128;
}

// A hop's symbols and blocks.
struct Hop {
  int index = 0;
  int symbol_begin = 0, symbol_end = 0;
  Allocation allocation;
  Allocation smoothed;  // the same, cut where the channel may jump
  // Mapping order of the blocks: their place among the ascending ones, and their CRB.
  bool ascending = true;
  std::array<std::uint16_t, nr::rb_max> place{};
  std::array<std::uint16_t, nr::rb_max> crb{};
  View<const float, 2> inverse_covariance;  // of MMSE-IRC: see InverseCovariance
};

// Cuts runs at multiples of prg_rbs.
Allocation cut_runs(const Allocation& allocation, int prg_rbs) {
  if (prg_rbs == 0) return allocation;
  Allocation cut;
  cut.rb_count = allocation.rb_count;
  for (const RbRun& run : allocation)
    for (int first = run.first; first < run.first + run.count;) {
      const int next = std::min(run.first + run.count, (first / prg_rbs + 1) * prg_rbs);
      cut.runs[static_cast<std::size_t>(cut.run_count++)] = {first, next - first};
      first = next;
    }
  return cut;
}

Hop make_hop(const nr::SharedChannel& channel, int index, int prg_rbs) {
  Hop hop;
  hop.index = index;
  const int end = channel.symbol_start + channel.symbol_count;
  const int middle = nr::hop_symbol(channel);
  hop.symbol_begin = index == 0 ? channel.symbol_start : middle;
  hop.symbol_end = index == 0 ? middle : end;
  hop.allocation = make_allocation(channel, index);
  hop.smoothed = cut_runs(hop.allocation, prg_rbs);
  std::array<std::uint16_t, nr::rb_max> places{};
  std::uint16_t next = 0;
  for (const RbRun& run : hop.allocation)
    for (int rb = run.first; rb < run.first + run.count; ++rb)
      places[static_cast<std::size_t>(rb)] = next++;
  std::size_t i = 0;
  for (const RbRun& run : mapping_order(channel, index))
    for (int rb = run.first; rb < run.first + run.count; ++rb, ++i) {
      hop.place[i] = places[static_cast<std::size_t>(rb)];
      hop.crb[i] = static_cast<std::uint16_t>(rb);
      hop.ascending = hop.ascending && hop.place[i] == i;
    }
  return hop;
}

// Samples come from outside: silence, and what is not a number or too large for one, must not get
// further.
bool usable(const ChannelInfo& channel) {
  double signal = 0;
  for (int layer = 0; layer < channel.layers; ++layer) {
    const ChannelInfo::Layer& it = channel.layer[static_cast<std::size_t>(layer)];
    signal += static_cast<double>(it.signal_power);
    if (!std::isfinite(it.signal_power) || !std::isfinite(it.delay_cycles)) return false;
  }
  // Powers whose products the equaliser's floats still hold.
  constexpr float power_max = 1e24f;
  return signal > 1e-29 * channel.layers && signal < double{power_max} &&
         channel.noise_power < power_max && channel.error_power < power_max;
}

// No signal is cleaner than the numbers that hold it.
float least_noise(const ChannelInfo& channel) {
  float signal = 0;
  for (int layer = 0; layer < channel.layers; ++layer)
    signal += channel.layer[static_cast<std::size_t>(layer)].signal_power;
  return 1e-9f * signal + 1e-30f;
}

// What the estimate misses of the channel is noise to the data.
float equalizer_noise(const ChannelInfo& channel) {
  return std::max(channel.noise_power + channel.error_power, least_noise(channel));
}

// The channel and, where it is wanted, the covariance of what disturbs it.
ChannelInfo estimate_channel(const ReceiveGroup& group, Hop& hop) {
  const nr::Dmrs& dmrs = group.channel().dmrs;
  EstimateInput input;
  input.grid = group.grid;
  input.allocation = &hop.smoothed;
  for (const int symbol : dmrs_symbols(dmrs))
    if (symbol >= hop.symbol_begin && symbol < hop.symbol_end)
      input.symbols.symbol[static_cast<std::size_t>(input.symbols.count++)] = symbol;
  input.type = dmrs.type;
  input.double_symbol = dmrs.double_symbol;
  input.amplitude = static_cast<float>(nr::dmrs_amplitude(dmrs));
  input.smoothing = group.options.smoothing;
  input.keep_residuals = group.options.equalizer == Equalizer::mmse_irc;
  input.layers = 0;
  for (std::size_t handset = 0; handset < group.receptions.size(); ++handset)
    for (std::uint32_t ports = group.receptions[handset].channel->dmrs.port_mask; ports != 0;
         ports &= ports - 1) {
      const std::size_t layer = static_cast<std::size_t>(input.layers);
      input.port[layer] = static_cast<std::int8_t>(std::countr_zero(ports));
      input.handset[layer] = static_cast<std::int8_t>(handset);
      ++input.layers;
    }
  const std::size_t count =
      static_cast<std::size_t>(dmrs_pilots_per_rb(dmrs.type) * hop.allocation.rb_count);
  const View<cf32, 2> pilots(group.state.pilots.data(), input.symbols.count, count);
  for (int d = 0; d < input.symbols.count; ++d) {
    const std::size_t i = static_cast<std::size_t>(d);
    if (group.channel().transform_precoding) {
      dmrs_low_papr(dmrs, group.slot, input.symbols.symbol[i], pilots[i]);
    } else {
      cpu::dmrs_pilots(dmrs, 0, group.slot, input.symbols.symbol[i], hop.allocation, pilots[i]);
    }
  }
  input.pilots = pilots;
  const ChannelInfo channel = cpu::estimate(input, group.state.estimate, group.options.workers);
  if (input.keep_residuals && usable(channel))
    hop.inverse_covariance =
        measure_interference(input, channel, least_noise(channel), equalizer_noise(channel),
                             group.state, group.options.workers);
  return channel;
}

// Streams in memory for `plane` subcarriers of every layer, from a subcarrier on.
template <class T>
cpu::LayerStreams<T> streams_at(const ReceiveGroup& group, T* memory, std::size_t plane,
                                std::size_t subcarrier) {
  cpu::LayerStreams<T> out;
  out.count = group.stream_count;
  for (std::size_t s = 0; s < static_cast<std::size_t>(out.count); ++s) {
    const Stream& stream = group.streams[s];
    out.layers[s] = stream.layers;
    out.out[s] = memory + static_cast<std::size_t>(stream.first_layer) * plane +
                 subcarrier * static_cast<std::size_t>(stream.layers);
  }
  return out;
}

View<float, 5> weights_view(const ReceiveGroup& group, std::vector<float>& memory,
                            std::size_t first_block, std::size_t blocks) {
  const std::size_t antennas = group.grid.extent(0);
  const std::size_t layers = static_cast<std::size_t>(group.layers);
  const std::size_t size = antennas * layers * 2 * cpu::subcarrier_block;
  return {memory.data() + first_block * size, blocks, antennas, layers, 2, cpu::subcarrier_block};
}

// Weights for one symbol of some blocks of subcarriers; adds to the sums of 1 / noise.
void make_weights(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel, int symbol,
                  std::size_t first_block, View<float, 5> weights,
                  const cpu::LayerStreams<float>& noise, cpu::InverseNoiseSums& sums) {
  const std::size_t first = first_block * cpu::subcarrier_block;
  const std::size_t all = static_cast<std::size_t>(hop.allocation.subcarriers());
  cpu::channel_at(channel, group.state.estimate, symbol, first_block, weights);
  cpu::equalizer_weights(
      group.options.equalizer, equalizer_noise(channel), {hop.inverse_covariance, first},
      std::min(all - first, weights.extent(0) * cpu::subcarrier_block), weights, noise, sums);
}

// The weights of a channel that stands still.
void make_all_weights(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                      cpu::InverseNoiseSums& sums) {
  ReceiveWorkspace::State& state = group.state;
  const std::size_t blocks =
      cpu::subcarrier_blocks(static_cast<std::size_t>(hop.allocation.subcarriers()));
  const std::size_t chunks = (blocks + chunk_blocks - 1) / chunk_blocks;
  const std::size_t shares = static_cast<std::size_t>(group.shares());
  std::array<cpu::InverseNoiseSums, receive_shares_max> parts{};
  group.options.workers.for_each(static_cast<int>(shares), [&](int share) {
    const std::size_t w = static_cast<std::size_t>(share);
    for (std::size_t chunk = chunks * w / shares; chunk < chunks * (w + 1) / shares; ++chunk) {
      const std::size_t first = chunk * chunk_blocks;
      make_weights(
          group, hop, channel, hop.symbol_begin, first,
          weights_view(group, state.weights, first, std::min(chunk_blocks, blocks - first)),
          streams_at(group, state.noise.data(), state.plane, first * cpu::subcarrier_block),
          parts[w]);
    }
  });
  for (const cpu::InverseNoiseSums& part : parts)
    for (std::size_t i = 0; i < part.size(); ++i) sums[i] += part[i];
}

// Equalised symbols of all streams in scratch.symbols, and where their 1 / noise lies.
const float* equalize_symbol(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                             int symbol, ReceiveScratch& scratch, cpu::InverseNoiseSums& sums) {
  ReceiveWorkspace::State& state = group.state;
  const std::size_t antennas = group.grid.extent(0);
  const std::size_t subcarriers = static_cast<std::size_t>(hop.allocation.subcarriers());
  std::array<const cf32*, nr::receive_antennas_max> received{};
  for (std::size_t a = 0; a < antennas; ++a) {
    const View<const cf32, 1> row = group.grid[a][static_cast<std::size_t>(symbol)];
    received[a] = &row[static_cast<std::size_t>(hop.allocation.runs[0].first) * 12];
    if (hop.allocation.run_count == 1) continue;
    cf32* const closed = scratch.rows.data() + a * state.plane;
    std::size_t at = 0;
    for (const RbRun& run : hop.allocation) {
      const std::size_t count = static_cast<std::size_t>(run.count) * nr::subcarriers_per_rb;
      std::memcpy(closed + at, &row[static_cast<std::size_t>(run.first) * 12],
                  count * sizeof(cf32));
      at += count;
    }
    received[a] = closed;
  }
  const std::size_t blocks = cpu::subcarrier_blocks(subcarriers);
  if (channel.constant) {
    cpu::combine(weights_view(group, state.weights, 0, blocks), received, subcarriers,
                 streams_at(group, scratch.symbols.data(), state.plane, 0));
    return state.noise.data();
  }
  for (std::size_t first = 0; first < blocks; first += chunk_blocks) {
    const std::size_t k = first * cpu::subcarrier_block;
    const View<float, 5> weights =
        weights_view(group, scratch.weights, 0, std::min(chunk_blocks, blocks - first));
    make_weights(group, hop, channel, symbol, first, weights,
                 streams_at(group, scratch.noise.data(), state.plane, k), sums);
    cpu::combine(weights, received, std::min(subcarriers - k, chunk_blocks * cpu::subcarrier_block),
                 streams_at(group, scratch.symbols.data(), state.plane, k));
    for (std::size_t a = 0; a < antennas; ++a) received[a] += chunk_blocks * cpu::subcarrier_block;
  }
  return scratch.noise.data();
}

// The data elements of one symbol and stream, in mapping order.
struct StreamSymbol {
  View<const cf32, 1> symbols;
  View<const float, 1> inverse_noise;
};
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

// What one symbol tells.
struct SymbolSums {
  cpu::InverseNoiseSums inverse_noise{};
  std::array<double, nr::layers_max> evm_sums{}, evm_counts{};
};

// last: of the piece that `walk` walks through.
void receive_symbol(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                    int symbol, bool measure, bool last, std::size_t worker, BlockWalk& walk,
                    SymbolSums& sums) {
  const bool dft = group.channel().transform_precoding;
  ReceiveScratch& scratch = group.state.scratch[worker];
  const float* const inverse_noise =
      equalize_symbol(group, hop, channel, symbol, scratch, sums.inverse_noise);
  if (!dft) correct_phase(group, hop, symbol, inverse_noise, scratch);
  for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
    const Stream& stream = group.streams[s];
    const View<SoftBit, 1> soft_bits = symbol_soft_bits(stream, symbol, scratch);
    if (soft_bits.empty()) continue;
    const StreamSymbol data = dft ? invert_dft(group, hop, stream, symbol, inverse_noise, scratch)
                                  : pick_data(group, hop, stream, symbol, inverse_noise, scratch);
    cpu::demap(stream.modulation, data.symbols, data.inverse_noise, stream.masks,
               stream.first_bit[static_cast<std::size_t>(symbol)], soft_bits);
    decode_symbol(group, s, symbol, last, worker, walk);
    if (!measure) continue;
    sums.evm_sums[s] += cpu::error_vector_sum(stream.modulation, data.symbols);
    sums.evm_counts[s] += static_cast<double>(data.symbols.size());
  }
}

// Symbols `first` to `last` of `symbols`, whose code blocks are decoded on the way.
struct Symbols {
  std::array<int, nr::symbols_per_slot> symbol{};
  int count = 0;
};
void receive_piece(const ReceiveGroup& group, const Hop& hop, const ChannelInfo& channel,
                   const Symbols& symbols, int first, int last, std::size_t worker,
                   std::array<SymbolSums, nr::symbols_per_slot>& sums) {
  BlockWalk walk(group, symbols.symbol[static_cast<std::size_t>(first)]);
  for (int i = first; i <= last; ++i) {
    const std::size_t n = static_cast<std::size_t>(i);
    receive_symbol(group, hop, channel, symbols.symbol[n], i == symbols.count / 2, i == last,
                   worker, walk, sums[n]);
  }
}

}  // namespace

ReceiveWorkspace::State::State(const nr::Carrier& carrier, int layers, int antennas, int workers)
    : layers_max(layers),
      antennas_max(antennas),
      estimate(carrier.rb_count, antennas, layers),
      covariance(carrier.rb_count, antennas),
      inverse_covariance(static_cast<std::size_t>(antennas * antennas) *
                         (cpu::covariance_blocks(static_cast<std::size_t>(carrier.rb_count)) + 1)),
      freedom(static_cast<std::size_t>(carrier.rb_count)),
      plane(padded_subcarriers(carrier)),
      pilots(nr::symbols_per_slot * plane / 2),
      weights(static_cast<std::size_t>(antennas * layers) * 2 * plane),
      noise(static_cast<std::size_t>(layers) * plane),
      soft_bits(static_cast<std::size_t>(nr::symbols_per_slot * layers) * plane * 10),
      elements(static_cast<std::size_t>(layers)),
      sch(static_cast<std::size_t>(workers)) {
  masks.resize(static_cast<std::size_t>(layers) * mask_bytes(nr::symbols_per_slot * plane * 10));
  block_decoded.resize(static_cast<std::size_t>(layers) * code_blocks_max);
  assert(workers >= 1);
  scratch.reserve(static_cast<std::size_t>(workers));
  for (int i = 0; i < workers; ++i) {
    ReceiveScratch& one = scratch.emplace_back(carrier.rb_count);
    const std::size_t all = static_cast<std::size_t>(layers) * plane;
    one.rows.resize(static_cast<std::size_t>(antennas) * plane);
    one.symbols.resize(all);
    one.data.resize(all);
    one.data_noise.resize(all);
    one.weights.resize(static_cast<std::size_t>(antennas * layers) * 2 * chunk_blocks *
                       cpu::subcarrier_block);
    one.noise.resize(all);
    one.ptrs.resize(nr::rb_max);
    one.soft_bits_a_layer = plane * 10;
    one.soft_bits.resize(static_cast<std::size_t>(2 * layers) * one.soft_bits_a_layer);
  }
  // One handset's PUSCH, up to 256QAM; each part may have all of it.
  const std::size_t bits =
      static_cast<std::size_t>(nr::symbols_per_slot * nr::codeword_layers_max) * plane * 8;
  fec::reserve(uci_code.polar);
  scrambling.resize(bits / 8);
  for (std::vector<SoftBit>& part : parts) part.resize(bits);
}

namespace {

void begin_blocks(const Reception& reception, const fec::SchDecodeOptions& options,
                  Stream& stream) {
  const nr::SharedChannel& channel = *reception.channel;
  const bool second = stream.codeword == 1;
  stream.has_blocks = !channel.uci.any();
  if (!stream.has_blocks) return;
  stream.decode = fec::sch_decode_begin(sch_config(channel, stream.codeword),
                                        second ? reception.second_new_data : reception.new_data,
                                        options, second ? *reception.second_harq : *reception.harq);
}

void make_masks(const ReceiveGroup& group) {
  const std::size_t shares = static_cast<std::size_t>(group.shares());
  group.options.workers.for_each(static_cast<int>(shares), [&](int share) {
    const std::size_t w = static_cast<std::size_t>(share);
    for (std::size_t s = 0; s < static_cast<std::size_t>(group.stream_count); ++s) {
      const Stream& stream = group.streams[s];
      const std::size_t lines = stream.masks.size() / 64;
      const std::size_t begin = 64 * (lines * w / shares), end = 64 * (lines * (w + 1) / shares);
      nr::cpu::prbs_masks(stream.c_init, 8 * begin, stream.masks.subview(begin, end - begin));
    }
  });
}

}  // namespace

ReceiveGroup make_receive_group(const nr::Carrier& carrier, int slot,
                                View<const Reception, 1> receptions, View<const cf32, 3> grid,
                                const ReceiveOptions& options, ReceiveWorkspace::State& state) {
  ReceiveGroup group{carrier, slot, receptions, grid, options, state};
  std::size_t soft_bits = 0, masks = 0, blocks = 0;
  for (ReceiveScratch& scratch : state.scratch) scratch.iterations = {};
  for (std::size_t handset = 0; handset < receptions.size(); ++handset) {
    const nr::SharedChannel& channel = *receptions[handset].channel;
    nr::DataElements& elements = state.elements[handset];
    nr::find_data_elements(channel, elements);
    for (int codeword = 0; codeword < nr::codewords(channel); ++codeword) {
      Stream& stream = group.streams[static_cast<std::size_t>(group.stream_count++)];
      stream.handset = static_cast<int>(handset);
      stream.codeword = codeword;
      stream.first_layer = group.layers;
      stream.layers = nr::codeword_layers(channel, codeword);
      stream.modulation = nr::codeword_modulation(channel, codeword);
      stream.c_init = data_scrambling_init(channel, codeword);
      const std::size_t element_bits =
          static_cast<std::size_t>(stream.layers * nr::bits_per_symbol(stream.modulation));
      for (std::size_t l = 0; l < nr::symbols_per_slot; ++l)
        stream.first_bit[l + 1] =
            stream.first_bit[l] +
            static_cast<std::size_t>(elements.symbols[l].count) * element_bits;
      const std::size_t size = stream.first_bit[nr::symbols_per_slot];
      stream.soft_bits = View<SoftBit, 1>(state.soft_bits.data() + soft_bits, size);
      soft_bits += size;
      stream.masks = View<std::uint8_t, 1>(state.masks.data() + masks, mask_bytes(size));
      masks += mask_bytes(size);
      begin_blocks(receptions[handset], options.decode, stream);
      stream.block_decoded = state.block_decoded.data() + blocks;
      if (stream.has_blocks)
        blocks += static_cast<std::size_t>(stream.decode.segmentation.code_blocks);
      group.layers += stream.layers;
    }
  }
  assert(group.layers <= state.layers_max && soft_bits <= state.soft_bits.size());
  assert(masks <= state.masks.size() && blocks <= state.block_decoded.size());
  std::fill_n(state.block_decoded.begin(), blocks, std::uint8_t{0});
  make_masks(group);
  return group;
}

HopReport receive_hop(const ReceiveGroup& group, int index) {
  Hop hop = make_hop(group.channel(), index, group.options.prg_rbs);
  HopReport report;
  report.channel = estimate_channel(group, hop);
  report.usable = usable(report.channel);
  const auto symbol_bits = [&](int symbol) {
    std::size_t bits = 0;
    for (const Stream& stream : group.streams)
      bits += stream.first_bit[static_cast<std::size_t>(symbol) + 1] -
              stream.first_bit[static_cast<std::size_t>(symbol)];
    return bits;
  };
  Symbols symbols;
  for (int l = hop.symbol_begin; l < hop.symbol_end; ++l)
    if (symbol_bits(l) != 0) symbols.symbol[static_cast<std::size_t>(symbols.count++)] = l;
  if (!report.usable) {  // every bit unknown
    for (const Stream& stream : group.streams)
      std::fill(
          stream.soft_bits.begin() + stream.first_bit[static_cast<std::size_t>(hop.symbol_begin)],
          stream.soft_bits.begin() + stream.first_bit[static_cast<std::size_t>(hop.symbol_end)],
          SoftBit{0});
    return report;
  }

  if (report.channel.constant) make_all_weights(group, hop, report.channel, report.inverse_noise);
  // One worker decodes nearly all blocks as they come; of several each takes the next symbol.
  const int shares = group.shares();
  const int pieces = shares == 1 ? std::min(symbols.count, 1) : symbols.count;
  std::array<SymbolSums, nr::symbols_per_slot> sums{};
  std::atomic<int> next = 0;
  group.options.workers.for_each(shares, [&](int share) {
    for (int piece; (piece = next.fetch_add(1, std::memory_order_relaxed)) < pieces;)
      receive_piece(group, hop, report.channel, symbols, piece,
                    pieces == 1 ? symbols.count - 1 : piece, static_cast<std::size_t>(share), sums);
  });
  for (std::size_t i = 0; i < nr::layers_max; ++i) {
    for (const SymbolSums& part : sums) {
      report.inverse_noise[i] += part.inverse_noise[i];
      report.evm_sums[i] += part.evm_sums[i];
      report.evm_counts[i] += part.evm_counts[i];
    }
    report.inverse_noise[i] /= hop.allocation.subcarriers() *
                               static_cast<double>(report.channel.constant ? 1 : symbols.count);
  }
  return report;
}

}  // namespace noroshi::phy
