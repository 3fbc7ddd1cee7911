#include <algorithm>
#include <cassert>

#include "phy/receive/front_end.h"
#include "phy/shared_channel/transmit.h"

namespace noroshi::phy {
namespace {

// Of one codeword: with base graph 2 and its longest blocks (TS 38.212 5.2.2).

constexpr std::size_t whole_lines(std::size_t bytes) {
  return (bytes + cache_line_bytes - 1) / cache_line_bytes * cache_line_bytes;
}

std::size_t padded_subcarriers(const nr::Carrier& carrier) {
  return (static_cast<std::size_t>(carrier.subcarriers()) + 127) / 128 * 128;
}

void begin_blocks(const Reception& reception, const fec::SchDecodeOptions& options,
                  Stream& stream) {
  const nr::SharedChannel& channel = *reception.channel;
  const bool second = stream.codeword == 1;
  stream.has_blocks = !channel.uci.any();
  if (!stream.has_blocks) return;
  stream.decode = fec::sch_decode_begin(sch_config(channel, stream.codeword),
                                        second ? reception.second_new_data : reception.new_data,
                                        options, second ? *reception.second_harq : *reception.harq,
                                        second ? reception.second_tb : reception.tb);
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
  blocks.resize(static_cast<std::size_t>(layers * fec::sch_code_blocks_max));
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
    one.soft_bits.resize(static_cast<std::size_t>((1 + symbols_together) * layers) *
                         one.soft_bits_a_layer);
    one.masks_a_layer =
        whole_lines(symbols_together * (one.soft_bits_a_layer / 8 + cpu::demap_mask_slack_bytes));
    one.masks.resize(static_cast<std::size_t>(layers) * one.masks_a_layer);
  }
  // One handset's PUSCH, up to 256QAM; each part may have all of it.
  const std::size_t bits =
      static_cast<std::size_t>(nr::symbols_per_slot * nr::codeword_layers_max) * plane * 8;
  fec::reserve(uci_code.polar);
  scrambling.resize(bits / 8);
  for (std::vector<SoftBit>& part : parts) part.resize(bits);
}

ReceiveGroup make_receive_group(const nr::Carrier& carrier, int slot,
                                View<const Reception, 1> receptions, View<const cf32, 3> grid,
                                const ReceiveOptions& options, ReceiveWorkspace::State& state) {
  ReceiveGroup group{carrier, slot, receptions, grid, options, state};
  std::size_t soft_bits = 0, blocks = 0;
  ++state.slots;
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
      begin_blocks(receptions[handset], options.decode, stream);
      stream.blocks = state.blocks.data() + blocks;
      stream.slot = state.slots;
      if (stream.has_blocks)
        blocks += static_cast<std::size_t>(stream.decode.segmentation.code_blocks);
      group.layers += stream.layers;
    }
  }
  assert(group.layers <= state.layers_max && soft_bits <= state.soft_bits.size());
  assert(blocks <= state.blocks.size());
  return group;
}

}  // namespace noroshi::phy
