#pragma once

// One question's meeting of client and sites. Inside the gateway room only.
//
//   answer.cpp    from the question to the answer's end, over however many sites it takes
//   part.cpp      one site's part of it, and its usage record
//   context.cpp   whether its session's context came along

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/answer_clock.h"
#include "gateway/call.h"
#include "gateway/session.h"

namespace noroshi::gateway {

struct Meeting {
  Session& client;
  const Asked& asked;
  const Question& question;
  std::string_view body;
  Time received;

  std::optional<Call> call = {};
  Choice choice = {};
  std::vector<std::uint32_t> tried = {};
  Stream stream{question.usage_asked};
  std::string content_hash = {};  // of the model that began the answer
  UsageRecord record = {};

  std::uint64_t session = 0;      // for the router (context.h); 0: none
  std::string session_name = {};  // as sites are told; empty: they are not
  std::string context_from = {};  // the site of its session's last turn, where it has moved
  std::string context = {};       // what became of its context; empty: the session did not move

  AnswerClock clock = {};    // of this part
  double others_before = 0;  // requests at the sites when it was asked for, but for this one

  bool asking = false;   // the choice is to be given to finished() yet
  bool started = false;  // the client has the header of a stream
  bool done = false;     // nothing more to carry
  bool whole = false;    // the client has its answer, so that leaving now is its right
  bool stored = false;   // the usage record
  Answered result = {};

  Metrics& metrics() const { return client.shared.metrics; }
  CallLimits limits() const { return {.silence_max_s = client.shared.config.upstream_timeout_s}; }
};

inline std::uint64_t ns_since(Time start) {
  return static_cast<std::uint64_t>(
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count());
}

inline std::int64_t unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What became of one site's part of the answer.
enum class Part : std::uint8_t {
  whole,    // the client has everything
  nothing,  // the client got nothing of it; another site may be asked
  refused,  // the same, because the site is busy or loads
  final,    // nothing, and another site would say the same: result.error
  broken,   // it broke off in the middle
  left,     // the client
  unpaid,   // the usage record is stored nowhere: the client was told
};

// Asks the chosen site (m.choice) and passes on what it says.
net::awaitable<Part> one_part(Meeting& m, std::string_view body);

// To a client whose stream has begun. False: it left.
net::awaitable<bool> send_stream_bytes(Meeting& m, std::string_view bytes);
net::awaitable<void> end_stream(Meeting& m, bool keep_alive);

void fill_record(Meeting& m, const Usage& usage, bool counted_here, Outcome outcome);
// Once; waits until the record is stored. False: it is not.
net::awaitable<bool> store_stream_usage(Meeting& m, Outcome outcome);
net::awaitable<Part> stream_unpaid(Meeting& m);  // tells the client so

}  // namespace noroshi::gateway
