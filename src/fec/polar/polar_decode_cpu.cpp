// cpu:: decoder. A node's bits are kept as its codeword, in place; what they say about u is one
// transform at the end. Soft bits are signed bytes: one path, or 8 paths as the lanes of every bit,
// so that every node is a contiguous stretch whatever its size.
//
// Paths are never copied. When paths change places at a leaf, each stage notes from whom its paths
// now come (a pattern of 8 bytes), and its bytes are shuffled when they are next read.

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "fec/polar/polar_decode_cpu.cpp"
#include <hwy/foreach_target.h>  // IWYU pragma: keep
// After foreach_target.h.
#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

#include <hwy/highway.h>
#include "fec/polar/polar.h"
#include "fec/polar/polar_bytes-inl.h"
#include "fec/polar/polar_paths-inl.h"
#include "fec/polar/polar_steps.h"
#include "fec/polar/polar_words.h"
#include "fec/polar/polar_workspace.h"

#ifndef NOROSHI_FEC_POLAR_DECODE_CPU_ONCE
#define NOROSHI_FEC_POLAR_DECODE_CPU_ONCE

namespace noroshi::fec {
// Where stage s starts in the workspace's soft bits, of `unit` bytes a bit.
constexpr std::size_t polar_soft_at(std::size_t stage, std::size_t unit) {
  return ((std::size_t{1} << stage) - 1) * unit / polar_slack * polar_slack + stage * polar_slack;
}
}  // namespace noroshi::fec
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

using State = PolarWorkspace::State;
using Kind = PolarStep::Kind;

// --- one path ---

HWY_INLINE int sum_of(const std::int8_t* soft, std::size_t size) {
#if HWY_TARGET != HWY_SCALAR
  if (size >= 8) {
    const hn::FixedTag<std::uint8_t, 8> d;
    const hn::Repartition<std::uint64_t, decltype(d)> d64;
    auto sums = hn::Zero(d64);
    for (std::size_t i = 0; i < size; i += 8) {
      const auto v = hn::LoadU(d, reinterpret_cast<const std::uint8_t*>(soft + i));
      sums = hn::Add(sums, hn::SumsOf8(hn::Xor(v, hn::Set(d, std::uint8_t{0x80}))));
    }
    return static_cast<int>(hn::GetLane(sums)) - 128 * static_cast<int>(size);
  }
#endif
  int sum = 0;
  for (std::size_t i = 0; i < size; ++i) sum += soft[i];
  return sum;
}

// The position of the first bit of least magnitude, or -1 where the signs have even parity.
HWY_INLINE int flaw_of(const std::int8_t* soft, std::size_t size) {
#if HWY_TARGET != HWY_SCALAR
  if (size >= 8 && size <= 256) {
    const hn::FixedTag<std::int16_t, 8> d;
    const hn::FixedTag<std::int8_t, 8> d8;
    auto signs = hn::Zero(d);
    auto least = hn::Set(d, std::int16_t{0x7fff});
    for (std::size_t i = 0; i < size; i += 8) {
      const auto v = hn::PromoteTo(d, hn::LoadU(d8, soft + i));
      const auto position = hn::Iota(d, static_cast<std::int16_t>(i));
      signs = hn::Xor(signs, v);
      least = hn::Min(least, hn::Or(hn::ShiftLeft<8>(hn::Abs(v)), position));
    }
    if (hn::CountTrue(d, hn::MaskFromVec(hn::BroadcastSignBit(signs))) % 2 == 0) return -1;
    return hn::GetLane(hn::MinOfLanes(d, least)) & 0xff;
  }
#endif
  int least = 1 << 20;
  int parity = 0;
  for (std::size_t i = 0; i < size; ++i) {
    const int magnitude = soft[i] < 0 ? -soft[i] : soft[i];
    parity ^= soft[i] < 0 ? 1 : 0;
    least = std::min(least, magnitude * polar_block_bits_max + static_cast<int>(i));
  }
  return parity != 0 ? least % polar_block_bits_max : -1;
}

HWY_INLINE void parity_leaf(const std::int8_t* soft, std::size_t size, std::int8_t* bits) {
  decide(soft, size, bits);
  if (const int flaw = flaw_of(soft, size); flaw >= 0) bits[flaw] ^= -1;
}

