#pragma once

// A fleet has many gateways, and a session may come in by any of them: each is a door to the same
// house. What makes them so:
//
//   secret   one for all, which the control plane keeps in KV (desired.h): under it they give a
//            session the same name. Until it was heard, and for as long as the bus is dead, a
//            gateway uses one that it drew, and its sessions are its own
//   turns    each tells, five times a second, where the sessions' turns went that it has sent
//            somewhere since (turns.h), and hears the others'
//   asking   one that has just started asks once what is known. Of those that hear it one tells it
//            all, in as many messages as it takes: each waits for a moment of its own, and is
//            silent when another has announced that it will tell, and knows about as much.
//            Control planes do as doors do here, though they send nothing anywhere (turns_kept.h)
//
// Which of two turns is the later is judged by the hearer's clock, with the age that was told: a
// turn seems younger than it is by the time that its message took. So two turns of one session
// within that time, at two doors, may count in either order; both were answered all the same.
//
// Nothing here is on a request's way. Lost are turns that were told while the bus was dead; their
// sessions begin anew, or follow the prefix of their prompt.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fleet/bus.h"
#include "fleet/turns.h"

namespace noroshi::gateway {
class Router;
}

namespace noroshi::fleet {

struct DoorsConfig {
  std::string id = {};       // a word, of this gateway alone
  std::uint64_t origin = 0;  // of this process alone: drawn
  std::string secret = {};   // drawn: until there is the fleet's
};

// Where turns come from and go to: a gateway's router, by its words (gateway/route/route.h).
struct DoorsSink {
  std::function<gateway::ToldTurns()> new_turns;
  std::function<void(const gateway::ToldTurns&)> hear;
  std::function<gateway::ToldTurns(std::size_t& from, std::size_t turns_max, std::int64_t since_ns)>
      known_turns;
  std::function<std::uint64_t()> sessions_known;  // at most
};
DoorsSink doors_sink_of(gateway::Router& router);

struct DoorsCounters {
  bool shares_secret = false;  // it has heard the fleet's
  std::uint64_t told = 0;      // turns that it has told
  std::uint64_t lost = 0;      // that it could not tell: no bus, or no shared secret
  std::uint64_t heard = 0;     // messages of others
  std::uint64_t refused = 0;   // malformed, or too many ask
  std::uint64_t asks = 0;      // that it has heard
  std::uint64_t answered = 0;  // of them, by it
  std::string last_error = {};
};

class Doors {
 public:
  Doors(Bus& bus, Clock& clock, DoorsConfig config, DoorsSink sink);

  Result<void> start();
  // Tells, asks and answers when it is time. Never waits. Every few ten milliseconds.
  void step();
  // For names of sessions (gateway/context.h). From any thread.
  std::string secret() const;
  DoorsCounters counters() const;

 private:
  struct Asked {
    std::string id;
    std::int64_t due_ns = 0;
  };
  void heard_turns(const Message& message);
  void heard_secret(const KvEntry& entry);
  void tell_new_turns();
  void ask_once(std::int64_t now_ns);
  void announce_answer(std::int64_t now_ns);
  void tell_asker(std::int64_t now_ns);
  bool send(const std::string& subject, TurnsMessage message, std::int64_t now_ns);
  void refuse(const Error& error);

  Bus& bus_;
  Clock& clock_;
  const DoorsConfig config_;
  const DoorsSink sink_;
  const std::int64_t started_ns_;

  mutable std::mutex mutex_;  // of all below
  std::string shared_secret_;
  std::map<std::uint64_t, Asked> asked_;  // by origin: whom we may have to tell
  DoorsCounters counters_;

  // Of step() alone.
  std::int64_t next_ns_ = 0;
  bool has_asked_ = false;
  std::string telling_;      // whom we tell all that is known; empty: nobody
  std::size_t told_to_ = 0;  // how far
  std::vector<std::unique_ptr<Subscription>> subscriptions_;  // last: its handlers use the others
};

}  // namespace noroshi::fleet
