#pragma once

// DL-SCH and UL-SCH, transport block to codeword and back (TS 38.212 6.2, 7.2, without UCI):
// transport-block CRC, base graph choice, segmentation with code-block CRC, LDPC, rate matching
// with bit interleaving, concatenation. The two channels differ in nothing here.
//
// Codewords are packed bits (units.h); soft bits are one SoftBit each, in transmission order,
// already descrambled. Nothing allocates: the caller makes a workspace and HARQ buffers once, with
// a size from the largest transport block that it will ever meet.

#include <cstdint>
#include <memory>

#include "base/refusal.h"
#include "base/result.h"
#include "base/units.h"
#include "base/view.h"
#include "base/workers.h"
#include "fec/segment/segment.h"

namespace noroshi::fec {

// The largest transport block of TS 38.214 5.1.3.2 (275 PRB, 4 layers, 1024QAM), and the most coded
// bits that a slot has there.
inline constexpr int sch_tb_bits_max = 1'573'768;
inline constexpr int sch_coded_bits_max = 275 * 12 * 14 * 4 * 10;
// As many code blocks as base graph 2 would cut the largest transport block into.
inline constexpr int sch_code_blocks_max = (sch_tb_bits_max + 24) / (3840 - 24) + 1;

struct SchConfig {
  int tb_bits = 0;           // without CRC, a multiple of 8
  int code_rate_x10240 = 0;  // R * 10240; chooses the base graph (TS 38.212 6.2.2, 7.2.2)
  int bits_per_symbol = 2;   // Qm
  int layers = 1;
  int rv = 0;                   // 0..3
  int coded_bits = 0;           // G, a multiple of layers * Qm
  int limited_buffer_bits = 0;  // N_ref; 0: none
};

// Errors name the field and its value: a transport block that is empty, not whole bytes, too long,
// or that does not divide into equal code blocks; a code rate outside (0, 1]; Qm, layers or rv that
// do not exist; G too small for one symbol a code block, too large, or not whole symbols.
Result<void> check(const SchConfig& config);
Refusal refuse(const SchConfig& config);  // the same, without allocating

// Scratch for one encoder or decoder at a time. Not shared between threads.
class SchWorkspace {
 public:
  SchWorkspace();
  ~SchWorkspace();
  SchWorkspace(SchWorkspace&&) noexcept;
  SchWorkspace& operator=(SchWorkspace&&) noexcept;

  struct State;
  State& state() { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Soft bits of one HARQ process: the circular buffer of every code block that could not be decoded,
// and which code blocks have been. A block that decodes at once leaves no soft bits behind, which
// saves their way to memory: should the transport block's CRC then tell that some block fooled its
// own (once in 2^24), the next transmission begins anew for it.
class HarqBuffer {
 public:
  explicit HarqBuffer(int tb_bits_max);
  ~HarqBuffer();
  HarqBuffer(HarqBuffer&&) noexcept;
  HarqBuffer& operator=(HarqBuffer&&) noexcept;

  struct State;
  State& state() { return *state_; }
  const State& state() const { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

// Whether a transmission fits a HARQ process. Errors name the value: a transport block longer than
// the buffer was made for; a retransmission (new_data = false) with nothing to add to, or of
// another transport block size or base graph than what the buffer holds. Precondition:
// check(config).
Result<void> check_harq(const SchConfig& config, const HarqBuffer& buffer, bool new_data);
Refusal refuse_harq(const SchConfig& config, const HarqBuffer& buffer, bool new_data);

struct SchDecodeOptions {
  int iterations_max = 8;  // of the layered min-sum decoder, a code block
  bool early_stop = true;  // on code-block CRC, checked when all parities hold
};

struct SchDecodeResult {
  bool crc_ok = false;  // the transport block's CRC; with C > 1 every code block's too
  int code_blocks = 0;
  int code_blocks_ok = 0;
  int iterations = 0;  // summed over the code blocks that were decoded in this call
};

// tb: tb_bits / 8 bytes. codeword: bytes_for_bits(coded_bits) bytes, the last padded with zeros.
// Precondition: check(config).
void sch_encode(const SchConfig& config, View<const std::uint8_t, 1> tb,
                View<std::uint8_t, 1> codeword, SchWorkspace& workspace);

// soft_bits: coded_bits. new_data: forget what the buffer holds, else combine with it. tb is
// written in full also when the CRC fails (best guess). Preconditions: check(config) and
// check_harq(config, buffer, new_data).
SchDecodeResult sch_decode(const SchConfig& config, View<const SoftBit, 1> soft_bits, bool new_data,
                           const SchDecodeOptions& options, HarqBuffer& buffer,
                           View<std::uint8_t, 1> tb, SchWorkspace& workspace);
// The same with the code blocks shared among workers, each with a workspace of its own:
// workers.count of them.
SchDecodeResult sch_decode(const SchConfig& config, View<const SoftBit, 1> soft_bits, bool new_data,
                           const SchDecodeOptions& options, HarqBuffer& buffer,
                           View<std::uint8_t, 1> tb, View<SchWorkspace, 1> workspaces,
                           const Workers& workers);

// The same step by step, for soft bits that are still coming: begin, every code block once, end.
struct SchDecode {
  SchConfig config;
  SchDecodeOptions options;
  Segmentation segmentation;
  HarqBuffer::State* held = nullptr;
  View<std::uint8_t, 1> tb;  // written block by block
  // Different code blocks may be decoded at the same time; else neighbours share a byte.
  bool shareable = false;
  // E_r (TS 38.212 5.4.2.1): of the shorter blocks, which come first, and by how much the others
  // are longer: a symbol a layer.
  int shorter_blocks = 0, shorter_bits = 0, longer_by = 0;
};
SchDecode sch_decode_begin(const SchConfig& config, bool new_data, const SchDecodeOptions& options,
                           HarqBuffer& buffer, View<std::uint8_t, 1> tb);
// Where the soft bits of a code block begin; of the one behind the last: how many there are.
std::size_t sch_block_begin(const SchDecode& decode, int block);
// soft_bits: the block's. Returns the iterations. The block's part of the transport block's parity
// is taken and its bits are put into tb while they are in the nearest cache.
int sch_decode_block(const SchDecode& decode, int block, View<const SoftBit, 1> soft_bits,
                     SchWorkspace& workspace);
// iterations: the sum.
SchDecodeResult sch_decode_end(const SchDecode& decode, int iterations);

}  // namespace noroshi::fec
