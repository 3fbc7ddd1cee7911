#pragma once

// Which of several control planes decides: whoever holds a key in KV, renewed by compare and set.
//
//   The holder renews every second and acts for 2 s from the start of its last successful renewal.
//   Another takes the key when it has seen it unchanged for 3 s of its own time.
//   The term grows with each holder; what a holder writes carries it, and who obeys refuses a
//   smaller term than it has seen: a holder that slept too long is fenced off.
//
// No clock is compared with another's. Pure: time is an argument.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace noroshi::fleet {

inline constexpr std::int64_t leader_renew_ns = 1'000'000'000;
inline constexpr std::int64_t leader_acts_ns = 2'000'000'000;
inline constexpr std::int64_t leader_silent_ns = 3'000'000'000;

struct LeaderKey {
  std::string holder = {};  // its name and instance
  std::uint64_t term = 0;
  std::uint64_t renewals = 0;
};
std::string leader_text(const LeaderKey& key);
Result<LeaderKey> parse_leader(std::string_view bytes);

class Leadership {
 public:
  explicit Leadership(std::string ourself) : ourself_(std::move(ourself)) {}

  // What is in the key now; revision 0: nothing.
  void saw(std::uint64_t revision, const LeaderKey& key, std::int64_t now_ns);

  // Bytes that nobody can read are in it: nobody's, and taken like a silent holder's, with a term
  // above every one that is known.
  void saw_garbage(std::uint64_t revision, std::uint64_t term_known, std::int64_t now_ns);

  // What to write and over which revision, when it is time to renew or to take over.
  struct Attempt {
    LeaderKey key;
    std::uint64_t revision = 0;
    std::int64_t started_ns = 0;
  };
  std::optional<Attempt> next(std::int64_t now_ns) const;
  // What came of it: the new revision, or somebody else was faster (read the key again).
  void wrote(const Attempt& attempt, std::uint64_t revision);

  bool leads(std::int64_t now_ns) const {
    return term_ > 0 && now_ns - renewed_ns_ < leader_acts_ns;
  }
  std::uint64_t term() const { return term_; }  // ours; 0: we have none
  const std::string& holder() const { return key_.holder; }

 private:
  std::string ourself_;
  std::uint64_t revision_ = 0;
  LeaderKey key_;
  std::int64_t changed_ns_ = 0;  // when we saw the revision first
  bool seen_ = false;
  std::uint64_t term_ = 0;
  std::int64_t renewed_ns_ = 0;
};

}  // namespace noroshi::fleet
