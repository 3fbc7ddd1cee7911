#include "fleet/feed.h"

namespace noroshi::fleet {

FeedSink sink_of(gateway::Router& router) {
  return {.update = [&router](const gateway::SiteState& site) { return router.update(site); },
          .lost = [&router](const std::string& site) { router.lost(site); },
          .allow =
              [&router](const std::string& model, std::vector<std::string> hashes) {
                router.allow(model, std::move(hashes));
              }};
}

}  // namespace noroshi::fleet
