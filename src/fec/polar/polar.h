#pragma once

// Polar codes of TS 38.212 5.3.1 with their rate matching (5.4.1), as PBCH, PDCCH and UCI use them.
//
//   c' = c interleaved (5.3.1.1, I_IL)      u = c' on the information set, parity-check bits (n_PC)
//                                           and zeros elsewhere
//   d  = u G_N,  G_N = (1 0; 1 1)^(x)n      y = d interleaved by 32 sub-blocks (5.4.1.1)
//   e  = y repeated, punctured or shortened to E bits (5.4.1.2)
//   f  = e through the triangle (5.4.1.3, I_BIL)
//
// c includes its CRC; n_PC is 3 where K is 18 ... 25 without I_IL (6.3.1.3.1), else 0. Bits are
// packed, soft bits are one SoftBit each. Nothing here adds a CRC or segments (uci/, dci/, pbch/).
//
// A PolarCode is made once a configuration, outside of the slot; nothing after that allocates.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/refusal.h"
#include "base/result.h"
#include "base/units.h"
#include "base/view.h"
#include "fec/crc/crc.h"

namespace noroshi::fec {

inline constexpr int polar_block_bits_max = 1024;    // N
inline constexpr int polar_coded_bits_max = 8192;    // E
inline constexpr int polar_message_bits_min = 12;    // K
inline constexpr int polar_message_bits_max = 1023;  // K: 1012 bits of UCI and CRC11
inline constexpr int polar_list_max = 8;
// The mean magnitude that decoding starts with, whatever the soft bits have: the coarser, the fewer
// sums saturate; measured in docs/measurements/polar-floor.md.
inline constexpr int polar_mean_magnitude = 12;

struct PolarConfig {
  int message_bits = 0;           // K, CRC included
  int coded_bits = 0;             // E
  int n_max = 9;                  // 9 in the downlink, 10 in the uplink
  bool interleave_input = false;  // I_IL; K <= 164 then
  bool interleave_coded = false;  // I_BIL
};

// Errors name the field and the value: K not 12 ... 1023 (164), E below K + n_PC or above 8192,
// n_max neither 9 nor 10, no room for K bits beside those that rate matching freezes.
Result<void> check(const PolarConfig& config);
Refusal refuse(const PolarConfig& config);  // the same, without allocating

// How E bits come out of N.
enum class PolarSelection : std::uint8_t { repeat, puncture, shorten };

// One step of a decoder: what it does to the node of 2^stage bits from bit `at` on.
struct PolarStep {
  enum class Kind : std::uint8_t {
    f,             // soft bits of the left child
    g,             // soft bits of the right child
    g_zero,        // ... where the left one is all zeros
    combine,       // the node's bits from the children's
    combine_zero,  // ... where the left one is all zeros
    clear,         // a leaf without information: its bits are zero ...
    zero,          // ... and a path pays for soft bits that say otherwise
    one,           // a leaf with nothing but information
    repetition,    // a leaf whose last bit alone is information
    parity,        // a leaf whose first bit alone is frozen
    check,         // one parity-check bit of n_PC
    // Before the first information bit all paths of a list are one.
    f_single,
    g_zero_single,
    g_expand,  // g from soft bits that all paths share
    widen,     // copies the node's soft bits to all paths
  };
  Kind kind;
  std::uint8_t stage;
  std::uint16_t at;
};

// Message bits that stand together in u, within a word of 64: from there to c(to) on.
struct PolarRun {
  std::uint16_t from;
  std::uint16_t to;
  std::uint64_t mask;  // as many ones as there are bits
};

struct PolarCode {
  PolarConfig config;
  int block_bits = 0;   // N
  int stages = 0;       // n
  int parity_bits = 0;  // n_PC
  PolarSelection selection = PolarSelection::repeat;
  std::vector<std::uint16_t> information;       // Q_I, ascending, with the parity-check bits
  std::vector<std::uint16_t> parity_position;   // Q_PC, ascending
  std::vector<std::uint16_t> message_position;  // [K]: the bit of u that carries c(k)
  std::vector<PolarRun> message_runs;       // the same; empty where they would be too short to help
  std::vector<std::uint16_t> selected;      // [E]: the bit of y that is e(k)
  std::vector<std::uint16_t> triangle;      // [E]: f(i) = e(triangle[i]); empty without I_BIL
  std::vector<std::uint16_t> coded_source;  // [E]: the bit of d that is f(i)
  std::vector<std::uint16_t> subblock_position;  // [N]: J(n)
  std::vector<PolarStep> single_steps;           // of the decoder with one path
  std::vector<PolarStep> list_steps;
};

Result<PolarCode> make_polar_code(const PolarConfig& config);
// The same in place. Allocates nothing where reserve(code) came before; the code is unusable where
// it is refused.
Refusal make_polar_code(const PolarConfig& config, PolarCode& code);
void reserve(PolarCode& code);

// The check that chooses among the paths of a list: the CRC of the message that follows
// `leading_ones` ones (24 in DCI, TS 38.212 7.3.2), with its lowest bits XORed with mask.
struct PolarCrc {
  Crc crc = Crc::crc24c;
  std::uint32_t mask = 0;
  int leading_ones = 0;  // 0 or 24
};

struct PolarDecoded {
  bool crc_ok = false;  // false, too, where no CRC was asked for
  int rank = 0;         // of the path chosen, 0 = the most likely one
  // What the path costs: the sum of the magnitudes of the soft bits that it goes against, in the
  // decoder's own scale, less what all paths pay. 0 with one path.
  int metric = 0;
};

// Everything a decoder writes while it works. One a thread.
struct PolarWorkspace {
  PolarWorkspace();
  ~PolarWorkspace();
  PolarWorkspace(PolarWorkspace&&) noexcept;
  PolarWorkspace& operator=(PolarWorkspace&&) noexcept;
  struct State;
  std::unique_ptr<State> state;
};

// Preconditions of all: message has K bits, codeword N, coded E (bits) or exactly E (soft bits).
namespace ref {

// d(0) ... d(N - 1)
void polar_codeword(const PolarCode& code, View<const std::uint8_t, 1> message,
                    View<std::uint8_t, 1> codeword);
// f(0) ... f(E - 1) into bits out_bit ... of out; the others stay.
void polar_rate_match(const PolarCode& code, View<const std::uint8_t, 1> codeword,
                      View<std::uint8_t, 1> out, std::size_t out_bit);
void polar_encode(const PolarCode& code, View<const std::uint8_t, 1> message,
                  View<std::uint8_t, 1> out, std::size_t out_bit);
// The sum of all that is known of each d(i): 0 where punctured, `known` where shortened.
void polar_rate_recover(const PolarCode& code, View<const double, 1> coded, double known,
                        View<double, 1> out);
// Successive cancellation list decoding as defined (Tal, Vardy 2015; Balatsoukas-Stimming et al.
// 2015), min-sum; list >= 1. message: the most likely path that passes the CRC, else the most
// likely one.
PolarDecoded polar_decode(const PolarCode& code, View<const double, 1> coded, int list,
                          const std::optional<PolarCrc>& crc, View<std::uint8_t, 1> message);

}  // namespace ref

namespace cpu {

void polar_codeword(const PolarCode& code, View<const std::uint8_t, 1> message,
                    View<std::uint8_t, 1> codeword);
void polar_rate_match(const PolarCode& code, View<const std::uint8_t, 1> codeword,
                      View<std::uint8_t, 1> out, std::size_t out_bit);
void polar_encode(const PolarCode& code, View<const std::uint8_t, 1> message,
                  View<std::uint8_t, 1> out, std::size_t out_bit);
// As ref::, in the scale that the decoder works in: the sums that are not 0 have a mean magnitude
// of polar_mean_magnitude before they are rounded and limited to +-127. Shortened bits are 127.
// -128 counts as -127. out: N.
void polar_rate_recover(const PolarCode& code, View<const SoftBit, 1> coded, View<SoftBit, 1> out,
                        PolarWorkspace& workspace);
// list: 1, 2, 4 or 8; the CRC is no longer than the message. Where all soft bits are 0 one path
// decides for zeros; no soft bit whatever its value is a fault.
PolarDecoded polar_decode(const PolarCode& code, View<const SoftBit, 1> coded, int list,
                          const std::optional<PolarCrc>& crc, View<std::uint8_t, 1> message,
                          PolarWorkspace& workspace);

}  // namespace cpu
}  // namespace noroshi::fec
