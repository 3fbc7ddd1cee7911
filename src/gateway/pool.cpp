#include "gateway/pool.h"

#include <sys/socket.h>

#include <cerrno>

namespace noroshi::gateway {
namespace {

// Nothing to read and not closed. An answer nobody asked for makes a connection useless too.
bool is_quiet(Connection& connection) {
  char byte = 0;
  const auto seen = ::recv(connection.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return seen < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

std::unique_ptr<Connection> Pool::take(const SiteAddress& at, Time now) {
  const auto found = idle_.find(key_of(at));
  if (found == idle_.end()) return {};
  std::unique_ptr<Connection> taken;
  // The one used last is the likeliest to be open still.
  while (!found->second.empty() && !taken) {
    Idle idle = std::move(found->second.back());
    found->second.pop_back();
    --size_;
    if (now - idle.since < idle_max && is_quiet(*idle.connection))
      taken = std::move(idle.connection);
  }
  if (found->second.empty()) idle_.erase(found);
  return taken;
}

void Pool::put(const SiteAddress& at, std::unique_ptr<Connection> connection, Time now) {
  if (size_ >= connections_max) {
    // Room from the sites that nobody asks any more; if there is none, this one is closed.
    for (auto entry = idle_.begin(); entry != idle_.end();) {
      auto& list = entry->second;
      size_ -= std::erase_if(list, [&](const Idle& idle) { return now - idle.since >= idle_max; });
      entry = list.empty() ? idle_.erase(entry) : std::next(entry);
    }
    if (size_ >= connections_max) return;
  }
  idle_[key_of(at)].push_back({std::move(connection), now});
  ++size_;
}

}  // namespace noroshi::gateway
