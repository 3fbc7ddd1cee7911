#pragma once

// Who may go to the engine now, who waits, and who is told to come back: so that the time to the
// first token stays bounded when the radio takes processors away.
//
// The engine has `places` for requests at once; the lease lets it have a share of them. A request
// that finds no place waits in the order of priority, then of arrival. Its wait is expected to be
//
//   (those before it + 1) / open places * mean service time of late
//
// If that is above the limit it is refused at once with the seconds after which it is worth asking
// again; and when one of higher priority comes in front, those behind whose wait has grown above
// the limit are shed, the lowest and newest first. Time is an argument; thread-safe.

#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <string_view>

namespace noroshi::gateway {

// OpenAI's service_tier: "flex" may be shed first, "priority" last, all else is between.
enum class Priority : std::uint8_t { sheddable, standard, critical };
Priority priority_of(std::string_view service_tier);

class Admission {
 public:
  enum class Verdict : std::uint8_t { admitted, waits, refused };

  struct Ticket {
    Verdict verdict = Verdict::admitted;
    std::uint64_t number = 0;  // of one that waits
    int retry_after_s = 0;     // of one that is refused
  };

  // Told once to one that waits, from any thread and under no lock: admitted, or refused (with the
  // seconds).
  using Told = std::function<void(Verdict verdict, int retry_after_s)>;

  Admission(double wait_max_s, int waiting_max)
      : wait_max_s_(wait_max_s), waiting_max_(waiting_max) {}

  // places: of the engine, all told; 0: no limit. share: of them, that the lease leaves it now,
  // 0..1 (at least one stays).
  Ticket enter(Priority priority, int places, double share, Told told);
  // One that waits gives up. False when it has been told meanwhile.
  bool leave(std::uint64_t number);
  // One that was admitted is done, after this time at the engine.
  void done(double service_s);

  // Nobody is told anything from now on; those that wait are forgotten.
  void close();

  int waiting() const;
  int at_engine() const;
  std::uint64_t shed() const;

 private:
  struct Waiter {
    std::uint64_t number;
    Priority priority;
    Told told;
  };
  struct Message {
    Told told;
    Verdict verdict;
    int retry_after_s;
  };
  int open_places() const;
  double wait_s(std::size_t before) const;
  void shed_late(std::list<Message>& messages);
  void admit_next(std::list<Message>& messages);

  const double wait_max_s_;
  const int waiting_max_;
  mutable std::mutex mutex_;
  std::list<Waiter> queue_;  // the next one first
  int places_ = 0;
  double share_ = 1;
  int at_engine_ = 0;
  double service_s_ = 1;  // mean of late
  std::uint64_t next_number_ = 1;
  std::uint64_t shed_ = 0;
};

}  // namespace noroshi::gateway
