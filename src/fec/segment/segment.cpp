#include "fec/segment/segment.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>

#include "fec/bits/bits.h"

namespace noroshi::fec {
namespace {

constexpr int lifting_size_max = 384;

// The smallest lifting size of TS 38.212 table 5.3.2-1 that is not below a bound: a 2^j with these
// a.
int lifting_size_at_least(int bound) {
  int best = lifting_size_max;
  for (const int a : {2, 3, 5, 7, 9, 11, 13, 15}) {
    int z = a;
    for (int j = 0; j < 7 && z < bound; ++j) z *= 2;
    if (z >= bound) best = std::min(best, z);
  }
  return best;
}

// K_b of TS 38.212 5.2.2.
int information_columns(int base_graph, int bits) {
  if (base_graph == 1) return 22;
  if (bits > 640) return 10;
  if (bits > 560) return 9;
  return bits > 192 ? 8 : 6;
}

}  // namespace

int choose_base_graph(int tb_bits, int code_rate_x10240) {
  const bool rate_at_most_067 = code_rate_x10240 * 100 <= 67 * 10240;
  const bool rate_at_most_025 = code_rate_x10240 * 100 <= 25 * 10240;
  return tb_bits <= 292 || (tb_bits <= 3824 && rate_at_most_067) || rate_at_most_025 ? 2 : 1;
}

bool has_segmentation(int bits, int base_graph) {
  const int block_bits_max = base_graph == 1 ? 8448 : 3840;
  if (bits <= block_bits_max) return bits > 0;
  const int payload_max = block_bits_max - 24;
  return bits % ((bits + payload_max - 1) / payload_max) == 0;
}

Result<Segmentation> make_segmentation(int bits, int base_graph) {
  if (bits <= 0) return Error{"a transport block of " + std::to_string(bits) + " bits has none"};
  if (base_graph != 1 && base_graph != 2) {
    return Error{"base_graph is " + std::to_string(base_graph) + "; base graphs are 1 and 2"};
  }
  Segmentation s;
  s.base_graph = base_graph;
  s.bits = bits;
  const int block_bits_max = base_graph == 1 ? 8448 : 3840;
  if (bits <= block_bits_max) {
    s.code_blocks = 1;
    s.info_bits = bits;
  } else {
    s.crc_bits = 24;
    const int payload_max = block_bits_max - s.crc_bits;
    s.code_blocks = (bits + payload_max - 1) / payload_max;
    if (bits % s.code_blocks != 0) {
      return Error{"a transport block of " + std::to_string(bits) +
                   " bits with its CRC does not divide into " + std::to_string(s.code_blocks) +
                   " equal code blocks of base graph " + std::to_string(base_graph) +
                   "; take a size of TS 38.214 5.1.3.2"};
    }
    s.info_bits = bits / s.code_blocks + s.crc_bits;
  }
  const int columns = information_columns(base_graph, bits);
  s.lifting_size = lifting_size_at_least((s.info_bits + columns - 1) / columns);
  s.block_bits = s.lifting_size * (base_graph == 1 ? 22 : 10);
  return s;
}

void make_code_block(const Segmentation& segmentation, View<const std::uint8_t, 1> tb, int tb_bits,
                     std::uint32_t parity, int block, View<std::uint8_t, 1> out) {
  assert(block >= 0 && block < segmentation.code_blocks);
  assert(tb_bits <= segmentation.bits && segmentation.bits - tb_bits <= 24);
  assert(bytes_for_bits(static_cast<std::size_t>(tb_bits)) <= tb.size());
  const auto info_bits = static_cast<std::size_t>(segmentation.info_bits);
  const std::size_t out_bytes = bytes_for_bits(static_cast<std::size_t>(segmentation.block_bits));
  assert(out_bytes <= out.size());

  const int payload_bits = segmentation.payload_bits();
  const int first = block * payload_bits;
  const int from_tb = std::clamp(tb_bits - first, 0, payload_bits);
  std::memset(out.data() + info_bits / 8, 0, out_bytes - info_bits / 8);
  copy_bits(out.data(), 0, tb.data(), static_cast<std::size_t>(first),
            static_cast<std::size_t>(from_tb));
  // The parity may begin in one code block and end in the next.
  if (const int count = payload_bits - from_tb; count > 0) {
    const int behind = segmentation.bits - (first + payload_bits);  // in the next
    write_bits(out.data(), static_cast<std::size_t>(from_tb), static_cast<std::size_t>(count),
               parity >> behind);
  }
  if (segmentation.crc_bits != 0) {
    crc_attach(Crc::crc24b, out, static_cast<std::size_t>(payload_bits));
  }
}

}  // namespace noroshi::fec
