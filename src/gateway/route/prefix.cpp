#include "gateway/route/prefix.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>

namespace noroshi::gateway {
namespace {

constexpr std::uint64_t odd_a = 0x9e3779b97f4a7c15u;
constexpr std::uint64_t odd_b = 0xd1342543de82ef95u;

std::uint64_t word_at(const char* at) {
  std::uint64_t word = 0;
  std::memcpy(&word, at, sizeof word);
  return word;
}

__extension__ using Wide = unsigned __int128;

// The high and low half of a product: every bit of both depends on every bit of the factors.
std::uint64_t fold(std::uint64_t x, std::uint64_t y) {
  const Wide product = static_cast<Wide>(x) * y;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

std::size_t block_bytes(std::size_t block) {
  return prefix_block_bytes << (block / prefix_blocks_of_a_size);
}

}  // namespace

std::size_t prefix_bytes(std::size_t blocks) {
  std::size_t bytes = 0;
  std::size_t size = prefix_block_bytes;
  for (; blocks > prefix_blocks_of_a_size; blocks -= prefix_blocks_of_a_size, size *= 2) {
    bytes += prefix_blocks_of_a_size * size;
  }
  return bytes + blocks * size;
}

// Four chains side by side, because one would wait for each product.
std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  std::uint64_t h[4] = {seed ^ odd_a, seed + odd_b, seed ^ ~odd_b, seed - odd_a};
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 32; left -= 32, at += 32) {
    for (int i = 0; i < 4; ++i) h[i] = fold(h[i] ^ word_at(at + 8 * i), odd_a + 2 * h[i] + 1);
  }
  char rest[32] = {};
  if (left > 0) std::memcpy(rest, at, left);
  for (int i = 0; i < 4; ++i) h[i] = fold(h[i] ^ word_at(rest + 8 * i), odd_b);
  return fold(fold(h[0] ^ text.size(), h[1] | 1) + odd_a, fold(h[2] + odd_b, h[3] | 1) | 1);
}

PrefixHasher::PrefixHasher(std::string_view seed) : chain_(hash_text(seed)) {}

void PrefixHasher::add(std::string_view text) {
  bytes_ += text.size();
  while (!text.empty() && blocks_.size() < prefix_blocks_max) {
    const std::size_t size = block_bytes(blocks_.size());
    std::string_view block;
    if (pending_.empty() && text.size() >= size) {
      block = text.substr(0, size);
      text.remove_prefix(size);
    } else {
      const std::size_t taken = std::min(size - pending_.size(), text.size());
      pending_.append(text.substr(0, taken));
      text.remove_prefix(taken);
      if (pending_.size() < size) return;
      block = pending_;
    }
    chain_ = hash_text(block, chain_);
    blocks_.push_back(chain_);
    pending_.clear();
  }
}

PrefixIndex::PrefixIndex(std::size_t entries_max) {
  const std::size_t entries = std::bit_ceil(std::max<std::size_t>(64, entries_max));
  entries_.resize(entries);
  mask_ = entries / ways - 1;
}

void PrefixIndex::add_copy(std::uint32_t copy, int cache_tokens) {
  if (copy >= caches_.size()) caches_.resize(copy + 1);
  set_cache(copy, cache_tokens);
  forget(copy);
}

void PrefixIndex::set_cache(std::uint32_t copy, int cache_tokens) {
  assert(copy < caches_.size());
  const std::int64_t bytes = static_cast<std::int64_t>(std::max(0, cache_tokens)) * bytes_per_token;
  caches_[copy].size =
      static_cast<std::uint32_t>(std::min<std::int64_t>(bytes / prefix_block_bytes, 1 << 29));
}

void PrefixIndex::forget(std::uint32_t copy) {
  assert(copy < caches_.size());
  ++caches_[copy].lives;
}

std::uint32_t PrefixIndex::tag_of(std::uint64_t hash, std::uint32_t copy) const {
  return static_cast<std::uint32_t>(hash >> 32) ^ (caches_[copy].lives * 0x9e3779b1u);
}

