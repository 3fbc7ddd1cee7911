#pragma once

// All copies of one model, as numbers to scan. The score of copy i for a request of P prompt tokens
// and C completion tokens is
//
//   s_i = fixed_i + max(0, reads_until_i - now) + P per_prompt_token_i + C per_completion_token_i
//
// in seconds, the less the better. reads_until: when the copy will have read the prompts that it
// was given; so its backlog melts away without anybody touching the table.
//
// Copies lie in blocks of 64, and each block knows the least of each of its four columns: the
// score of those is a bound below which no copy of the block can be. A copy lies among others of
// about its own score for a common request, so most blocks' bounds are above the best scores and
// are not opened: at 50 000 copies the bounds are 12.5 KB, the columns 800 KB.
//
// Not thread-safe. No clock, no chance.

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace noroshi::gateway {

struct Terms {
  float fixed_s = 0;
  float per_prompt_token_s = 0;
  float per_completion_token_s = 0;
  float reads_until_s = 0;
};

struct Scored {
  float score_s = 0;
  std::uint32_t copy = 0;
};

class Candidates {
 public:
  static constexpr std::size_t block_copies = 64;
  static constexpr std::uint32_t absent = 0xffffffffu;

  // Adds the copy when slot is absent, else changes it. slot: where it lies, kept by the caller.
  void put(std::uint32_t& slot, std::uint32_t copy, Terms terms);
  void remove(std::uint32_t& slot);
  // The clock of reads_until starts anew, so much later: floats are fine only near zero.
  void rebase(float seconds);

  std::size_t size() const { return size_; }
  std::size_t blocks() const { return bound_fixed_.size(); }
  std::size_t memory_bytes() const;

  // [block x 64 + lane]; an empty lane has an infinite fixed term.
  std::vector<float> fixed_s, per_prompt_token_s, per_completion_token_s, reads_until_s;
  std::vector<std::uint32_t> copies;

  // [block], padded with infinite bounds to a multiple of bound_padding.
  static constexpr std::size_t bound_padding = 16;
  std::span<const float> bound_fixed() const { return bound_fixed_; }
  std::span<const float> bound_prompt() const { return bound_prompt_; }
  std::span<const float> bound_completion() const { return bound_completion_; }
  std::span<const float> bound_reads_until() const { return bound_reads_until_; }

 private:
  static constexpr int buckets = 160;  // a quarter of an octave each, from 2^-20 s
  static int bucket_of(const Terms& terms);
  void write(std::uint32_t slot, std::uint32_t copy, const Terms& terms);
  void bound(std::size_t block);
  std::size_t block_with_room(int bucket);

  struct Block {
    std::uint64_t used = 0;  // a bit a lane
    int bucket = 0;
    bool listed = false;  // among the blocks of its bucket that have room
  };
  std::vector<Block> blocks_;
  std::vector<float> bound_fixed_, bound_prompt_, bound_completion_, bound_reads_until_;
  std::vector<std::vector<std::uint32_t>> room_ = std::vector<std::vector<std::uint32_t>>(buckets);
  std::vector<std::uint32_t> empty_;  // blocks of no bucket
  std::size_t size_ = 0;
};

// What is looked for.
struct BestQuery {
  float prompt_tokens = 0;
  float completion_tokens = 0;
  float band = 0;  // a copy whose score is below best (1 + band) + band_s is among the best
  float band_s = 0;
  std::size_t turn = 0;                           // where the scan starts: among equals, the first
  std::span<const std::uint32_t> passed_by = {};  // copies that do not count
  float now_s = 0;                                // on the clock of reads_until; 0 or later
};

inline constexpr std::size_t best_copies_max = 16;

// The best copies in order, at most best.size() of them (best_copies_max). Returns how many.
namespace ref {
std::size_t best_copies(const Candidates& table, const BestQuery& query, std::span<Scored> best);
}
namespace cpu {
// scratch: of bound_fixed().size() floats; what it holds does not matter.
std::size_t best_copies(const Candidates& table, const BestQuery& query, std::span<float> scratch,
                        std::span<Scored> best);
}  // namespace cpu

}  // namespace noroshi::gateway
