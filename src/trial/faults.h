#pragma once

// `noroshi bench fleet`, its faults: what users notice when a part of the fleet dies, and whether
// every answer is in the store of usage, once.
//
// Each case: 50 streams in the east and 10 in the west, warm for two seconds, then the fault; it is
// mended after some seconds, users finish, and the store is compared with what they got.

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "trial/clients.h"

namespace noroshi::trial {

struct FaultOptions {
  std::string cases = "all";  // or some, with commas: none, site, leader, region, slow, disk
  double fault_s = 5;         // before it is mended
  int streams_east = 50;
  int streams_west = 10;
};

struct FaultOutcome {
  std::string name = {};
  std::string note = {};  // which site, which server
  std::string why = {};   // what most of the requests that did not come whole met
  // Of users, all regions together.
  std::uint64_t requests = 0;
  std::uint64_t whole = 0;
  std::uint64_t refused = 0;             // 429, 503
  std::uint64_t failed = 0;              // without a first byte
  std::uint64_t broken = 0;              // after it
  std::uint64_t wrong = 0;               // words that are not the answer's
  std::uint64_t streams_open = 0;        // at the fault
  std::uint64_t streams_hit = 0;         // of these, broken or gone on elsewhere
  std::uint64_t streams_resumed_1s = 0;  // of these, whole and never silent for a second
  double silence_ms_max = 0;             // of streams open at the fault that became whole
  std::uint64_t asked_before = 0;        // the fault, with a first word
  std::uint64_t before_at_struck = 0;    // of these, answered by the site that it struck
  std::uint64_t asked_during = 0;        // while the fault was there, with a first word
  std::uint64_t asked_at_struck = 0;     // of these, answered by that site
  double first_success_ms = 0;    // from the fault to the first word of a request asked after it
  double recovered_ms = 0;        // the same from the mending on
  std::uint64_t west_asked = 0;   // by users in the west while the fault was there
  std::uint64_t west_whole = 0;   // of these, that came whole
  double first_token_ms_p50 = 0;  // of requests asked while the fault was there
  double first_token_ms_p99 = 0;
  double stored_s = 0;                // from the mending until the last record was there
  std::uint64_t records = 0;          // in the store, of this case
  std::uint64_t records_lost = 0;     // an answer that came whole and is not there
  std::uint64_t records_doubled = 0;  // rows that belong to no request of a user
  std::uint64_t tokens_wrong = 0;     // rows of whole answers with another count than came
};

// Errors: what this machine lacks (root, iproute2, nats-server), or what did not come up.
Result<std::vector<FaultOutcome>> run_faults(const FaultOptions& options);

// Pure: what became of the requests. Times are of the steady clock.
// struck: a site; empty: none.
struct FaultTimes {
  std::int64_t fault_ns = 0;
  std::int64_t mended_ns = 0;
};
FaultOutcome outcome_of(const std::vector<Asked>& asked, FaultTimes times,
                        const std::string& struck);

}  // namespace noroshi::trial
