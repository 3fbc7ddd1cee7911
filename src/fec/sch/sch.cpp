#include "fec/sch/sch.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <numeric>
#include <vector>

#include "base/line_vector.h"
#include "fec/bits/bits.h"
#include "fec/crc/crc.h"
#include "fec/ldpc/ldpc.h"
#include "fec/rate_match/rate_match.h"
#include "fec/segment/segment.h"

namespace noroshi::fec {
namespace {

Segmentation segmentation_of(const SchConfig& config) {
  const int bits = config.tb_bits + crc_bits(tb_crc(config.tb_bits));
  const int base_graph = choose_base_graph(config.tb_bits, config.code_rate_x10240);
  return make_segmentation(bits, base_graph).value();
}

// Rate matching of all code blocks but for E, which differs between them.
RateMatch match_of(const SchConfig& config, const Segmentation& segmentation) {
  RateMatch match;
  const int coded = segmentation.coded_bits();
  const int limit = config.limited_buffer_bits;
  match.buffer_bits = limit == 0 ? coded : std::min(coded, limit);
  match.start = rate_match_start(segmentation.base_graph, segmentation.lifting_size,
                                 match.buffer_bits, config.rv);
  match.filler_start = segmentation.info_bits - 2 * segmentation.lifting_size;
  match.filler_bits = segmentation.filler_bits();
  match.bits_per_symbol = config.bits_per_symbol;
  return match;
}

// E_r of TS 38.212 5.4.2.1: the blocks that get one symbol a layer less come first.
int block_coded_bits(const SchConfig& config, int code_blocks, int block) {
  const int unit = config.layers * config.bits_per_symbol;
  const int units = config.coded_bits / unit;
  const bool rounded_down = block <= code_blocks - units % code_blocks - 1;
  return unit * (units / code_blocks + (rounded_down ? 0 : 1));
}

struct BlockCheck {
  Crc crc;
  std::size_t bits;
};

bool block_is_right(const std::uint8_t* bits_packed, void* context) {
  const auto& check = *static_cast<const BlockCheck*>(context);
  return cpu::crc(check.crc, {bits_packed, bytes_for_bits(check.bits)}, check.bits) == 0;
}

// Soft bits that HarqBuffer sets aside for a code block: whole cache lines.
std::size_t soft_stride(const Segmentation& segmentation) {
  return (static_cast<std::size_t>(segmentation.coded_bits()) + 63) / 64 * 64;
}

constexpr int divide_up(int a, int b) { return (a + b - 1) / b; }

}  // namespace

Refusal refuse(const SchConfig& c) {
  if (c.tb_bits <= 0 || c.tb_bits % 8 != 0 || c.tb_bits > sch_tb_bits_max)
    return {"tb_bits", double(c.tb_bits), "whole bytes, 8 to 1573768 bits"};
  if (c.code_rate_x10240 <= 0 || c.code_rate_x10240 > 10240)
    return {"code_rate_x10240", double(c.code_rate_x10240), "1 to 10240"};
  const int qm = c.bits_per_symbol;
  if (qm != 1 && qm != 2 && qm != 4 && qm != 6 && qm != 8 && qm != 10)
    return {"bits_per_symbol", double(qm), "1, 2, 4, 6, 8, 10"};
  if (c.layers < 1 || c.layers > 4) return {"layers", double(c.layers), "1 to 4 of one codeword"};
  if (c.rv < 0 || c.rv > 3) return {"rv", double(c.rv), "0 to 3"};
  if (c.limited_buffer_bits < 0)
    return {"limited_buffer_bits", double(c.limited_buffer_bits), "0 (no limit) or more"};
  const int bits = c.tb_bits + crc_bits(tb_crc(c.tb_bits));
  const int base_graph = choose_base_graph(c.tb_bits, c.code_rate_x10240);
  if (!has_segmentation(bits, base_graph))
    return {"tb_bits", double(c.tb_bits),
            "sizes of TS 38.214 5.1.3.2, which divide into equal code blocks"};
  const int unit = c.layers * qm;
  const int least = unit * segmentation_of(c).code_blocks;
  if (c.coded_bits < least || c.coded_bits > sch_coded_bits_max || c.coded_bits % unit != 0)
    return {"coded_bits", double(c.coded_bits),
            "whole symbols of layers * bits_per_symbol bits, at least one for each code block, "
            "at most 1848000 bits"};
  return {};
}

Result<void> check(const SchConfig& c) { return as_result(refuse(c)); }

struct SchWorkspace::State {
  LdpcWorkspace ldpc;
  alignas(64) std::array<std::uint8_t, ldpc_information_bits_max / 8> bits = {};
  alignas(64) std::array<std::uint8_t, ldpc_codeword_bits_max / 8> codeword = {};
  alignas(64) std::array<SoftBit, ldpc_codeword_bits_max> soft = {};
};

SchWorkspace::SchWorkspace() : state_(std::make_unique<State>()) {}
SchWorkspace::~SchWorkspace() = default;
SchWorkspace::SchWorkspace(SchWorkspace&&) noexcept = default;
SchWorkspace& SchWorkspace::operator=(SchWorkspace&&) noexcept = default;

struct HarqBuffer::State {
  // What is known of a code block, on a cache line of its own: workers write neighbours at the same
  // time.
  struct alignas(64) Block {
    std::uint64_t round = 0;   // of the transport block that it belongs to; others know nothing
    int valid = 0;             // soft bits that hold something
    bool done = false;         // decoded
    std::uint32_t parity = 0;  // of its part of bits, by the CRC of the whole
  };

