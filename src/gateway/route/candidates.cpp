#include "gateway/route/candidates.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>

namespace noroshi::gateway {
namespace {
constexpr float infinite = std::numeric_limits<float>::infinity();
// A common request, to tell which copies lie together.
constexpr float common_prompt_tokens = 500;
constexpr float common_completion_tokens = 100;
}  // namespace

int Candidates::bucket_of(const Terms& terms) {
  const float score = terms.fixed_s + common_prompt_tokens * terms.per_prompt_token_s +
                      common_completion_tokens * terms.per_completion_token_s;
  const float octave = std::log2(std::clamp(score, 0x1p-20f, 0x1p20f)) + 20;
  return std::min(buckets - 1, static_cast<int>(4 * octave));
}

void Candidates::bound(std::size_t block) {
  const std::size_t first = block * block_copies;
  float least[4] = {infinite, infinite, infinite, infinite};
  for (std::size_t i = first; i < first + block_copies; ++i) {
    // An empty lane's other columns are zero, which would spoil the bound.
    if (fixed_s[i] == infinite) continue;
    least[0] = std::min(least[0], fixed_s[i]);
    least[1] = std::min(least[1], per_prompt_token_s[i]);
    least[2] = std::min(least[2], per_completion_token_s[i]);
    least[3] = std::min(least[3], reads_until_s[i]);
  }
  bound_fixed_[block] = least[0];
  bound_prompt_[block] = least[0] == infinite ? 0 : least[1];
  bound_completion_[block] = least[0] == infinite ? 0 : least[2];
  bound_reads_until_[block] = least[0] == infinite ? 0 : least[3];
}

void Candidates::write(std::uint32_t slot, std::uint32_t copy, const Terms& terms) {
  fixed_s[slot] = terms.fixed_s;
  per_prompt_token_s[slot] = terms.per_prompt_token_s;
  per_completion_token_s[slot] = terms.per_completion_token_s;
  reads_until_s[slot] = terms.reads_until_s;
  copies[slot] = copy;
  bound(slot / block_copies);
}

std::size_t Candidates::block_with_room(int bucket) {
  auto& room = room_[static_cast<std::size_t>(bucket)];
  if (!room.empty()) return room.back();
  std::size_t block = 0;
  if (!empty_.empty()) {
    block = empty_.back();
    empty_.pop_back();
  } else {
    block = blocks_.size();
    blocks_.emplace_back();
    const std::size_t lanes = blocks_.size() * block_copies;
    fixed_s.resize(lanes, infinite);
    per_prompt_token_s.resize(lanes, 0);
    per_completion_token_s.resize(lanes, 0);
    reads_until_s.resize(lanes, 0);
    copies.resize(lanes, absent);
    const std::size_t padded = (blocks_.size() + bound_padding - 1) / bound_padding * bound_padding;
    bound_fixed_.resize(padded, infinite);
    bound_prompt_.resize(padded, 0);
    bound_completion_.resize(padded, 0);
    bound_reads_until_.resize(padded, 0);
  }
  blocks_[block].bucket = bucket;
  blocks_[block].listed = true;
  room.push_back(static_cast<std::uint32_t>(block));
  return block;
}

void Candidates::put(std::uint32_t& slot, std::uint32_t copy, Terms terms) {
  assert(std::isfinite(terms.fixed_s) && terms.per_prompt_token_s >= 0 &&
         terms.per_completion_token_s >= 0 && terms.reads_until_s >= 0 &&
         std::isfinite(terms.reads_until_s));
  const int bucket = bucket_of(terms);
  if (slot != absent) {
    assert(copies[slot] == copy);
    // A neighbouring bucket is near enough, so that a value on the edge does not move each time.
    if (std::abs(blocks_[slot / block_copies].bucket - bucket) <= 1) {
      return write(slot, copy, terms);
    }
    remove(slot);
  }
  const std::size_t block = block_with_room(bucket);
  Block& b = blocks_[block];
  const int lane = std::countr_one(b.used);
  b.used |= std::uint64_t{1} << lane;
  if (b.used == ~std::uint64_t{0}) {
    room_[static_cast<std::size_t>(b.bucket)].pop_back();  // it was the last one listed
    b.listed = false;
  }
  slot = static_cast<std::uint32_t>(block * block_copies + static_cast<std::size_t>(lane));
  ++size_;
  write(slot, copy, terms);
}

void Candidates::remove(std::uint32_t& slot) {
  if (slot == absent) return;
  const std::size_t block = slot / block_copies;
  Block& b = blocks_[block];
  b.used &= ~(std::uint64_t{1} << (slot % block_copies));
  write(slot, absent, {infinite, 0, 0, 0});
  auto& room = room_[static_cast<std::size_t>(b.bucket)];
  const auto number = static_cast<std::uint32_t>(block);
  if (b.used == 0) {
    if (b.listed) std::erase(room, number);
    b.listed = false;
    empty_.push_back(number);
  } else if (!b.listed) {
    room.push_back(number);
    b.listed = true;
  }
  slot = absent;
  --size_;
}

void Candidates::rebase(float seconds) {
  for (float& until : reads_until_s) until = std::max(0.0f, until - seconds);
  for (float& until : bound_reads_until_) until = std::max(0.0f, until - seconds);
}

std::size_t Candidates::memory_bytes() const {
  std::size_t bytes =
      (fixed_s.capacity() + per_prompt_token_s.capacity() + per_completion_token_s.capacity() +
       reads_until_s.capacity() + bound_fixed_.capacity() + bound_prompt_.capacity() +
       bound_completion_.capacity() + bound_reads_until_.capacity()) *
      sizeof(float);
  bytes += copies.capacity() * sizeof(std::uint32_t) + blocks_.capacity() * sizeof(Block);
  for (const auto& room : room_) bytes += room.capacity() * sizeof(std::uint32_t);
  return bytes + empty_.capacity() * sizeof(std::uint32_t);
}

}  // namespace noroshi::gateway
