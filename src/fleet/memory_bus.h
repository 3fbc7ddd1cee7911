#pragma once

// The bus in memory, for tests under a manual clock: a network that any number of members joins.
// Messages lie in one queue until deliver() hands them out, in order, on the caller's thread; a
// member can be cut off and joined again. Streams and buckets are as NATS's, without time limits:
// what would wait answers at once.

#include <cstdint>
#include <memory>
#include <string>

#include "fleet/bus.h"

namespace noroshi::fleet {

class MemoryNetwork {
 public:
  MemoryNetwork();
  ~MemoryNetwork();
  MemoryNetwork(const MemoryNetwork&) = delete;
  MemoryNetwork& operator=(const MemoryNetwork&) = delete;

  // Another member. The network must outlive it.
  std::unique_ptr<Bus> join(const std::string& name);
  // A member that is cut off hears nothing, and what it calls fails. Messages sent to it before are
  // lost; what watches of it missed comes when it is joined again.
  void cut_off(const std::string& name, bool cut);
  // Hands out what is queued, and what its handlers publish. Returns how many messages there were.
  int deliver();
  // Queues a message as if a member had sent it: one whose answer may come later.
  void send(Message message);
  void set_now_ns(std::int64_t now_ns);  // for acknowledgements that come too late

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::fleet
