#pragma once

// The AI side of a site: its engines, the gateway before them, and the load generator, from the
// file's `ai` section.

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "gateway/gateway.h"
#include "gateway/load.h"
#include "live/engines.h"
#include "site/config.h"

namespace noroshi::live {

// Who brings contexts from other sites (contexts/mover.h): a site joins a fleet after its gateway
// has started, and leaves it before that ends.
struct ContextFetcher {
  std::mutex mutex;
  std::function<void(gateway::ContextWanted, std::function<void(gateway::ContextFetched)>)>
      fetch;  // under mutex
};

struct Service {
  std::shared_ptr<ContextFetcher> contexts = std::make_shared<ContextFetcher>();
  std::unique_ptr<Engines> engines;
  gateway::Router router;  // its sites are the engines
  std::optional<gateway::Gateway> gateway;
  std::optional<gateway::LoadGenerator> load;
  std::string url;                          // of the gateway
  std::shared_ptr<gateway::TlsServer> tls;  // the gateway's; null: plain HTTP
  std::string model;                        // that requests may name
  std::string exposure;                     // gateway::exposure_of(its configuration)

  const gateway::Gateway* gateway_or_null() const { return gateway ? &*gateway : nullptr; }
};

// Starts engines and gateway; the engines may still be loading their model afterwards. Errors: what
// keeps either from starting at all (no llama-server, no model, a truncated one, a port in use).
//
// context_folder: where engines save contexts; empty: nowhere. homes: of each engine, see
// engine_homes(). share: of the engine's processors, that the radio leaves it now; asked for each
// request.
Result<std::unique_ptr<Service>> start_service(const site::AiSection& ai,
                                               const std::vector<std::vector<int>>& homes,
                                               std::function<std::string()> extra_metrics,
                                               std::function<double()> share,
                                               const std::string& context_folder = {});

// Starts the load generator against the gateway, once the engine answers.
Result<void> start_load(Service& service, const site::AiSection& ai, std::uint64_t seed);

}  // namespace noroshi::live