void DecodeSingle(const PolarCode& code, State& state) {
  const auto soft_at = [&](std::size_t stage) {
    return state.single_soft + polar_soft_at(stage, 1);
  };
  unsigned checks = 0;
  for (const PolarStep& step : code.single_steps) {
    const std::size_t stage = step.stage;
    const std::size_t size = std::size_t{1} << stage;
    std::int8_t* soft = soft_at(stage);
    std::int8_t* bits = state.bits + step.at;
    switch (step.kind) {
      case Kind::f:
        f_node(soft, size / 2, soft_at(stage - 1));
        break;
      case Kind::g:
        g_node(soft, bits, size / 2, soft_at(stage - 1));
        break;
      case Kind::g_zero:
        g_zero_node(soft, size / 2, soft_at(stage - 1));
        break;
      case Kind::combine:
        combine(bits, size / 2);
        break;
      case Kind::combine_zero:
        copy_bytes(bits + size / 2, size / 2, bits);
        break;
      case Kind::clear:
        fill_bytes(0, size, bits);
        break;
      case Kind::one:
        decide(soft, size, bits);
        break;
      case Kind::repetition:
        fill_bytes(sum_of(soft, size) < 0 ? -1 : 0, size, bits);
        // The leaf's own bit is its last.
        checks ^= (bits[0] != 0 ? 1u : 0u) << ((step.at + size - 1) % 5);
        break;
      case Kind::parity:
        parity_leaf(soft, size, bits);
        break;
      case Kind::check:
        bits[0] = ((checks >> (step.at % 5)) & 1) != 0 ? -1 : 0;
        break;
      default:
        assert(false);
    }
  }
}

// --- a list ---

struct ListDecoder {
  State& state;
  int list;

