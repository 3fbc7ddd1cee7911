#pragma once

// Where each session's last turn went: a table of fixed size in buckets of eight, of which the one
// unused for longest goes first. Pure: no clock, no lock.

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace noroshi::gateway {

template <class Turn>
class SessionTable {
 public:
  explicit SessionTable(std::size_t sessions_max)
      : buckets_(std::bit_ceil(std::max<std::size_t>(1, sessions_max / ways))) {}

  // session: a hash, not 0.
  std::optional<Turn> find(std::uint64_t session) const {
    for (const Entry& entry : bucket(session)) {
      if (entry.session == session) return entry.turn;
    }
    return {};
  }

  // The bucket's first entry is the one used last.
  void put(std::uint64_t session, Turn turn) {
    Bucket& entries = buckets_[session & (buckets_.size() - 1)];
    std::size_t at = 0;
    while (at + 1 < ways && entries[at].session != session) ++at;
    if (entries[at].session == 0) ++size_;
    for (; at > 0; --at) entries[at] = std::move(entries[at - 1]);
    entries[0] = {session, std::move(turn)};
  }

  void clear() {
    buckets_.assign(buckets_.size(), Bucket{});
    size_ = 0;
  }

  // Calls f(session, turn) for each of a bucket.
  template <class F>
  void visit(std::size_t bucket, F f) const {
    for (const Entry& entry : buckets_[bucket]) {
      if (entry.session != 0) f(entry.session, entry.turn);
    }
  }

  std::size_t size() const { return size_; }
  std::size_t buckets() const { return buckets_.size(); }
  std::size_t memory_bytes() const { return buckets_.size() * sizeof(Bucket); }

  static constexpr std::size_t ways = 8;

 private:
  struct Entry {
    std::uint64_t session = 0;
    Turn turn;
  };
  using Bucket = std::array<Entry, ways>;
  const Bucket& bucket(std::uint64_t session) const {
    return buckets_[session & (buckets_.size() - 1)];
  }

  std::vector<Bucket> buckets_;
  std::size_t size_ = 0;
};

// What the router keeps.
struct Turn {
  std::uint32_t copy = 0;
  std::uint32_t born = 0;  // when that number was given: numbers are used again
  int tokens = 0;          // of its prompt
  std::int64_t at_ns = 0;  // when it was chosen
};
using Sessions = SessionTable<Turn>;

}  // namespace noroshi::gateway