  int tb_bits_max = 0;
  // What is held: the transport block of the last new_data.
  int tb_bits = 0;
  int base_graph = 0;
  std::uint64_t round = 0;   // new_data so far
  LineVector<SoftBit> soft;  // [code block, d]
  std::vector<Block> blocks;
  std::vector<std::uint8_t> bits;  // the decoded transport block with its CRC, packed

  Block& block(std::size_t i) {
    Block& it = blocks[i];
    if (it.round != round) it = {.round = round};
    return it;
  }
};

HarqBuffer::HarqBuffer(int tb_bits_max) : state_(std::make_unique<State>()) {
  assert(tb_bits_max > 0 && tb_bits_max <= sch_tb_bits_max);
  // The most of both base graphs, with full-size code blocks (TS 38.212 5.2.2).
  const int bits = tb_bits_max + 24;
  const int blocks1 = bits <= 8448 ? 1 : divide_up(bits, 8448 - 24);
  const int blocks2 = bits <= 3840 ? 1 : divide_up(bits, 3840 - 24);
  const int soft1 = blocks1 * ldpc_codeword_bits(1, ldpc_lifting_size_max);
  const int soft2 = blocks2 * ldpc_codeword_bits(2, ldpc_lifting_size_max);
  state_->tb_bits_max = tb_bits_max;
  state_->soft.resize(static_cast<std::size_t>(std::max(soft1, soft2)));
  state_->blocks.resize(static_cast<std::size_t>(blocks2));
  state_->bits.resize(static_cast<std::size_t>(bits / 8 + 1));
}
HarqBuffer::~HarqBuffer() = default;
HarqBuffer::HarqBuffer(HarqBuffer&&) noexcept = default;
HarqBuffer& HarqBuffer::operator=(HarqBuffer&&) noexcept = default;

Refusal refuse_harq(const SchConfig& config, const HarqBuffer& buffer, bool new_data) {
  const HarqBuffer::State& held = buffer.state();
  if (config.tb_bits > held.tb_bits_max)
    return {"tb_bits", double(config.tb_bits), "as many as the HARQ buffer was made for"};
  if (new_data) return {};
  if (held.tb_bits == 0)
    return {"new_data", 0, "1, as the HARQ buffer holds no earlier transmission to add to"};
  if (config.tb_bits != held.tb_bits)
    return {"tb_bits", double(config.tb_bits), "that of the transmission in the HARQ buffer"};
  if (choose_base_graph(config.tb_bits, config.code_rate_x10240) != held.base_graph)
    return {"code_rate_x10240", double(config.code_rate_x10240),
            "one that chooses the base graph of the transmission in the HARQ buffer"};
  return {};
}

Result<void> check_harq(const SchConfig& config, const HarqBuffer& buffer, bool new_data) {
  return as_result(refuse_harq(config, buffer, new_data));
}

void sch_encode(const SchConfig& config, View<const std::uint8_t, 1> tb,
                View<std::uint8_t, 1> codeword, SchWorkspace& workspace) {
  const auto tb_bits = static_cast<std::size_t>(config.tb_bits);
  const auto coded_bits = static_cast<std::size_t>(config.coded_bits);
  assert(tb.size() == tb_bits / 8 && codeword.size() >= bytes_for_bits(coded_bits));
  const Segmentation segmentation = segmentation_of(config);
  SchWorkspace::State& scratch = workspace.state();
  RateMatch match = match_of(config, segmentation);

  const std::uint32_t parity = cpu::crc(tb_crc(config.tb_bits), tb, tb_bits);
  codeword[bytes_for_bits(coded_bits) - 1] = 0;
  std::size_t out_bit = 0;
  for (int block = 0; block < segmentation.code_blocks; ++block) {
    match.coded_bits = block_coded_bits(config, segmentation.code_blocks, block);
    make_code_block(segmentation, tb, config.tb_bits, parity, block, scratch.bits);
    cpu::ldpc_encode(segmentation.base_graph, segmentation.lifting_size, scratch.bits,
                     scratch.codeword, rate_match_end(match));
    cpu::rate_match(match, scratch.codeword, codeword, out_bit);
    out_bit += static_cast<std::size_t>(match.coded_bits);
  }
  assert(out_bit == coded_bits);
}

namespace {

// Tries to decode the circular buffer of one code block into scratch.bits. Returns whether its CRC
// is right.
bool decode_buffer(const Segmentation& segmentation, int bits_per_symbol, Crc crc,
                   View<const SoftBit, 1> llr, const SchDecodeOptions& options,
                   SchWorkspace::State& scratch, int& iterations) {
  // Nothing received decodes to zeros, which satisfy every parity and every CRC.
  if (std::all_of(llr.begin(), llr.end(), [](SoftBit s) { return s == 0; })) {
    scratch.bits.fill(0);
    return false;
  }
  BlockCheck block_check{crc, static_cast<std::size_t>(segmentation.info_bits)};
  LdpcDecodeConfig decode;
  decode.base_graph = segmentation.base_graph;
  decode.zc = segmentation.lifting_size;
  decode.filler_bits = segmentation.filler_bits();
  decode.bits_per_symbol = bits_per_symbol;
  decode.iterations_max = options.iterations_max;
  decode.early_stop = options.early_stop;
  decode.accept = block_is_right;
  decode.accept_context = &block_check;
  const View<std::uint8_t, 1> bits(
      scratch.bits.data(), bytes_for_bits(static_cast<std::size_t>(segmentation.block_bits)));
  const LdpcDecodeResult decoded = cpu::ldpc_decode(decode, llr, bits, scratch.ldpc);
  iterations = decoded.iterations;
  if (decoded.accepted) return true;
  // A parity may still fail when the information bits are right already: their CRC decides. But
  // zeros satisfy every CRC, and they are what a decoder says that knows nothing.
  const bool all_zero = std::all_of(bits.begin(), bits.end(), [](auto byte) { return byte == 0; });
  return (decoded.parity_ok || !all_zero) && block_is_right(bits.data(), &block_check);
}

constexpr int shares_max = 16;  // of workers

}  // namespace

SchDecode sch_decode_begin(const SchConfig& config, bool new_data, const SchDecodeOptions& options,
                           HarqBuffer& buffer, View<std::uint8_t, 1> tb) {
  assert(tb.size() == static_cast<std::size_t>(config.tb_bits) / 8);
  SchDecode decode{config, options, segmentation_of(config), &buffer.state(), tb};
  const Segmentation& segmentation = decode.segmentation;
  const int blocks = segmentation.code_blocks;
  decode.shareable = segmentation.payload_bits() % 8 == 0;
  decode.longer_by = config.layers * config.bits_per_symbol;
  decode.shorter_blocks = blocks - config.coded_bits / decode.longer_by % blocks;
  decode.shorter_bits = block_coded_bits(config, blocks, 0);
  HarqBuffer::State& held = *decode.held;
  assert(config.tb_bits <= held.tb_bits_max && (new_data || held.tb_bits != 0));
  if (new_data) {
    held.tb_bits = config.tb_bits;
    held.base_graph = segmentation.base_graph;
    ++held.round;
  }
  assert(held.tb_bits == config.tb_bits && held.base_graph == segmentation.base_graph);
  return decode;
}

std::size_t sch_block_begin(const SchDecode& decode, int block) {
  const int longer = std::max(0, block - decode.shorter_blocks);
  return static_cast<std::size_t>(block) * static_cast<std::size_t>(decode.shorter_bits) +
         static_cast<std::size_t>(longer) * static_cast<std::size_t>(decode.longer_by);
}

namespace {

// A block's bits, which are in held.bits, on their way into the transport block: not the CRC at its
// end. Precondition: whole bytes.
void put_block(const SchDecode& decode, std::size_t block) {
  const std::size_t payload = static_cast<std::size_t>(decode.segmentation.payload_bits()) / 8;
  const std::size_t begin = block * payload;
  const std::size_t size = decode.tb.size();
  if (begin < size)
    std::memcpy(decode.tb.data() + begin, decode.held->bits.data() + begin,
                std::min(payload, size - begin));
}

}  // namespace

int sch_decode_block(const SchDecode& decode, int block, View<const SoftBit, 1> soft_bits,
                     SchWorkspace& workspace) {
  const Segmentation& segmentation = decode.segmentation;
  HarqBuffer::State& held = *decode.held;
  SchWorkspace::State& scratch = workspace.state();
  const std::size_t i = static_cast<std::size_t>(block);
  HarqBuffer::State::Block& it = held.block(i);
  if (it.done) {
    if (decode.shareable) put_block(decode, i);
    return 0;
  }
  RateMatch match = match_of(decode.config, segmentation);
  match.coded_bits = static_cast<int>(soft_bits.size());
  assert(soft_bits.size() == sch_block_begin(decode, block + 1) - sch_block_begin(decode, block));
  SoftBit* const kept = held.soft.data() + i * soft_stride(segmentation);
  // The limit of the buffer may have shrunk since the last transmission.
  const int before = std::min(it.valid, match.buffer_bits);
  // The first transmission comes from the nearest cache and goes to memory only if it must.
  const View<SoftBit, 1> soft(before == 0 ? scratch.soft.data() : kept,
                              static_cast<std::size_t>(segmentation.coded_bits()));
  const int valid = cpu::rate_recover(match, soft_bits, soft, before);
  const Crc crc = segmentation.code_blocks == 1 ? tb_crc(decode.config.tb_bits) : Crc::crc24b;
  int iterations = 0;
  it.done = decode_buffer(segmentation, decode.config.bits_per_symbol, crc,
                          soft.subview(0, static_cast<std::size_t>(valid)), decode.options, scratch,
                          iterations);
  if (before != 0) {
    it.valid = valid;
  } else if (!it.done) {
    std::memcpy(kept, soft.data(), static_cast<std::size_t>(valid));
    it.valid = valid;
  }
  const auto payload = static_cast<std::size_t>(segmentation.payload_bits());
  copy_bits(held.bits.data(), i * payload, scratch.bits.data(), 0, payload);
  if (!decode.shareable) return iterations;
  if (segmentation.code_blocks > 1)
    it.parity =
        cpu::crc(tb_crc(decode.config.tb_bits), {scratch.bits.data(), payload / 8}, payload);
  put_block(decode, i);
  return iterations;
}

SchDecodeResult sch_decode_end(const SchDecode& decode, int iterations) {
  const Segmentation& segmentation = decode.segmentation;
  HarqBuffer::State& held = *decode.held;
  const std::size_t blocks = static_cast<std::size_t>(segmentation.code_blocks);
  const Crc crc = tb_crc(decode.config.tb_bits);
  SchDecodeResult result;
  result.iterations = iterations;
  result.code_blocks = segmentation.code_blocks;
  std::array<std::uint32_t, sch_code_blocks_max> parities;
  for (std::size_t i = 0; i < blocks; ++i) {
    const HarqBuffer::State::Block& it = held.block(i);
    result.code_blocks_ok += it.done ? 1 : 0;
    parities[i] = it.parity;
  }
  result.crc_ok = result.code_blocks_ok == result.code_blocks;
  if (result.crc_ok && result.code_blocks > 1) {
    const std::uint32_t parity =
        decode.shareable ? cpu::crc_of_parts(crc, {parities.data(), blocks},
                                             static_cast<std::size_t>(segmentation.payload_bits()))
                         : cpu::crc(crc, held.bits, static_cast<std::size_t>(segmentation.bits));
    if (parity != 0) {
      // Some code block fooled its CRC; which one cannot be told.
      result.crc_ok = false;
      for (std::size_t i = 0; i < blocks; ++i) held.block(i).done = false;
    }
  }
  if (!decode.shareable) std::memcpy(decode.tb.data(), held.bits.data(), decode.tb.size());
  return result;
}

SchDecodeResult sch_decode(const SchConfig& config, View<const SoftBit, 1> soft_bits, bool new_data,
                           const SchDecodeOptions& options, HarqBuffer& buffer,
                           View<std::uint8_t, 1> tb, SchWorkspace& workspace) {
  return sch_decode(config, soft_bits, new_data, options, buffer, tb, {&workspace, 1}, {});
}

SchDecodeResult sch_decode(const SchConfig& config, View<const SoftBit, 1> soft_bits, bool new_data,
                           const SchDecodeOptions& options, HarqBuffer& buffer,
                           View<std::uint8_t, 1> tb, View<SchWorkspace, 1> workspaces,
                           const Workers& workers) {
  assert(soft_bits.size() == static_cast<std::size_t>(config.coded_bits));
  assert(workers.count >= 1 && workspaces.size() >= static_cast<std::size_t>(workers.count));
  const SchDecode decode = sch_decode_begin(config, new_data, options, buffer, tb);
  const int blocks = decode.segmentation.code_blocks;
  const int shares = decode.shareable ? std::min({workers.count, blocks, shares_max}) : 1;
  std::array<int, shares_max> iterations{};
  workers.for_each(shares, [&](int share) {
    const auto w = static_cast<std::size_t>(share);
    for (int block = share; block < blocks; block += shares) {
      const std::size_t begin = sch_block_begin(decode, block);
      const std::size_t size = sch_block_begin(decode, block + 1) - begin;
      iterations[w] +=
          sch_decode_block(decode, block, soft_bits.subview(begin, size), workspaces[w]);
    }
  });
  return sch_decode_end(decode, std::accumulate(iterations.begin(), iterations.end(), 0));
}

}  // namespace noroshi::fec
