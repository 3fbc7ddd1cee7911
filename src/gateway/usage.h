#pragma once

// What one answered request used: the gateway hands a record of each to whoever meters. Pure data.

#include <cstdint>
#include <functional>
#include <string>

namespace noroshi::gateway {

enum class Outcome : std::uint8_t {
  answered,     // whole
  client_left,  // before it was whole; what was made until then
  cut,          // the sites broke off and the rest could not be had; what was sent until then
};

struct UsageRecord {
  // Unique over all gateways and restarts when GatewayConfig::instance is: the message id that
  // makes a record count once, however often it is sent. Also the X-Request-Id of the answer.
  std::string id = {};
  std::string tenant = {};  // empty: the gateway has no tenants
  std::string model = {};
  std::string site = {};            // that sent the last byte
  std::string endpoint = {};        // "chat", "completions", "embeddings"
  std::uint64_t tokens_prompt = 0;  // with the cached ones
  std::uint64_t tokens_completion = 0;
  std::uint64_t tokens_cached = 0;   // of the prompt, that the engine did not compute
  bool tokens_counted_here = false;  // the engine told none: pieces of content were counted
  // Unix time. 0: never happened.
  std::int64_t received_ns = 0;
  std::int64_t first_byte_ns = 0;
  std::int64_t done_ns = 0;
  Outcome outcome = Outcome::answered;
  int resumed = 0;  // times that it went on at another site in the middle
};

// Called once for each request of which a client got content, from a gateway thread, before the
// last byte is sent; returns at once. The last byte waits for `stored`, which is called once, from
// any thread, when the record is on the disk: milliseconds later, and many records share one sync
// (meter/spool/spool.h). stored(false): it is not, and the client gets an error instead of its
// answer's end, so that nothing is answered unmetered.
using StoreUsage = std::function<void(const UsageRecord& record, std::function<void(bool)> stored)>;

}  // namespace noroshi::gateway
