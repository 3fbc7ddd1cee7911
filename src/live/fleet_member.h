#pragma once

// A site in a fleet: its agent (fleet/agent.h) with what the site knows of itself, and its engines
// as the fleet places models. Threads of its own, ordinary class; the radio never sees them.

#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "fleet/agent.h"
#include "fleet/fetcher.h"
#include "fleet/runner.h"
#include "fleet/standing.h"
#include "live/contexts/mover.h"
#include "live/service.h"
#include "site/config.h"

namespace noroshi::live {

class FleetMember {
 public:
  // Without a server to reach it is there all the same and goes on trying. share: of the engines'
  // processors, that the radio leaves now. context_folder: empty: sessions' contexts stay where
  // they are. Errors: a key or certificate that cannot be read, a server that refuses us, a name
  // that another site has.
  static Result<std::unique_ptr<FleetMember>> join(const site::SiteFile& file, Service& service,
                                                   std::function<double()> share,
                                                   const std::string& context_folder);
  ~FleetMember();  // says good-bye
  FleetMember(const FleetMember&) = delete;
  FleetMember& operator=(const FleetMember&) = delete;

  // What a person must know, each once; empty: nothing new. To be asked about once a second.
  std::string warning();
  // Why the site is not in the fleet now; empty: it is.
  std::string trouble() const;

 private:
  FleetMember(const site::SiteFile& file, Service& service, std::function<double()> share);
  Result<void> start();
  Result<void> move_contexts(const std::string& folder);
  void describe(fleet::SiteReport& report);
  void apply(const fleet::DesiredSite& desired);
  void step_slow();
  void hash_files();
  void know_file(const fleet::ModelFile& file, const std::string& path);
  void tell_files();
  void take_fetched();
  void run_desired();

  const site::SiteFile& file_;
  Service& service_;
  const std::function<double()> share_;
  MonotonicClock clock_;
  std::unique_ptr<fleet::Bus> bus_;
  std::unique_ptr<fleet::Agent> agent_;
  std::optional<fleet::Standing> standing_;
  std::unique_ptr<ContextMover> mover_;  // null: contexts stay

  std::mutex mutex_;
  struct File {
    fleet::ModelFile file;
    std::string path;
  };
  std::vector<File> files_;                   // under mutex_: those whose hash is known
  fleet::DesiredSite desired_;                // under mutex_: what was last to run
  std::optional<fleet::DesiredSite> to_run_;  // under mutex_
  std::string fault_;                         // under mutex_
  std::string warned_;                        // under mutex_
  bool refused_ = false;                      // under mutex_: when it was last asked for a warning
  double share_slow_ = 1;                     // of the fast thread
  bool hashed_ = false;                       // of the slow thread, as the next two
  std::vector<std::string> configured_;
  std::vector<std::unique_ptr<fleet::Subscription>> shared_;   // files that others may ask for
  std::unique_ptr<fleet::Fetcher> fetcher_;                    // none: it takes no files
  std::unique_ptr<fleet::Runner> fast_, slow_, read_desired_;  // last: they use all of it
};

}  // namespace noroshi::live
