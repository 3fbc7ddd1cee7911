// libnats 3.4 reads from a connection in one thread and writes to it from others, and OpenSSL
// allows one thread at a time. So the library finds these functions, which stand in the program,
// before OpenSSL's of the same name. Its sockets do not block (it is given a write deadline), so
// nobody waits here for a peer. libnats has such a lock itself since 3.11.

#include "fleet/nats_tls.h"

#include <dlfcn.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace noroshi::fleet {
namespace {

// The library's threads may let go of a connection a moment after its bus has ended. When the
// process ends in that moment they must not find that OpenSSL has put itself away: it is told not
// to, which it only takes in before it is first used.
const bool openssl_stays = OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr) == 1;

// Two connections may share one.
std::mutex& lock_of(const SSL* connection) {
  static std::array<std::mutex, 64> locks;
  return locks[(reinterpret_cast<std::uintptr_t>(connection) >> 6) % locks.size()];
}

// Why this thread's last call failed, found out before another thread's call changes it.
struct Failure {
  const SSL* connection = nullptr;
  int outcome = 0;
  int error = 0;
};
thread_local Failure last_failure;

// OpenSSL's own.
template <typename Function>
Function* next(const char* name) {
  void* found = dlsym(RTLD_NEXT, name);
  assert(found != nullptr);
  return reinterpret_cast<Function*>(found);
}

int error_of(const SSL* connection, int outcome) {
  static const auto own = next<int(const SSL*, int)>("SSL_get_error");
  return own(connection, outcome);
}

template <typename Call>
int in_turn(const SSL* connection, const Call& call) {
  const std::lock_guard lock(lock_of(connection));
  const int outcome = call();
  last_failure = {};
  if (outcome < 0) last_failure = {connection, outcome, error_of(connection, outcome)};
  return outcome;
}

}  // namespace

bool tls_calls_take_turns() {
  return openssl_stays && dlsym(RTLD_DEFAULT, "SSL_read") == reinterpret_cast<void*>(&SSL_read);
}

}  // namespace noroshi::fleet

extern "C" {

int SSL_read(SSL* connection, void* bytes, int size) {
  static const auto own = noroshi::fleet::next<int(SSL*, void*, int)>("SSL_read");
  return noroshi::fleet::in_turn(connection, [&] { return own(connection, bytes, size); });
}

int SSL_write(SSL* connection, const void* bytes, int size) {
  static const auto own = noroshi::fleet::next<int(SSL*, const void*, int)>("SSL_write");
  return noroshi::fleet::in_turn(connection, [&] { return own(connection, bytes, size); });
}

int SSL_get_error(const SSL* connection, int outcome) {
  const noroshi::fleet::Failure last = noroshi::fleet::last_failure;
  noroshi::fleet::last_failure = {};
  if (last.connection == connection && last.outcome == outcome && outcome < 0) return last.error;
  return noroshi::fleet::error_of(connection, outcome);
}

}  // extern "C"
