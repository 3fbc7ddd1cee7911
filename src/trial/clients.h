#pragma once

// Users of the service: each asks, reads its answer as a stream, checks every word of it
// (stub_text.h) and asks again. What became of each request is kept, to be compared with what the
// service says of itself.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace noroshi::trial {

struct ClientsConfig {
  std::string host = "127.0.0.1";
  int tcp_port = 0;
  std::string model = "stub";
  std::string api_key = {};
  int concurrency = 50;
  int prompt_tokens = 200;
  int max_tokens = 100;  // of an answer on average; half to one and a half times as many
  int rest_ms = 0;       // between two requests of one user, and after a failure 100 at least
  std::uint64_t seed = 1;
};

enum class Fate : std::uint8_t {
  whole,    // every word, to the end
  refused,  // 429 or 503, before anything was answered
  failed,   // another status, no connection, nothing of the answer came
  broken,   // the answer began and did not end well
  wrong,    // words that are not the answer's
};

struct Asked {
  Fate fate = Fate::failed;
  std::string id = {};    // X-Request-Id
  std::string site = {};  // X-Noroshi-Site: where the answer began; empty: nowhere
  std::string why = {};
  std::int64_t asked_ns = 0;  // steady clock; all of them
  std::int64_t first_ns = 0;  // 0: nothing came
  std::int64_t done_ns = 0;
  std::int64_t gap_ns_max = 0;  // between two pieces of the answer
  std::uint64_t tokens = 0;     // that came
  bool resumed = false;         // the answer says that it went on at another site
};

class Clients {
 public:
  // Their own thread asks until finish(); started on a region's thread it lives in the region.
  // Errors: the address.
  static Result<Clients> start(ClientsConfig config);
  Clients(Clients&&) noexcept;
  Clients& operator=(Clients&&) noexcept;
  ~Clients();

  std::uint64_t open_streams() const;  // that have begun and not ended
  std::vector<Asked> done() const;     // so far
  // Asks nothing new, waits for what is open (at most timeout_s, then breaks it off), and returns
  // everything.
  std::vector<Asked> finish(double timeout_s);

 private:
  Clients();
  struct State;
  std::unique_ptr<State> state_;
};

const char* name_of(Fate fate);

}  // namespace noroshi::trial
