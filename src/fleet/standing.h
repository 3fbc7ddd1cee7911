#pragma once

// Whether a member is in the fleet, for the person who started it: said once when it is not, with
// the server's own words for why, again when there is another why, and once when it is in. A member
// goes on without a fleet, so nothing else would say it.

#include <set>
#include <string>

#include "fleet/bus.h"

namespace noroshi::fleet {

class Standing {
 public:
  // look_at: what of the member's configuration may be wrong. The bus outlives it.
  Standing(const Bus& bus, std::string look_at) : bus_(bus), look_at_(std::move(look_at)) {}

  // Empty: nothing new. To be asked about once a second: a connection that is missing only once is
  // being made anew.
  std::string news();

 private:
  const Bus& bus_;
  const std::string look_at_;
  int missing_ = 0;             // looks in a row without a connection
  std::set<std::string> told_;  // since it was last in
};

}  // namespace noroshi::fleet
