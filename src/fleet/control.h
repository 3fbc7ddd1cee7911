#pragma once

// The control plane: several processes of it may run.
//
//   every one   hears all heartbeats of its regions, and answers noroshi.control.status
//   one of them (the smallest id whose pulse is heard) sends each region's digest, once a second
//   and when a site is lost:
//               no KV is on that way
//   the leader  (leadership.h) carries out commands on noroshi.control.command and what the planner
//               decides, by compare and set, and logs each as one JSON line
//
// step() never waits for the bus. step_slow() does: leading and commands. So does step_plan(),
// which may also compute for long; commands are obeyed and the lead is kept meanwhile. A thread
// each.

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fleet/bus.h"
#include "fleet/command.h"
#include "fleet/digest.h"
#include "fleet/leadership.h"
#include "fleet/planner.h"
#include "fleet/status.h"

namespace noroshi::fleet {

struct ControlConfig {
  std::string id = {};  // a word, of this process alone
  std::uint64_t instance = 0;
  std::vector<std::string> regions = {};  // empty: every region that is heard
  int replicas = 1;                       // of the buckets
  PlannerConfig planner = {};
  // For the gateways, where there is none (desired.h). May be empty: then none is made.
  std::function<Result<std::string>()> new_session_secret = {};
  // Takes one line of JSON, without its end. May be empty.
  std::function<void(const std::string&)> audit = {};
  // Time of day for the audit log, in ns; may be empty.
  std::function<std::int64_t()> wall_clock_ns = {};
};

struct ControlCounters {
  std::uint64_t beats = 0;
  std::uint64_t refused = 0;     // malformed messages and KV values, all kinds
  std::uint64_t duplicates = 0;  // beats of a second site with a name that is taken
  std::uint64_t digests = 0;     // sent
  std::uint64_t commands = 0;
  std::uint64_t commands_refused = 0;
  std::uint64_t writes = 0;       // to KV, done
  std::uint64_t writes_lost = 0;  // somebody else was faster
  std::uint64_t plans = 0;
  std::uint64_t plans_dropped = 0;  // of them, for what the fleet wants had changed meanwhile
  std::string last_error = {};
};

class Control {
 public:
  Control(Bus& bus, Clock& clock, ControlConfig config);

  Result<void> start();
  void step();       // every few ten milliseconds
  void step_slow();  // as often; waits for KV
  void step_plan();  // as often; plans when it is time
  bool leads() const;
  ControlCounters counters() const;
  // One page (status.h).
  std::string status_text(const StatusAsk& ask = {.sites_after = "", .models_after = ""}) const;

 private:
  void heard_beat(const Message& message);
  void heard_peer(const Message& message);
  void heard_command(const Message& message);
  void heard_status(const Message& message);
  void learn(const std::string& bucket, const KvEntry& entry);
  void add_overview(boost::json::object& page, std::int64_t now_ns) const;  // mutex_ is held
  void refuse(const Error& error);
  void send_digests(const std::set<std::string>& of, std::int64_t now_ns);
  bool sends_digests(std::int64_t now_ns) const;
  void saw_leader(std::uint64_t revision, const std::string& value, std::int64_t now_ns);
  void ensure_buckets();
  void restore_spoilt(std::uint64_t term);
  void make_session_secret(std::uint64_t term, std::int64_t now_ns);
  void lead(std::int64_t now_ns);
  bool write(const KvWrite& write, std::uint64_t term, const std::string& by);
  std::optional<Plan> make_plan(std::int64_t now_ns, std::vector<KvWrite>& rollouts);
  Result<std::optional<std::uint64_t>> write_over_garbage(const KvWrite& write);
  void carry_out(const Command& command, const std::string& reply);
  void log(const std::string& what, const std::string& by, const std::string& outcome);
  Result<std::unique_ptr<Subscription>> hear(const std::string& subject,
                                             void (Control::*heard)(const Message&));

  Bus& bus_;
  Clock& clock_;
  const ControlConfig config_;

  mutable std::mutex mutex_;  // of all below
  Planner planner_;
  Leadership leadership_;
  BusPulse pulse_;
  std::map<std::string, std::int64_t> peers_;  // id: when its pulse was heard
  std::set<std::string> regions_;
  std::set<std::string> buckets_;  // that are there
  std::set<std::string> watched_;
  struct Asked {
    Command command;
    std::string reply;
  };
  std::vector<Asked> asked_;
  // Keys in which stands what nobody can read while what stood there is known: bucket and key, and
  // the revision of it. Whoever leads writes them anew.
  std::map<std::pair<std::string, std::string>, std::uint64_t> spoilt_;
  ControlCounters counters_;
  std::uint64_t digest_sequence_ = 0;
  std::int64_t next_pulse_ns_ = 0;
  std::int64_t next_digest_ns_ = 0;
  std::set<std::string> bereft_;  // regions that lost a site since their digest
  std::int64_t next_bereft_ns_ = 0;
  std::int64_t next_plan_ns_ = 0;
  int plans_dropped_ = 0;  // in a row
  std::int64_t next_buckets_ns_ = 0;
  std::int64_t next_leader_look_ns_ = 0;
  std::int64_t next_secret_ns_ = 0;
  std::vector<std::unique_ptr<Subscription>> subscriptions_;  // last: its handlers use the others
};

}  // namespace noroshi::fleet