bool PrefixIndex::holds(const Entry& entry, std::uint64_t hash) const {
  if (entry.copy == none || entry.tag != tag_of(hash, entry.copy)) return false;
  const Cache& cache = caches_[entry.copy];
  return cache.clock - entry.stamp < cache.size;
}

std::uint32_t PrefixIndex::any_other(std::uint64_t hash, std::span<const Holder> found) const {
  const std::size_t first = bucket_of(hash);
  std::uint32_t newest = none;
  std::uint32_t newest_age = 0;
  for (std::size_t i = first; i < first + ways; ++i) {
    const Entry& entry = entries_[i];
    if (!holds(entry, hash)) continue;
    const bool known =
        std::ranges::any_of(found, [&](const Holder& holder) { return holder.copy == entry.copy; });
    if (known) continue;
    const std::uint32_t age = age_ - entry.age;
    if (newest == none || age < newest_age) {
      newest = entry.copy;
      newest_age = age;
    }
  }
  return newest;
}

// A copy that has block k was given all before it, so the depths at which one is found are a
// prefix: a binary search. Blocks that fell out of the table make the search end early, never
// wrong.
std::size_t PrefixIndex::deepest(std::span<const std::uint64_t> blocks,
                                 std::span<const Holder> found) const {
  std::size_t low = 0;  // blocks known to be held
  std::size_t high = blocks.size();
  while (low < high) {
    const std::size_t middle = (low + high + 1) / 2;
    if (any_other(blocks[middle - 1], found) != none) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

std::size_t PrefixIndex::find(std::span<const std::uint64_t> blocks,
                              std::span<Holder, holders_max> holders) const {
  std::size_t count = 0;
  while (count < holders_max) {
    const auto found = holders.first(count);
    const std::size_t depth = deepest(blocks, found);
    if (depth == 0) break;
    while (count < holders_max) {
      const std::uint32_t copy = any_other(blocks[depth - 1], holders.first(count));
      if (copy == none) break;
      holders[count++] = {copy, depth};
    }
    blocks = blocks.first(depth);
  }
  return count;
}

PrefixIndex::Entry* PrefixIndex::entry_of(std::uint64_t hash, std::uint32_t copy) {
  const std::size_t first = bucket_of(hash);
  const std::uint32_t tag = tag_of(hash, copy);
  for (std::size_t i = first; i < first + ways; ++i) {
    Entry& entry = entries_[i];
    if (entry.copy == copy && entry.tag == tag) return &entry;
  }
  return nullptr;
}

// All blocks of a prompt get one stamp, so that a copy never counts as having a block without the
// ones before it.
void PrefixIndex::insert(std::span<const std::uint64_t> blocks, std::uint32_t copy) {
  assert(copy < caches_.size());
  Cache& cache = caches_[copy];
  ++age_;
  std::size_t given = 0;
  for (std::size_t block = 0; block < blocks.size(); ++block) {
    const Entry* entry = entry_of(blocks[block], copy);
    const bool held = entry != nullptr && holds(*entry, blocks[block]);
    if (!held) given += block_bytes(block) / prefix_block_bytes;
  }
  cache.clock += static_cast<std::uint32_t>(given);
  for (const std::uint64_t hash : blocks) {
    Entry* place = entry_of(hash, copy);
    if (place == nullptr) {
      const auto bucket = std::span(entries_).subspan(bucket_of(hash), ways);
      place = &*std::ranges::max_element(bucket, {}, [this](const Entry& entry) {
        return entry.copy == none ? ~std::uint32_t{0} : age_ - entry.age;
      });
    }
    *place = {tag_of(hash, copy), copy, cache.clock, age_};
  }
}

std::size_t PrefixIndex::memory_bytes() const {
  return entries_.size() * sizeof(Entry) + caches_.capacity() * sizeof(Cache);
}

}  // namespace noroshi::gateway
