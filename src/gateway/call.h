#pragma once

// One site asked once. Inside the gateway room only.

#include <array>
#include <memory>
#include <optional>

#include "gateway/session.h"

namespace noroshi::gateway {

struct Call {
  std::shared_ptr<const SiteAddress> at;
  std::uint32_t site = 0;
  std::unique_ptr<Connection> stream;
  beast::flat_buffer buffer = {};
  std::optional<http::response_parser<http::buffer_body>> parser = {};
  std::array<char, 16 << 10> bytes;
  bool reused = false;                   // the connection had another question before
  std::optional<double> connect_s = {};  // the round trip of a new connection (distance.h)
  bool stopped = false;  // closed by us: the client left, or the router has lost the site
  std::string failure = {};

  Call(std::shared_ptr<const SiteAddress> address, std::uint32_t number,
       const net::any_io_executor& executor)
      : at(std::move(address)), site(number), stream(std::make_unique<Connection>(executor)) {}

  void stop() {
    stopped = true;
    if (stream) stream->close();  // else the connection was given back
  }
  std::string authority() const;
  std::string place() const;  // for errors: "site 'a' at 10.0.0.1:8080"
  bool is_stream() const;     // the answer is one, and 200
};

struct CallLimits {
  double connect_timeout_s = 2;
  double silence_max_s = 120;
};

struct CallQuestion {
  Endpoint endpoint = Endpoint::unknown;
  std::string_view id = {};
  std::string_view body = {};
  std::string_view session = {};       // its name; empty: none
  std::string_view context_from = {};  // the site of its last turn (context.cpp); empty: none
};

// Sends the question over a kept connection or a new one and reads the header of the answer. False:
// failure says why, in words that follow place(). A kept connection that turns out to be closed is
// replaced by a new one, once.
net::awaitable<bool> ask(Call& call, Pool& pool, const CallLimits& limits,
                         const CallQuestion& question);

// The next bytes of the answer's body; empty at its end and on error.
net::awaitable<std::string_view> next_bytes(Call& call, const CallLimits& limits, ErrorCode& error);

// Keeps the connection for the next question when the answer was read to its end.
void give_back(Call& call, Pool& pool);

}  // namespace noroshi::gateway
