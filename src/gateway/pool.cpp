#include "gateway/pool.h"

#include <sys/socket.h>

#include <cerrno>

namespace noroshi::gateway {
namespace {

// Nothing to read and not closed. An answer nobody asked for makes a connection useless too.
bool is_quiet(Pool::Stream& stream) {
  char byte = 0;
  const auto seen = ::recv(stream.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return seen < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

std::unique_ptr<Pool::Stream> Pool::take(const std::string& host, int tcp_port, Time now) {
  const auto found = idle_.find({host, tcp_port});
  if (found == idle_.end()) return {};
  std::unique_ptr<Stream> taken;
  // The one used last is the likeliest to be open still.
  while (!found->second.empty() && !taken) {
    Idle idle = std::move(found->second.back());
    found->second.pop_back();
    --size_;
    if (now - idle.since < idle_max && is_quiet(*idle.stream)) taken = std::move(idle.stream);
  }
  if (found->second.empty()) idle_.erase(found);
  return taken;
}

void Pool::put(const std::string& host, int tcp_port, std::unique_ptr<Stream> stream, Time now) {
  if (size_ >= connections_max) {
    // Room from the sites that nobody asks any more; if there is none, this one is closed.
    for (auto entry = idle_.begin(); entry != idle_.end();) {
      auto& list = entry->second;
      size_ -= std::erase_if(list, [&](const Idle& idle) { return now - idle.since >= idle_max; });
      entry = list.empty() ? idle_.erase(entry) : std::next(entry);
    }
    if (size_ >= connections_max) return;
  }
  idle_[{host, tcp_port}].push_back({std::move(stream), now});
  ++size_;
}

}  // namespace noroshi::gateway
