#pragma once

// Turns of sessions as gateways tell each other of them (fleet/doors.h): where each session's last
// turn went. A copy of a model is told by its site's name and a mark of the model's name and file,
// a session by a key that says nothing of it (context.h), a time by this gateway's own clock.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace noroshi::gateway {

struct ToldTurns {
  struct Place {
    std::string site = {};
    std::uint64_t model = 0;  // model_mark()
  };
  struct Turn {
    std::uint64_t session = 0;  // not 0
    std::uint32_t place = 0;    // index
    int tokens = 0;             // of its prompt
    std::int64_t at_ns = 0;
  };
  std::vector<Place> places = {};
  std::vector<Turn> turns = {};
};

// The same in every gateway.
std::uint64_t model_mark(std::string_view model, std::string_view content_hash);

}  // namespace noroshi::gateway
