#pragma once

// The files that a gateway of this process reads again at SIGHUP (wait_signal.h).

#include <string>
#include <vector>

#include "gateway/gateway.h"

namespace noroshi::live {

struct FilesToRead {
  std::string tenants = {};  // its path
  std::shared_ptr<gateway::TlsServer> tls = {};

  bool any() const { return !tenants.empty() || (tls && tls->has_files()); }

  // What became of each, in words. One with a fault changes nothing.
  std::vector<std::string> read_again(gateway::Gateway& gateway) const {
    std::vector<std::string> news;
    const auto say = [&](const Result<void>& read, const std::string& what) {
      news.push_back(read ? what + ": read again"
                          : read.error().message + "; " + what + " stays as it was");
    };
    if (!tenants.empty()) say(gateway.reload_tenants(tenants), tenants);
    if (tls && tls->has_files()) say(tls->read_again(), "the certificate of this door");
    return news;
  }
};

}  // namespace noroshi::live
