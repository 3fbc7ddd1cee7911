// LDPC decode at 6 iterations without early stop, and encode of the whole codeword: information
// bits a second.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/ldpc/ldpc.h"

namespace noroshi::fec {
namespace {

std::vector<std::uint8_t> random_bits(std::size_t bits, Prng& prng) {
  std::vector<std::uint8_t> packed(bytes_for_bits(bits));
  for (auto& byte : packed) byte = static_cast<std::uint8_t>(prng());
  if (bits % 8 != 0) packed.back() &= static_cast<std::uint8_t>(0xff00 >> (bits % 8));
  return packed;
}

// Of all bytes, by words: byte by byte it would take an eighth of the decoder's time.
std::uint64_t folded_hash(const std::vector<std::uint8_t>& bytes) {
  std::uint64_t fold = 0;
  for (std::size_t i = 0; i < bytes.size(); i += sizeof fold) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + i, std::min(sizeof word, bytes.size() - i));
    fold = std::rotl(fold, 5) ^ word;
  }
  return hash_bytes(&fold, sizeof fold);
}

void bench_decode(Bench& bench, const std::string& name, int base_graph, int zc, double rate) {
  if (!bench.wants(name)) return;
  Prng prng(1);
  const int information = ldpc_information_bits(base_graph, zc);
  // As in the yardstick: information bits over code rate, in whole columns, at most N.
  const int columns = static_cast<int>(std::floor(information / rate / zc));
  const int sent = std::min(columns, ldpc_codeword_columns(base_graph)) * zc;
  const auto bits = random_bits(static_cast<std::size_t>(information), prng);
  std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(sent)));
  cpu::ldpc_encode(base_graph, zc, bits, codeword, sent);
  std::vector<SoftBit> llr(static_cast<std::size_t>(sent));
  for (std::size_t i = 0; i < llr.size(); ++i) {
    llr[i] = static_cast<SoftBit>((bit_at(codeword.data(), i) ? -20 : 20) + 6 * prng.normal());
  }
  LdpcDecodeConfig config;
  config.base_graph = base_graph;
  config.zc = zc;
  config.iterations_max = 6;
  config.early_stop = false;
  LdpcWorkspace workspace;
  std::vector<std::uint8_t> decoded(bits.size());
  bench.rate_mbps(name, information, [&] {
    cpu::ldpc_decode(config, llr, decoded, workspace);
    return folded_hash(decoded);
  });
}

void bench_encode(Bench& bench, const char* name, int base_graph, int zc) {
  if (!bench.wants(name)) return;
  Prng prng(2);
  const int information = ldpc_information_bits(base_graph, zc);
  const int sent = ldpc_codeword_bits(base_graph, zc);
  const auto bits = random_bits(static_cast<std::size_t>(information), prng);
  std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(sent)));
  bench.rate_mbps(name, information, [&] {
    cpu::ldpc_encode(base_graph, zc, bits, codeword, sent);
    // The whole of it would cost more than encoding.
    return hash_bytes(codeword.data() + codeword.size() - 8, 8);
  });
}

}  // namespace

NOROSHI_BENCH(ldpc_decode) {
  bench_decode(bench, "bg1 z384 r0.917 it6", 1, 384, 22.0 / 24);
  bench_decode(bench, "bg1 z384 r0.333 it6", 1, 384, 1.0 / 3);
  bench_decode(bench, "bg2 z384 r0.833 it6", 2, 384, 10.0 / 12);
  bench_decode(bench, "bg2 z384 r0.200 it6", 2, 384, 0.2);
  bench_decode(bench, "bg1 z64 r0.917 it6", 1, 64, 22.0 / 24);
  bench_decode(bench, "bg1 z64 r0.333 it6", 1, 64, 1.0 / 3);
  for (int zc : {2, 4, 8, 16, 32}) {
    const std::string size = " z" + std::to_string(zc);
    bench_decode(bench, "bg1" + size + " r0.917 it6", 1, zc, 22.0 / 24);
    bench_decode(bench, "bg1" + size + " r0.333 it6", 1, zc, 1.0 / 3);
    bench_decode(bench, "bg2" + size + " r0.833 it6", 2, zc, 10.0 / 12);
    bench_decode(bench, "bg2" + size + " r0.200 it6", 2, zc, 0.2);
  }
}

NOROSHI_BENCH(ldpc_encode) {
  bench_encode(bench, "bg1 z384", 1, 384);
  bench_encode(bench, "bg2 z384", 2, 384);
  bench_encode(bench, "bg1 z352", 1, 352);
  bench_encode(bench, "bg1 z256", 1, 256);
  bench_encode(bench, "bg1 z104", 1, 104);
  bench_encode(bench, "bg1 z64", 1, 64);
  bench_encode(bench, "bg2 z36", 2, 36);
  bench_encode(bench, "bg2 z15", 2, 15);
}

}  // namespace noroshi::fec