  std::int8_t* soft_at(std::size_t stage) const { return state.soft + polar_soft_at(stage, 8); }
  std::int8_t* single_at(std::size_t stage) const {
    return state.single_soft + polar_soft_at(stage, 1);
  }
  std::uint8_t* pattern(std::size_t stage) const { return state.pattern + 16 * stage; }
  void forget_pattern(std::size_t stage) const {
    static constexpr std::uint8_t nobody_moved[16] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                      8, 9, 10, 11, 12, 13, 14, 15};
    std::memcpy(pattern(stage), nobody_moved, 16);
  }

  void start() const {
    alignas(32) std::int32_t metric[8];
    std::fill_n(metric, 8, polar_no_path);
    metric[0] = 0;
    store8(load8(metric), state.metric);
    store8(set8(0), state.checks);
    for (std::size_t stage = 0; stage < 12; ++stage) forget_pattern(stage);
  }

  // All that is older than this leaf comes from other paths now.
  void move_paths(const Paths& from) const {
    alignas(16) std::uint8_t then[16];
    store_pattern(from, then);
    compose_patterns(state.pattern, 12, then);
  }

  HWY_INLINE void zero_leaf(const std::int8_t* soft, std::size_t size) const {
    Paths against_zero;
    Paths all;
    sums8(soft, size, against_zero, all);
    store8(add8(load8(state.metric), against_zero), state.metric);
  }

  HWY_INLINE void repetition_leaf(const std::int8_t* soft, std::size_t size, std::size_t at) const {
    Paths against_zero;
    Paths all;
    sums8(soft, size, against_zero, all);
    const Paths stay = add8(load8(state.metric), against_zero);
    const Choice choice = choose8(stay, add8(stay, all), list);
    store8(choice.metric, state.metric);
    move_paths(choice.from);
    const std::uint64_t row = bytes_of8(choice.flipped);
    std::int8_t* bits = state.bits + 8 * at;
    for (std::size_t i = 0; i < 8 * size; i += 8) std::memcpy(bits + i, &row, 8);
    store8(xor8(take8(load8(state.checks), choice.from),
                left8(choice.flipped, static_cast<int>((at + size - 1) % 5))),
           state.checks);
  }

  // Leaves whose soft bits are decided at once and then flipped where they are least reliable:
  // nothing but information, or (parity) an even number of ones.
  template <bool parity>
  HWY_INLINE void search_leaf(const std::int8_t* soft, std::size_t size, std::size_t at) const {
    Paths metric = load8(state.metric);
    Paths origin = iota8();
    Paths flips = set8(0);
    Paths odd = set8(0);
    Paths found = search_start(soft, size, state.search);
    store8(found, state.found[0]);
    Paths least = right8<6>(found);
    if (parity) {
      std::uint64_t signs = 0;
      for (std::size_t i = 0; i < 8 * size; i += 8) {
        std::uint64_t row;
        std::memcpy(&row, soft + i, 8);
        signs ^= row;
      }
      alignas(32) std::int32_t lanes[8];
      for (int p = 0; p < 8; ++p) {
        lanes[p] = static_cast<std::int32_t>((signs >> (8 * p + 7)) & 1);
      }
      odd = load8(lanes);
      metric = add8(metric, and8(least, negate8(odd, set8(1))));
    }
    const auto rounds = std::min(size, static_cast<std::size_t>(list - (parity ? 0 : 1)));
    bool moved = false;
    for (std::size_t rank = parity ? 1 : 0; rank < rounds; ++rank) {
      if (rank != 0) {
        found = search_next(found, size, state.search);
        store8(found, state.found[rank]);
      }
      Paths cost = take8(right8<6>(found), origin);
      if (parity) cost = add8(cost, negate8(take8(least, origin), odd));
      const Choice choice = choose8(metric, add8(metric, cost), list);
      // Where nobody flips now, nobody will flip a more reliable bit.
      if (!any8(choice.flipped)) break;
      moved = true;
      metric = choice.metric;
      origin = take8(origin, choice.from);
      flips = or8(take8(flips, choice.from), left8(choice.flipped, static_cast<int>(rank)));
      if (parity) odd = xor8(take8(odd, choice.from), choice.flipped);
    }
    store8(metric, state.metric);
    std::int8_t* bits = state.bits + 8 * at;
    if (moved) {
      alignas(16) std::uint8_t then[16];
      store_pattern(origin, then);
      compose_patterns(state.pattern, 12, then);
      decide_paths(soft, 8 * size, then, bits);
    } else {
      decide(soft, 8 * size, bits);
    }
    if (parity) flips = or8(flips, odd);
    if (any8(flips)) flip(origin, flips, bits);
  }

  void flip(const Paths& origin, const Paths& flips, std::int8_t* bits) const {
    alignas(32) std::int32_t from[8];
    alignas(32) std::int32_t ranks[8];
    store8(origin, from);
    store8(flips, ranks);
    for (std::size_t p = 0; p < 8; ++p) {
      for (auto left = static_cast<unsigned>(ranks[p]); left != 0; left &= left - 1) {
        const auto rank = static_cast<std::size_t>(std::countr_zero(left));
        const auto position = static_cast<std::size_t>(state.found[rank][from[p]] & 63);
        bits[8 * position + p] ^= -1;
      }
    }
  }

  void check_leaf(const std::int8_t* soft, std::size_t at) const {
    for (std::size_t p = 0; p < 8; ++p) {
      const bool bit = ((state.checks[p] >> (at % 5)) & 1) != 0;
      state.bits[8 * at + p] = bit ? -1 : 0;
      if ((soft[p] < 0) != bit) state.metric[p] += soft[p] < 0 ? -soft[p] : soft[p];
    }
  }

  void step(const PolarStep& step) const {
    const std::size_t stage = step.stage;
    const std::size_t size = std::size_t{1} << stage;
    std::int8_t* soft = soft_at(stage);
    std::int8_t* bits = state.bits + 8 * static_cast<std::size_t>(step.at);
    switch (step.kind) {
      case Kind::f:
        f_node(soft, 4 * size, soft_at(stage - 1));
        return forget_pattern(stage);
      case Kind::g:
        g_paths(soft, bits, 4 * size, pattern(stage), soft_at(stage - 1));
        return forget_pattern(stage);
      case Kind::g_expand:
        g_shared(single_at(stage), bits, 4 * size, soft_at(stage - 1));
        return forget_pattern(stage);
      case Kind::g_zero:
        return g_zero_node(soft, 4 * size, soft_at(stage - 1));
      case Kind::f_single:
        return f_node(single_at(stage), size / 2, single_at(stage - 1));
      case Kind::g_zero_single:
        return g_zero_node(single_at(stage), size / 2, single_at(stage - 1));
      case Kind::widen:
        return widen(single_at(stage), size, soft);
      case Kind::combine:
        return combine_paths(bits, 4 * size, pattern(stage));
      case Kind::combine_zero:
        return copy_bytes(bits + 4 * size, 4 * size, bits);
      case Kind::clear:
        return fill_bytes(0, 8 * size, bits);
      case Kind::zero:
        return zero_leaf(soft, size);
      case Kind::one:
        return size == 1 ? repetition_leaf(soft, size, step.at)
                         : search_leaf<false>(soft, size, step.at);
      case Kind::repetition:
        return repetition_leaf(soft, size, step.at);
      case Kind::parity:
        return search_leaf<true>(soft, size, step.at);
      case Kind::check:
        return check_leaf(soft, step.at);
    }
  }
};

