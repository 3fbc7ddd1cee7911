// CRC, Gold sequence, segmentation, LDPC (TS 38.212 5.1, 5.2.2, 5.3.2; TS 38.211 5.2.1). Where a
// kernel has a ref:: and a cpu:: version, both must pass.

#include <algorithm>
#include <cmath>
#include <map>

#include "conformance/components.h"
#include "fec/crc/crc.h"
#include "fec/ldpc/ldpc.h"
#include "fec/rate_match/rate_match.h"
#include "fec/segment/segment.h"
#include "nr/prbs/prbs.h"

namespace noroshi::conformance {
namespace {

// The first of a row of comparisons that has something to say.
Outcome first_of(std::initializer_list<std::pair<const char*, std::string>> differences) {
  for (const auto& [what, wrong] : differences) {
    if (!wrong.empty()) return failed(std::string(what) + ": " + wrong);
  }
  return passed();
}

std::vector<std::uint8_t> parity_bits(std::uint32_t parity, int length) {
  std::vector<std::uint8_t> bits;
  for (int i = length - 1; i >= 0; --i) bits.push_back((parity >> i) & 1);
  return bits;
}

}  // namespace

Outcome check_crc(const VectorCase& c) {
  static const std::map<std::string, fec::Crc> names = {
      {"6", fec::Crc::crc6},     {"11", fec::Crc::crc11},   {"16", fec::Crc::crc16},
      {"24A", fec::Crc::crc24a}, {"24B", fec::Crc::crc24b}, {"24C", fec::Crc::crc24c}};
  NOROSHI_CASE_VALUE(name, c.text("poly"));
  NOROSHI_CASE_VALUE(mask, c.integer("mask"));
  NOROSHI_CASE_VALUE(in, c.array("blk"));
  NOROSHI_CASE_VALUE(out, c.array("blkcrc"));
  const auto crc = names.find(name);
  if (crc == names.end()) return failed("no CRC '" + name + "' in TS 38.212 5.1");
  const int length = fec::crc_bits(crc->second);
  const std::size_t bits = in->size();
  if (out->size() != bits + static_cast<std::size_t>(length))
    return failed("blkcrc is not blk plus parity");
  const std::vector<std::uint8_t> message = packed(bits_of(*in, 0, bits));
  const std::vector<std::uint8_t> expected = bits_of(*out, bits, static_cast<std::size_t>(length));
  const std::uint32_t low = static_cast<std::uint32_t>(mask) & ((1u << length) - 1);
  const std::uint32_t ref = fec::ref::crc(crc->second, message, bits) ^ low;
  const std::uint32_t cpu = fec::cpu::crc(crc->second, message, bits) ^ low;
  return first_of({{"ref", difference(parity_bits(ref, length), expected)},
                   {"cpu", difference(parity_bits(cpu, length), expected)}});
}

Outcome check_prbs(const VectorCase& c) {
  NOROSHI_CASE_VALUE(c_init, c.number("c_init"));
  NOROSHI_CASE_VALUE(length, c.integer("length"));
  NOROSHI_CASE_VALUE(expected, c.array("seq"));
  if (length < 1 || static_cast<std::size_t>(length) != expected->size())
    return failed("length is not seq's");
  const std::size_t bits = expected->size();
  std::vector<std::uint8_t> ref(bytes_for_bits(bits));
  std::vector<std::uint8_t> cpu(bytes_for_bits(bits));
  nr::ref::prbs_packed(static_cast<std::uint32_t>(c_init), 0, ref);
  nr::cpu::prbs_packed(static_cast<std::uint32_t>(c_init), 0, cpu);
  const std::vector<std::uint8_t> want = bits_of(*expected, 0, bits);
  return first_of({{"ref", difference(unpacked(ref, bits), want)},
                   {"cpu", difference(unpacked(cpu, bits), want)}});
}

Outcome check_ldpc_segment(const VectorCase& c) {
  NOROSHI_CASE_VALUE(base_graph, c.integer("bgn"));
  NOROSHI_CASE_VALUE(in, c.array("in"));
  NOROSHI_CASE_VALUE(expected, c.array("cbs"));
  if (base_graph != 1 && base_graph != 2) return failed("bgn is neither 1 nor 2");
  if (in->size() == 0 || in->size() > 1'500'000) return failed("B is not 1..1500000");
  NOROSHI_CASE_VALUE(segmentation,
                     fec::make_segmentation(static_cast<int>(in->size()), base_graph));
  const auto block_bits = static_cast<std::size_t>(segmentation.block_bits);
  if (expected->shape.size() != 2 ||
      expected->shape[0] != static_cast<std::size_t>(segmentation.code_blocks) ||
      expected->shape[1] != block_bits) {
    return failed(std::to_string(segmentation.code_blocks) + " code blocks of " +
                  std::to_string(block_bits) + " bits, expected another shape");
  }
  const std::vector<std::uint8_t> tb = packed(bits_of(*in, 0, in->size()));
  for (int block = 0; block < segmentation.code_blocks; ++block) {
    const std::size_t first = static_cast<std::size_t>(block) * block_bits;
    std::vector<std::uint8_t> out(bytes_for_bits(block_bits));
    fec::make_code_block(segmentation, tb, static_cast<int>(in->size()), 0, block, out);
    const auto info = static_cast<std::size_t>(segmentation.info_bits);
    for (std::size_t i = 0; i < block_bits; ++i) {
      if ((expected->real[first + i] < 0) != (i >= info)) {
        return failed("fillers of block " + std::to_string(block) + " do not start at bit " +
                      std::to_string(info));
      }
    }
    std::vector<std::uint8_t> ours = unpacked(out, block_bits);
    ours.resize(info);
    const std::string wrong = difference(ours, bits_of(*expected, first, info));
    if (!wrong.empty()) return failed("block " + std::to_string(block) + ": " + wrong);
  }
  return passed();
}

Outcome check_ldpc_encode(const VectorCase& c) {
  NOROSHI_CASE_VALUE(base_graph, c.integer("bgn"));
  NOROSHI_CASE_VALUE(zc, c.integer("Zc"));
  NOROSHI_CASE_VALUE(in, c.array("in"));
  NOROSHI_CASE_VALUE(expected, c.array("dn"));
  if ((base_graph != 1 && base_graph != 2) || !fec::ldpc_is_lifting_size(zc)) {
    return failed("no such base graph or lifting size");
  }
  const int coded = fec::ldpc_codeword_bits(base_graph, zc);
  if (in->size() != static_cast<std::size_t>(fec::ldpc_information_bits(base_graph, zc)) ||
      expected->size() != static_cast<std::size_t>(coded)) {
    return failed("in or dn has not the length of the code");
  }
  const std::vector<std::uint8_t> message = packed(bits_of(*in, 0, in->size()));
  std::vector<std::uint8_t> ref(bytes_for_bits(expected->size()));
  std::vector<std::uint8_t> cpu(ref.size());
  fec::ref::ldpc_encode(base_graph, zc, message, ref, coded);
  fec::cpu::ldpc_encode(base_graph, zc, message, cpu, coded);
  const std::vector<std::uint8_t> want = bits_of(*expected, 0, expected->size());
  return first_of({{"ref", difference(unpacked(ref, want.size()), want)},
                   {"cpu", difference(unpacked(cpu, want.size()), want)}});
}

Outcome check_ldpc_rate_match(const VectorCase& c) {
  NOROSHI_CASE_VALUE(buffer_bits, c.integer("Ncb"));
  NOROSHI_CASE_VALUE(start, c.integer("k0"));
  NOROSHI_CASE_VALUE(coded_bits, c.integer("E"));
  NOROSHI_CASE_VALUE(bits_per_symbol, c.integer("Qm"));
  NOROSHI_CASE_VALUE(in, c.array("dn"));
  NOROSHI_CASE_VALUE(expected, c.array("fe"));
  if (buffer_bits < 1 || static_cast<std::size_t>(buffer_bits) > in->size() || start < 0 ||
      start >= buffer_bits || coded_bits < 1 || bits_per_symbol < 1 ||
      coded_bits % bits_per_symbol != 0 ||
      expected->size() != static_cast<std::size_t>(coded_bits)) {
    return failed("Ncb, k0, E and Qm contradict each other");
  }
  fec::RateMatch match{.buffer_bits = buffer_bits,
                       .start = start,
                       .filler_start = 0,
                       .filler_bits = 0,
                       .coded_bits = coded_bits,
                       .bits_per_symbol = bits_per_symbol};
  for (std::size_t i = 0; i < in->size(); ++i) {
    if (in->real[i] >= 0) continue;
    if (match.filler_bits++ == 0) match.filler_start = static_cast<int>(i);
  }
  std::vector<std::uint8_t> bits(in->size());
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = in->real[i] > 0 ? 1 : 0;
  const std::vector<std::uint8_t> codeword = packed(bits);
  const std::vector<std::uint8_t> want = bits_of(*expected, 0, expected->size());
  std::vector<std::uint8_t> ref(bytes_for_bits(want.size()));
  std::vector<std::uint8_t> cpu(ref.size());
  fec::ref::rate_match(match, codeword, ref, 0);
  fec::cpu::rate_match(match, codeword, cpu, 0);
  const Outcome forwards = first_of({{"ref", difference(unpacked(ref, want.size()), want)},
                                     {"cpu", difference(unpacked(cpu, want.size()), want)}});
  if (!forwards.why.empty()) return forwards;

  // And back: every bit that was sent is found again, the others stay unknown.
  std::vector<SoftBit> soft(want.size());
  for (std::size_t i = 0; i < soft.size(); ++i) soft[i] = want[i] != 0 ? -1 : 1;
  std::vector<SoftBit> buffer(static_cast<std::size_t>(buffer_bits));
  const int valid = fec::cpu::rate_recover(match, soft, buffer, 0);
  int known = 0;
  for (int i = 0; i < valid; ++i) {
    const SoftBit sum = buffer[static_cast<std::size_t>(i)];
    if (sum != 0 && (sum < 0) != (in->real[static_cast<std::size_t>(i)] > 0)) {
      return failed("recovery: bit " + std::to_string(i) + " has the wrong sign");
    }
    known += sum != 0 ? 1 : 0;
  }
  const int fillers_inside = std::clamp(buffer_bits - match.filler_start, 0, match.filler_bits);
  return known == std::min(coded_bits, buffer_bits - fillers_inside)
             ? passed()
             : failed("recovery: " + std::to_string(known) + " bits known");
}

Outcome check_ldpc_chain(const VectorCase& c) {
  NOROSHI_CASE_VALUE(k, c.integer("k"));
  NOROSHI_CASE_VALUE(n, c.integer("n"));
  NOROSHI_CASE_VALUE(in, c.array("u"));
  NOROSHI_CASE_VALUE(expected, c.array("c"));
  if (k < 1 || k > fec::ldpc_information_bits_max || n <= k) return failed("k and n are no code");
  const auto words = in->shape.size() == 2 ? in->shape[0] : 1;
  if (in->size() != words * static_cast<std::size_t>(k) ||
      expected->size() != words * static_cast<std::size_t>(n)) {
    return failed("u or c has not the length of the code");
  }
  const int rate_x10240 = static_cast<int>(std::lround(10240.0 * k / n));
  const int base_graph = fec::choose_base_graph(k, rate_x10240);
  NOROSHI_CASE_VALUE(segmentation, fec::make_segmentation(k, base_graph));
  if (segmentation.code_blocks != 1) return failed("more than one code block");
  const int zc = segmentation.lifting_size;
  const int coded = segmentation.coded_bits();
  for (std::size_t word = 0; word < words; ++word) {
    std::vector<std::uint8_t> bits =
        bits_of(*in, word * static_cast<std::size_t>(k), static_cast<std::size_t>(k));
    bits.resize(static_cast<std::size_t>(segmentation.block_bits));
    std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(coded)));
    fec::cpu::ldpc_encode(base_graph, zc, packed(bits), codeword, coded);
    std::vector<std::uint8_t> sent = unpacked(codeword, static_cast<std::size_t>(coded));
    const auto fillers = sent.begin() + (k - 2 * zc);
    sent.erase(fillers, fillers + segmentation.filler_bits());
    if (sent.size() < static_cast<std::size_t>(n)) return failed("n is longer than the code");
    sent.resize(static_cast<std::size_t>(n));
    const std::string wrong = difference(
        sent, bits_of(*expected, word * static_cast<std::size_t>(n), static_cast<std::size_t>(n)));
    if (!wrong.empty()) return failed("word " + std::to_string(word) + ": " + wrong);
  }
  return passed();
}

}  // namespace noroshi::conformance
