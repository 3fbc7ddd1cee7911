#pragma once

// What libnats 3.4 leaves to luck when it uses OpenSSL; why, see docs/decisions/0020-nats.md.

namespace noroshi::fleet {

// Whether SSL_read and SSL_write on one connection wait for one another in this process, which
// libnats needs and does not see to. Linking nats_tls.cpp is what brings it about; false when the
// program was linked so that the library does not find it there.
bool tls_calls_take_turns();

}  // namespace noroshi::fleet