void DecodeList(const PolarCode& code, int list, State& state) {
  const ListDecoder decoder{state, list};
  decoder.start();
  for (const PolarStep& step : code.list_steps) decoder.step(step);
}

// --- what came out ---

// The codeword of the only path.
void SingleCodeword(const State& state, std::size_t n, PolarWords& words) {
  words.fill(0);
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < n; ++i) polar_word_xor(words, i, state.bits[i] != 0);
#else
  const hn::CappedTag<std::int8_t, 32> d;
  auto* out = reinterpret_cast<std::uint8_t*>(words.data());
  for (std::size_t i = 0; i < n; i += hn::MaxLanes(d)) {
    hn::StoreMaskBits(d, hn::MaskFromVec(hn::Load(d, state.bits + i)), out + i / 8);
  }
#endif
}

// The codeword of one of the 8 paths.
void ListCodeword(const State& state, std::size_t n, std::size_t path, PolarWords& words) {
  words.fill(0);
#if HWY_TARGET == HWY_SCALAR
  for (std::size_t i = 0; i < n; ++i) polar_word_xor(words, i, state.bits[8 * i + path] != 0);
#else
  const hn::CappedTag<std::int8_t, 64> d;
  for (std::size_t i = 0; i < n; i += 8) {
    std::uint64_t rows;  // bit 8 j + p: path p's bit i + j
    auto* to = reinterpret_cast<std::uint8_t*>(&rows);
    for (std::size_t at = 0; at < 64; at += hn::MaxLanes(d)) {
      hn::StoreMaskBits(d, hn::MaskFromVec(hn::Load(d, state.bits + 8 * i + at)), to + at / 8);
    }
    const std::uint64_t column =
        (((rows >> path) & 0x0101010101010101u) * 0x0102040810204080u) >> 56;
    words[i / 64] |= column << (i % 64);
  }
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::fec {

PolarWorkspace::PolarWorkspace() : state(std::make_unique<State>()) {}
PolarWorkspace::~PolarWorkspace() = default;
PolarWorkspace::PolarWorkspace(PolarWorkspace&&) noexcept = default;
PolarWorkspace& PolarWorkspace::operator=(PolarWorkspace&&) noexcept = default;

namespace cpu {

HWY_EXPORT(DecodeSingle);
HWY_EXPORT(DecodeList);
HWY_EXPORT(SingleCodeword);
HWY_EXPORT(ListCodeword);

namespace {

// The codeword's message behind the leading ones in state.message.
void read_message(const PolarCode& code, PolarWords& words, PolarWorkspace::State& state) {
  polar_transform(words, code.block_bits);
  std::uint8_t* out = state.message + 3;
  const std::size_t bits = code.message_position.size();
  if (code.message_runs.empty()) {
    const std::uint16_t* position = code.message_position.data();
    for (std::size_t k = 0; k < bits; k += 8) {
      unsigned byte = 0;
      const std::size_t count = std::min<std::size_t>(8, bits - k);
      for (std::size_t i = 0; i < count; ++i) {
        byte |= (polar_word_bit(words, position[k + i]) ? 0x80u : 0u) >> i;
      }
      out[k / 8] = static_cast<std::uint8_t>(byte);
    }
    return;
  }
  std::uint64_t message[polar_block_bits_max / 64 + 1] = {};
  for (const PolarRun& run : code.message_runs) {
    const std::uint64_t taken = words[run.from / 64] >> (run.from % 64) & run.mask;
    message[run.to / 64] |= taken << (run.to % 64);
    message[run.to / 64 + 1] |= taken >> 1 >> (63 - run.to % 64);
  }
  for (std::size_t i = 0; i < bytes_for_bits(bits); ++i) {
    out[i] = polar_reversed((message[i / 8] >> (8 * (i % 8))) & 0xff);
  }
}

bool passes(const PolarCrc& crc, const PolarCode& code, PolarWorkspace::State& state) {
  const auto ones = static_cast<std::size_t>(crc.leading_ones);
  const auto length = static_cast<std::size_t>(crc_bits(crc.crc));
  const std::size_t checked = code.message_position.size() - length;
  std::fill_n(state.message, 3, std::uint8_t{0xff});
  std::uint32_t received = 0;
  for (std::size_t i = 0; i < length; ++i) {
    received = received << 1 | (bit_at(state.message + 3, checked + i) ? 1u : 0u);
  }
  const std::size_t bits = ones + checked;
  const View<const std::uint8_t, 1> all(state.message + 3 - ones / 8, bytes_for_bits(bits));
  const std::uint32_t mask = crc.mask & ((1u << length) - 1);
  return (cpu::crc(crc.crc, all, bits) ^ mask) == received;
}

void write_message(const PolarCode& code, const PolarWorkspace::State& state, std::uint8_t* out) {
  std::copy_n(state.message + 3, bytes_for_bits(code.message_position.size()), out);
}

PolarDecoded choose_path(const PolarCode& code, const std::optional<PolarCrc>& crc,
                         std::uint8_t* message, PolarWorkspace::State& state) {
  std::size_t order[polar_list_max] = {0, 1, 2, 3, 4, 5, 6, 7};
  std::sort(order, order + polar_list_max, [&](std::size_t a, std::size_t b) {
    return state.metric[a] != state.metric[b] ? state.metric[a] < state.metric[b] : a < b;
  });
  PolarDecoded result;
  for (int rank = 0; rank < polar_list_max; ++rank) {
    const std::size_t path = order[rank];
    if (state.metric[path] >= polar_no_path) break;
    PolarWords words;
    HWY_DYNAMIC_DISPATCH(ListCodeword)
    (state, static_cast<std::size_t>(code.block_bits), path, words);
    read_message(code, words, state);
    const bool ok = crc && passes(*crc, code, state);
    if (rank == 0 || ok) {
      write_message(code, state, message);
      result = {ok, rank, state.metric[path]};
    }
    if (ok || !crc) break;
  }
  return result;
}

}  // namespace

PolarDecoded polar_decode(const PolarCode& code, View<const SoftBit, 1> coded, int list,
                          const std::optional<PolarCrc>& crc, View<std::uint8_t, 1> message,
                          PolarWorkspace& workspace) {
  assert(list == 1 || list == 2 || list == 4 || list == 8);
  assert(coded.size() == static_cast<std::size_t>(code.config.coded_bits));
  assert(message.size() >= bytes_for_bits(code.message_position.size()));
  assert(!crc || crc->leading_ones == 0 || crc->leading_ones == 24);
  assert(!crc || crc_bits(crc->crc) <= code.config.message_bits);
  auto& state = *workspace.state;
  std::int8_t* channel =
      state.single_soft + polar_soft_at(static_cast<std::size_t>(code.stages), 1);
  polar_recover(code, coded.data(), channel, state);
  if (list == 1) {
    HWY_DYNAMIC_DISPATCH(DecodeSingle)(code, state);
    PolarWords words;
    HWY_DYNAMIC_DISPATCH(SingleCodeword)
    (state, static_cast<std::size_t>(code.block_bits), words);
    read_message(code, words, state);
    write_message(code, state, message.data());
    return {.crc_ok = crc && passes(*crc, code, state)};
  }
  HWY_DYNAMIC_DISPATCH(DecodeList)(code, list, state);
  return choose_path(code, crc, message.data(), state);
}

}  // namespace cpu
}  // namespace noroshi::fec
#endif  // HWY_ONCE
