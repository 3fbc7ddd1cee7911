#pragma once

// How far the sites are, measured where a connection is made: the time from its first packet to the
// first one back, which the site's kernel sends without its programs. It is this machine's kernel
// that takes it (TCP_INFO), so neither side's busy threads are in it; and since the answer has a
// number in it that only who got the first packet can know, no site can seem nearer than it is.
// What became of it: Router::measured(). Inside the gateway room only.

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>

#include "gateway/call.h"
#include "gateway/session.h"

namespace noroshi::gateway {

// Of a connection that was just made; nothing: the kernel does not say.
std::optional<double> round_trip_s(tcp::socket& socket);

// What the call's connection taught, when a new one was made and distances are measured at all.
void learn_distance(Shared& shared, const Call& call);

// Makes connections to sites that the router wants measured and closes them again, at most
// config.probes_per_s. Until the executor stops. Precondition: that is above 0.
net::awaitable<void> measure_distances(Shared& shared);

// Prometheus' text of what is known; empty when distances are not measured.
std::string distances_text(const Shared& shared);

}  // namespace noroshi::gateway
