#pragma once

// A site's voice in the fleet: beats, says what the site is, and hears what it shall run. It
// decides nothing about the radio, and nothing waits for it: without a bus the site serves on.
//
// It first listens a while for its own name, in every region: a name that somebody else has is
// refused. Two of one region that meet later: the younger one falls silent. Nobody falls silent for
// another region's beat, whose key is another's, but when the control plane says so (planner.h). A
// site that is refused says nothing to the fleet and serves on those who ask it. It comes back when
// it hears nobody of its name any more, or, refused by the control plane, when that lets it.

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/clock.h"
#include "fleet/bus.h"
#include "fleet/desired.h"
#include "fleet/report.h"

namespace noroshi::fleet {

struct AgentConfig {
  SiteFacts facts = {};   // name, region and instance are the site's identity
  std::string host = {};  // where gateways reach the site
  int tcp_port = 0;
  std::function<gateway::KeyPin()> pin = {};  // of the key that its HTTPS shows; empty: plain HTTP
};

enum class AgentState : std::uint8_t { listening, joined, refused };

struct AgentStatus {
  AgentState state = AgentState::listening;
  std::string refusal = {};  // why it is refused
  bool facts_known = false;  // KV has them
  DesiredSite desired = {};
  std::uint64_t desired_revision = 0;  // 0: nobody has said yet
  std::uint64_t beats = 0;
  std::uint64_t messages_refused = 0;  // malformed, or of an older term
  std::string last_error = {};
};

class Agent {
 public:
  static constexpr std::int64_t listen_ns = 700'000'000;  // three beats and some
  // Of silence, after which a name that somebody else had is taken to be free.
  static constexpr std::int64_t name_free_ns = 3'000'000'000;

  // describe: fills in what the site can do now: ready, models, lease shares, and (fault) why it
  // does not do what is desired. apply: told each new desired state; returns soon. Both are called
  // from whichever thread steps.
  Agent(Bus& bus, Clock& clock, AgentConfig config, std::function<void(SiteReport&)> describe,
        std::function<void(const DesiredSite&)> apply);

  Result<void> start();
  // Beats when it is due. Never waits. To be called every few ten milliseconds.
  void step();
  // Reads what is desired from KV: when the leader says that it is another one, else every few
  // seconds; may wait for the bus. Of another thread. Not a watch: who may have the server hand out
  // what is in a stream may have it sent anywhere (keys.cpp), and sites may not.
  void step_desired();
  // Writes the facts to KV when they are not there; may wait for the bus. Of another thread.
  void step_slow();
  // The files that it has are known later than the rest: their hashes take time.
  // disk_bytes: for more of them.
  void set_files(std::vector<ModelFile> files, std::vector<std::string> configured,
                 std::uint64_t disk_bytes);
  // Says good-bye: gateways go elsewhere at once.
  void leave();

  AgentStatus status() const;

 private:
  void heard_beat(const Message& message);
  void heard_namesake(const Message& message);
  void refuse_for(const SiteReport& heard);  // mutex_ is held
  bool heard_desired(const KvEntry& entry);  // true: it may come in again
  void listen_again();
  bool may_come_back(std::int64_t now_ns, bool connected);  // mutex_ is held

  Bus& bus_;
  Clock& clock_;
  const std::function<void(SiteReport&)> describe_;
  const std::function<void(const DesiredSite&)> apply_;
  std::atomic<bool> another_desired_{true};  // since it was read last, perhaps
  std::int64_t next_desired_ns_ = 0;         // of step_desired() alone, as the next
  std::uint64_t read_revision_ = 0;

  mutable std::mutex mutex_;
  AgentConfig config_;                   // under mutex_
  AgentStatus status_;                   // under mutex_
  std::optional<DesiredSite> to_apply_;  // under mutex_
  bool leaving_ = false;                 // under mutex_
  bool told_refused_ = false;            // under mutex_: by the control plane
  std::int64_t rival_heard_ns_ = 0;      // under mutex_: who has the name
  std::int64_t started_ns_ = 0;
  std::int64_t next_beat_ns_ = 0;
  std::uint64_t sequence_ = 0;  // under mutex_
  std::int64_t next_facts_ns_ = 0;

  // Last: their handlers use the others.
  std::unique_ptr<Subscription> beats_;
  std::unique_ptr<Subscription> namesakes_;  // in other regions, until it is in; under mutex_
  std::unique_ptr<Subscription> wanted_;
};

}  // namespace noroshi::fleet
