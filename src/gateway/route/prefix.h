#pragma once

// Which site has the beginning of which prompt in its cache, as far as this gateway can guess from
// what it sent where.
//
// A prompt is cut into blocks of 512 bytes (64 of them, then 64 of 1 KiB, and so on: the whole of a
// prompt of 4 MiB has 570), and each block's hash covers everything before it. So two prompts share
// hash k exactly when they are equal up to the end of block k.
//
// The index remembers (hash, copy) pairs in a table of fixed size, in buckets of eight of which the
// oldest goes first. A copy's engine keeps only so many tokens, least recently used first out: each
// copy counts the blocks that it was given, and a pair counts only while the copy was not given
// more than its cache holds since. Pure: no clock, no lock.

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace noroshi::gateway {

inline constexpr std::size_t prefix_block_bytes = 512;
inline constexpr std::size_t prefix_blocks_of_a_size = 64;
inline constexpr std::size_t prefix_blocks_max = 640;
inline constexpr int bytes_per_token = 4;  // about; what a prompt's tokens are guessed from

// Bytes of the prompt that its first `blocks` blocks cover.
std::size_t prefix_bytes(std::size_t blocks);

// Takes a prompt in pieces; what is left over after the last whole block has no hash.
class PrefixHasher {
 public:
  // seed: what else must be equal for a cache to be of use, such as the model's name.
  explicit PrefixHasher(std::string_view seed);
  void add(std::string_view text);
  // 0: the piece is over; two lists of pieces that join to the same text differ.
  void end_piece() { add(std::string_view("\0", 1)); }

  std::span<const std::uint64_t> blocks() const { return blocks_; }
  std::size_t bytes() const { return bytes_; }

 private:
  std::uint64_t chain_ = 0;
  std::size_t bytes_ = 0;
  std::string pending_;  // bytes of a block that is not full yet
  std::vector<std::uint64_t> blocks_;
};

std::uint64_t hash_text(std::string_view text, std::uint64_t seed = 0);

class PrefixIndex {
 public:
  static constexpr std::size_t ways = 8;

  explicit PrefixIndex(std::size_t entries_max);  // rounded up to a power of two, 64 at least

  struct Holder {
    std::uint32_t copy = 0;
    std::size_t blocks = 0;  // of the prompt, from its beginning
  };
  static constexpr std::size_t holders_max = 4;

  // A copy's engine holds so many tokens. Forgets what is remembered of a copy of that number.
  void add_copy(std::uint32_t copy, int cache_tokens);
  void set_cache(std::uint32_t copy, int cache_tokens);
  void forget(std::uint32_t copy);  // its engine has lost its cache

  // Writes the copies that have most of the prompt, longest first. Returns how many.
  std::size_t find(std::span<const std::uint64_t> blocks,
                   std::span<Holder, holders_max> holders) const;
  // The copy is given this prompt.
  void insert(std::span<const std::uint64_t> blocks, std::uint32_t copy);

  std::size_t memory_bytes() const;

 private:
  struct Entry {
    std::uint32_t tag = 0;
    std::uint32_t copy = none;
    std::uint32_t stamp = 0;  // the copy's clock when it was given the block last
    std::uint32_t age = 0;    // the table's clock then: the oldest of a bucket goes first
  };
  struct Cache {
    std::uint32_t clock = 0;  // 512-byte blocks that it was given
    std::uint32_t size = 0;   // that it holds
    std::uint32_t lives = 0;  // times that it was forgotten; part of the tag, so that what was
                              // remembered before never counts again
  };
  static constexpr std::uint32_t none = 0xffffffffu;

  std::size_t bucket_of(std::uint64_t hash) const { return (hash & mask_) * ways; }
  std::uint32_t tag_of(std::uint64_t hash, std::uint32_t copy) const;
  bool holds(const Entry& entry, std::uint64_t hash) const;
  Entry* entry_of(std::uint64_t hash, std::uint32_t copy);
  // The deepest block in [0, blocks) which a copy that is not in `found` has; blocks if none.
  std::size_t deepest(std::span<const std::uint64_t> blocks, std::span<const Holder> found) const;
  std::uint32_t any_other(std::uint64_t hash, std::span<const Holder> found) const;

  std::vector<Entry> entries_;
  std::uint64_t mask_ = 0;
  std::uint32_t age_ = 0;
  std::vector<Cache> caches_;  // by copy
};

}  // namespace noroshi::gateway
