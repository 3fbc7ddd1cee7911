#pragma once

// LDPC codes of TS 38.212 5.3.2: H x c = 0 over GF(2), where H is base graph 1 or 2 with every
// entry V_ij replaced by the Zc x Zc identity whose row l has its one in column (l + V_ij) mod Zc.
//
//   base graph   columns of c   information columns   rows   N (the first 2 Zc bits are not sent)
//   1            68             22                    46     66 Zc
//   2            52             10                    42     50 Zc
//
// Bits are packed densely, most significant first: d_i of the clause is bit i of the codeword for
// every Zc, also where Zc is not a multiple of 8. ref:: is plain; cpu:: gives the same codeword
// bit for bit, and a decoder of 8-bit messages whose block error rate the tests hold to ref::'s.
// cpu:: never allocates after construction, locks, or throws; ref::ldpc_decode allocates its own
// scratch.

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/units.h"
#include "base/view.h"

namespace noroshi::fec {

inline constexpr int ldpc_lifting_size_max = 384;
inline constexpr int ldpc_information_bits_max = 22 * ldpc_lifting_size_max;
inline constexpr int ldpc_codeword_bits_max = 66 * ldpc_lifting_size_max;

// Whether zc is one of the 51 lifting sizes of table 5.3.2-1.
bool ldpc_is_lifting_size(int zc);
// The set index i_LS, 0..7. Precondition: ldpc_is_lifting_size(zc).
int ldpc_set_index(int zc);
// The 51 lifting sizes, ascending.
View<const std::uint16_t, 1> ldpc_lifting_sizes();

constexpr int ldpc_information_columns(int base_graph) { return base_graph == 1 ? 22 : 10; }
constexpr int ldpc_codeword_columns(int base_graph) { return base_graph == 1 ? 66 : 50; }
constexpr int ldpc_information_bits(int base_graph, int zc) {
  return ldpc_information_columns(base_graph) * zc;
}
constexpr int ldpc_codeword_bits(int base_graph, int zc) {
  return ldpc_codeword_columns(base_graph) * zc;
}

struct LdpcDecodeConfig {
  int base_graph = 1;         // 1 or 2
  int zc = 0;                 // a lifting size
  int filler_bits = 0;        // the last of the information bits, known to be 0
  int iterations_max = 8;     // >= 1
  int bits_per_symbol = 2;    // Qm: the larger, the more soft bits differ in how sure they are
  int min_sum_scale_x16 = 0;  // 16 * the factor of normalised min-sum, 8..16; 0: LdpcMinSum's rule
  bool early_stop = true;     // when all parities hold and, if given, `accept` agrees

  // Asked with the information bits (packed, fillers included) when the parities of the core's rows
  // hold (where the decision is all zeros, all parities); false goes on. Null: all parities are
  // enough.
  bool (*accept)(const std::uint8_t* bits_packed, void* context) = nullptr;
  void* accept_context = nullptr;
};

// Errors name the field and its value: a base graph or lifting size that does not exist, fillers
// that leave no information bit, no iteration, bits a symbol that no modulation has, a factor that
// is neither 0 nor 8 to 16, or a count of soft bits outside 1..N.
Result<void> check(const LdpcDecodeConfig& config, std::size_t llr_size);

struct LdpcDecodeResult {
  int iterations = 0;
  // All parities that touch a received bit hold in the decision; with `accept` and early_stop those
  // that `accept` is asked at.
  bool parity_ok = false;
  bool accepted = false;  // parity_ok and `accept`, if given, agreed (asked with early_stop only)
};

// Scratch for one decoder at a time, about 250 KiB; also remembers the last code's tables, so one
// workspace that keeps decoding one code does not rebuild them.
class LdpcWorkspace {
 public:
  LdpcWorkspace();
  ~LdpcWorkspace();
  LdpcWorkspace(LdpcWorkspace&&) noexcept;
  LdpcWorkspace& operator=(LdpcWorkspace&&) noexcept;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// bits: the K = 22 Zc or 10 Zc information bits, fillers as 0. Writes d_0 .. d_(codeword_bits - 1)
// and pads the last byte with zeros; computes only the parity rows that this needs.
// Preconditions: 0 < codeword_bits <= N; bits.size() >= bytes_for_bits(K);
// codeword.size() >= bytes_for_bits(codeword_bits). The views do not overlap.
namespace ref {
void ldpc_encode(int base_graph, int zc, View<const std::uint8_t, 1> bits,
                 View<std::uint8_t, 1> codeword, int codeword_bits);
}
namespace cpu {
void ldpc_encode(int base_graph, int zc, View<const std::uint8_t, 1> bits,
                 View<std::uint8_t, 1> codeword, int codeword_bits);
}

// Layered min-sum, corrected as LdpcMinSum says. llr: the soft bits of d_0 .. d_(llr.size() - 1), 0
// < size <= N; the rest of the codeword counts as not received, and parity rows that only it would
// feed are left out, so a shorter llr is faster. Values at filler positions are not looked at.
// bits: bytes_for_bits(K) bytes, decisions with fillers as 0, written in full whatever the outcome.
// Precondition: check(config, llr.size()).
//
// Every int8 is a soft bit: 0 knows nothing, 127 is the most certain 0, -127 the most certain 1,
// and -128 counts like -127 (ref:: takes its value). The common scale does not matter: cpu:: brings
// the mean magnitude of what is not 0 to its own. Only zeros decode to zeros, with all parities
// held. Amplitudes from 2 to 200, the mean of what saturation would not have cut, decode alike; at
// either end only signs are left, which costs what hard decisions cost.
namespace ref {
LdpcDecodeResult ldpc_decode(const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                             View<std::uint8_t, 1> bits, LdpcWorkspace& workspace);
}
namespace cpu {
LdpcDecodeResult ldpc_decode(const LdpcDecodeConfig& config, View<const SoftBit, 1> llr,
                             View<std::uint8_t, 1> bits, LdpcWorkspace& workspace);
}

}  // namespace noroshi::fec
