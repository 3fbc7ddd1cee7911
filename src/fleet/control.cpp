#include "fleet/control.h"

#include <algorithm>
#include <boost/json.hpp>

#include "fleet/json_fields.h"

namespace noroshi::fleet {
namespace {

namespace json = boost::json;

constexpr double kv_timeout_s = 2;
constexpr std::int64_t digest_interval_ns = 1'000'000'000;
constexpr std::int64_t bereft_interval_ns = 100'000'000;  // of digests between two seconds
constexpr std::int64_t plan_interval_ns = 500'000'000;
constexpr std::int64_t look_interval_ns = 500'000'000;
constexpr std::size_t commands_waiting_max = 64;
constexpr int plans_dropped_max = 3;
constexpr std::size_t regions_max = 4096;
constexpr std::string_view peer_prefix = "noroshi.control.pulse.";

// As far as a command that is refused says who asks.
std::string asker_of(std::string_view bytes) {
  const auto document = parse_document(bytes, 256 << 10);
  const json::value* by = document ? document->if_contains("by") : nullptr;
  return by != nullptr && by->is_string() ? shown(by->as_string()) : "";
}

}  // namespace

Control::Control(Bus& bus, Clock& clock, ControlConfig config)
    : bus_(bus),
      clock_(clock),
      config_(std::move(config)),
      planner_(config_.planner),
      leadership_(config_.id + "-" + std::to_string(config_.instance)),
      regions_(config_.regions.begin(), config_.regions.end()) {}

Result<std::unique_ptr<Subscription>> Control::hear(const std::string& subject,
                                                    void (Control::*heard)(const Message&)) {
  return bus_.subscribe(subject, "",
                        [this, heard](const Message& message) { (this->*heard)(message); });
}

Result<void> Control::start() {
  if (!is_word(config_.id)) {
    return Error{"fleet: the control plane's id is '" + config_.id +
                 "' (allowed: 1 to 64 letters, digits, '-' and '_')"};
  }
  std::vector<std::pair<std::string, void (Control::*)(const Message&)>> subjects = {
      {std::string(peer_prefix) + "*", &Control::heard_peer},
      {command_subject, &Control::heard_command},
      {status_subject, &Control::heard_status}};
  for (const std::string& region : config_.regions) {
    if (!is_word(region)) return Error{"fleet: region '" + region + "' is no word"};
    subjects.emplace_back("noroshi." + region + ".*.beat", &Control::heard_beat);
  }
  if (config_.regions.empty()) subjects.emplace_back("noroshi.*.*.beat", &Control::heard_beat);
  for (const auto& [subject, heard] : subjects) {
    auto subscription = hear(subject, heard);
    if (!subscription) return subscription.error();
    subscriptions_.push_back(*std::move(subscription));
  }
  return {};
}

void Control::refuse(const Error& error) {
  ++counters_.refused;
  counters_.last_error = error.message;
}

void Control::heard_beat(const Message& message) {
  Result<SiteReport> report = parse_report(message.subject, message.data);
  const std::lock_guard lock(mutex_);
  if (!report) return refuse(report.error());
  ++counters_.beats;
  if (regions_.size() < regions_max) regions_.insert(report->site.region);
  const std::string name = report->site.name;
  if (planner_.refuses(name, report->site.region)) {
    planner_.membership().hear_rival(*report, clock_.now_ns());
    ++counters_.duplicates;
    return;
  }
  const Heard heard = planner_.membership().hear(*std::move(report), clock_.now_ns());
  if (heard == Heard::duplicate) ++counters_.duplicates;
  if (heard == Heard::joined || heard == Heard::restarted) planner_.settle(name);
}

void Control::heard_peer(const Message& message) {
  const std::string id = message.subject.substr(peer_prefix.size());
  const std::lock_guard lock(mutex_);
  const std::int64_t now_ns = clock_.now_ns();
  if (id == config_.id) pulse_.came_back(now_ns);
  std::erase_if(peers_, [&](const auto& p) { return now_ns - p.second > lost_after_ns; });
  if (is_word(id) && peers_.size() < 1000) peers_[id] = now_ns;
}

bool Control::sends_digests(std::int64_t now_ns) const {
  return std::ranges::all_of(peers_, [&](const auto& peer) {
    return peer.first >= config_.id || now_ns - peer.second > lost_after_ns;
  });
}

void Control::send_digests(const std::set<std::string>& of, std::int64_t now_ns) {
  std::map<std::string, std::vector<DigestSite>> regions;
  for (const std::string& region : of) regions[region];
  for (const auto& [name, member] : planner_.membership().members()) {
    if (!member.alive || of.count(member.report.site.region) == 0) continue;
    const auto age_ms = std::clamp<std::int64_t>((now_ns - member.heard_ns) / 1'000'000, 0, 60'000);
    regions[member.report.site.region].push_back(
        {.site = member.report.site, .age_ms = static_cast<int>(age_ms)});
  }
  ++digest_sequence_;
  for (auto& [region, sites] : regions) {
    for (const std::string& bytes :
         digest_messages(region, config_.instance, digest_sequence_, sites)) {
      if (const auto sent = bus_.publish(digest_subject(region), bytes); !sent) {
        counters_.last_error = sent.error().message;
        return;  // the next second's will do
      }
    }
    ++counters_.digests;
  }
}

void Control::step() {
  const std::int64_t now_ns = clock_.now_ns();
  const std::lock_guard lock(mutex_);
  if (now_ns >= next_pulse_ns_) {
    next_pulse_ns_ = now_ns + BusPulse::interval_ns;
    const Result<void> sent = bus_.publish(std::string(peer_prefix) + config_.id, "");
    static_cast<void>(sent);  // no pulse is what tells that there is no connection
  }
  for (const std::string& site : planner_.membership().expire(pulse_)) {
    log("site " + site + " is lost", "", "");
    const Member* member = planner_.membership().find(site);
    if (member != nullptr) bereft_.insert(member->report.site.region);
  }
  if (!bus_.connected()) return;
  if (now_ns >= next_digest_ns_) {
    next_digest_ns_ = now_ns + digest_interval_ns;
    bereft_.clear();
    if (sends_digests(now_ns)) send_digests(regions_, now_ns);
  } else if (!bereft_.empty() && now_ns >= next_bereft_ns_ && sends_digests(now_ns)) {
    // Streams hang at a site that is lost: gateways of other regions hear of it at once. A control
    // plane that was cut off from the one that sends becomes the one a little after.
    next_bereft_ns_ = now_ns + bereft_interval_ns;
    send_digests(std::exchange(bereft_, {}), now_ns);
  }
}

void Control::learn(const std::string& bucket, const KvEntry& entry) {
  const std::lock_guard lock(mutex_);
  if (bucket == fleet_bucket && entry.key == "leader") {
    return saw_leader(entry.revision, entry.erased ? "" : entry.value, clock_.now_ns());
  }
  const std::size_t contested = planner_.contested();
  spoilt_.erase({bucket, entry.key});
  if (const Result<void> learnt = planner_.learn(bucket, entry); !learnt) {
    refuse(learnt.error());
    if (planner_.known_text(bucket, entry.key)) spoilt_[{bucket, entry.key}] = entry.revision;
  }
  if (planner_.contested() > contested) {
    log("key " + entry.key + " of " + bucket + ": the name is another region's site's", "",
        "ignored");
  }
}

void Control::saw_leader(std::uint64_t revision, const std::string& value, std::int64_t now_ns) {
  const Result<LeaderKey> key = parse_leader(value);
  if (key) return leadership_.saw(revision, *key, now_ns);
  refuse(key.error());
  std::uint64_t term = 0;
  for (const auto& [site, desired] : planner_.desired()) term = std::max(term, desired.value->term);
  leadership_.saw_garbage(revision, term, now_ns);
}

// Makes the buckets of the fleet and of each region that was heard, and watches them.
void Control::ensure_buckets() {
  std::vector<std::string> wanted = {fleet_bucket};
  std::set<std::string> there;
  std::set<std::string> watched;
  {
    const std::lock_guard lock(mutex_);
    for (const std::string& region : regions_) wanted.push_back(region_bucket(region));
    there = buckets_;
    watched = watched_;
  }
  for (const std::string& bucket : wanted) {
    if (there.count(bucket) == 0) {
      const auto made =
          bus_.ensure_bucket({.name = bucket, .replicas = config_.replicas}, kv_timeout_s);
      const std::lock_guard lock(mutex_);
      if (!made) {
        counters_.last_error = made.error().message;
        return;
      }
      buckets_.insert(bucket);
    }
    if (watched.count(bucket) > 0) continue;
    auto watch =
        bus_.kv_watch(bucket, ">", [this, bucket](const KvEntry& entry) { learn(bucket, entry); });
    const std::lock_guard lock(mutex_);
    if (!watch) {
      counters_.last_error = watch.error().message;
      return;
    }
    watched_.insert(bucket);
    subscriptions_.push_back(*std::move(watch));
  }
  if (const auto made = ensure_session_store(bus_, kv_timeout_s); !made) {
    const std::lock_guard lock(mutex_);
    counters_.last_error = made.error().message;
  }
}

// Looks at the leader's key where the watch said nothing yet, and renews or takes it.
void Control::lead(std::int64_t now_ns) {
  std::optional<Leadership::Attempt> attempt;
  bool look = false;
  {
    const std::lock_guard lock(mutex_);
    attempt = leadership_.next(now_ns);
    look = now_ns >= next_leader_look_ns_ && !leadership_.leads(now_ns);
    if (look) next_leader_look_ns_ = now_ns + look_interval_ns;
  }
  if (look) {
    const auto entry = bus_.kv_get(fleet_bucket, "leader", kv_timeout_s);
    if (!entry) return;
    const bool none = !entry->has_value() || (*entry)->erased;
    const std::lock_guard lock(mutex_);
    if (none) leadership_.saw(0, {}, now_ns);
    if (!none) saw_leader((*entry)->revision, (*entry)->value, now_ns);
    attempt = leadership_.next(now_ns);
  }
  if (!attempt) return;
  const auto written = bus_.kv_update(fleet_bucket, "leader", leader_text(attempt->key),
                                      attempt->revision, kv_timeout_s);
  const std::lock_guard lock(mutex_);
  if (!written) {
    counters_.last_error = written.error().message;
    return;
  }
  if (!written->has_value()) return;  // somebody else was faster: the watch will say who
  const bool takes_over = leadership_.term() != attempt->key.term;
  leadership_.wrote(*attempt, **written);
  if (takes_over) {
    log("leads the fleet, term " + std::to_string(attempt->key.term), config_.id, "done");
  }
}

bool Control::write(const KvWrite& write, std::uint64_t term, const std::string& by) {
  Result<std::optional<std::uint64_t>> written = std::optional<std::uint64_t>(0);
  if (write.revision == KvWrite::erase) {
    if (const auto erased = bus_.kv_erase(write.bucket, write.key, kv_timeout_s); !erased) {
      written = erased.error();
    }
  } else {
    written = bus_.kv_update(write.bucket, write.key, write.value, write.revision, kv_timeout_s);
    if (written && !written->has_value()) written = write_over_garbage(write);
  }
  const std::lock_guard lock(mutex_);
  std::string outcome = "revision " + std::to_string(written && *written ? **written : 0);
  if (!written) {
    counters_.last_error = written.error().message;
    outcome = written.error().message;
  } else if (!written->has_value()) {
    ++counters_.writes_lost;
    outcome = "somebody else wrote first";
  } else {
    ++counters_.writes;
    // What we know to be there; the watch says it again.
    const KvEntry entry{.key = write.key,
                        .value = write.value,
                        .revision = **written,
                        .erased = write.revision == KvWrite::erase};
    if (const auto learnt = planner_.learn(write.bucket, entry); !learnt) refuse(learnt.error());
  }
  log(write.why + " (term " + std::to_string(term) + ")", by, outcome);
  const bool done = written && written->has_value();
  constexpr std::string_view desired = "desired.";
  if (done && write.key.starts_with(desired)) {
    // Who does not hear it reads a few seconds later.
    const auto told = bus_.publish(
        wanted_subject(region_of_bucket(write.bucket), write.key.substr(desired.size())), "");
    static_cast<void>(told);
  }
  return done;
}

// A value that nobody can read keeps its key from nobody: it is written over.
Result<std::optional<std::uint64_t>> Control::write_over_garbage(const KvWrite& write) {
  const auto entry = bus_.kv_get(write.bucket, write.key, kv_timeout_s);
  if (!entry) return entry.error();
  if (!entry->has_value()) return std::optional<std::uint64_t>();
  {
    const std::lock_guard lock(mutex_);
    if (planner_.learn(write.bucket, **entry)) return std::optional<std::uint64_t>();
  }
  return bus_.kv_update(write.bucket, write.key, write.value, (*entry)->revision, kv_timeout_s);
}

void Control::log(const std::string& what, const std::string& by, const std::string& outcome) {
  if (!config_.audit) return;
  json::object line;
  if (config_.wall_clock_ns) line["time_ns"] = config_.wall_clock_ns();
  line["control"] = config_.id;
  line["what"] = what;
  if (!by.empty()) line["by"] = by;
  if (!outcome.empty()) line["outcome"] = outcome;
  config_.audit(json::serialize(line));
}

void Control::heard_command(const Message& message) {
  const Result<Command> command = parse_command(message.data);
  const std::lock_guard lock(mutex_);
  if (!leadership_.leads(clock_.now_ns())) return;  // the leader answers
  std::string refusal;
  if (!command) {
    refuse(command.error());
    refusal = command.error().message;
  } else if (asked_.size() >= commands_waiting_max) {
    refusal = "too many commands wait; try again";
  }
  if (refusal.empty()) {
    asked_.push_back({*command, message.reply});
    return;
  }
  ++counters_.commands_refused;
  log("a command", command ? command->by : asker_of(message.data), refusal);
  if (message.reply.empty()) return;
  const auto told = bus_.publish(message.reply, answer_text({.ok = false, .message = refusal}));
  static_cast<void>(told);  // the asker's time limit tells him
}

void Control::carry_out(const Command& command, const std::string& reply) {
  Result<std::vector<KvWrite>> writes = std::vector<KvWrite>{};
  std::uint64_t term = 0;
  {
    const std::lock_guard lock(mutex_);
    writes = writes_of(command, planner_);
    term = leadership_.term();
    ++(writes ? counters_.commands : counters_.commands_refused);
    if (!writes) log(name_of(command.kind), command.by, writes.error().message);
  }
  CommandAnswer answer{.ok = writes.ok(), .message = writes ? "" : writes.error().message};
  if (writes) {
    for (const KvWrite& one : *writes) answer.ok = write(one, term, command.by) && answer.ok;
    const std::lock_guard lock(mutex_);
    answer.message = answer.ok ? writes->front().why + ": done" : counters_.last_error;
    if (!answer.ok && answer.message.empty())
      answer.message = "somebody else wrote first; try again";
    const Member* member = planner_.membership().find(command.site);
    if (answer.ok && command.kind == CommandKind::forget && member != nullptr && !member->alive) {
      planner_.membership().forget(command.site);
    }
  }
  if (reply.empty()) return;
  const auto told = bus_.publish(reply, answer_text(answer));
  static_cast<void>(told);
}

void Control::step_slow() {
  const std::int64_t now_ns = clock_.now_ns();
  if (!bus_.connected()) return;
  bool buckets = false;
  {
    const std::lock_guard lock(mutex_);
    buckets = now_ns >= next_buckets_ns_ || buckets_.size() < regions_.size() + 1;
    if (buckets) next_buckets_ns_ = now_ns + 10'000'000'000;
  }
  if (buckets) ensure_buckets();
  lead(now_ns);
  std::vector<Asked> asked;
  std::uint64_t term = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!leadership_.leads(now_ns)) return;
    asked = std::exchange(asked_, {});
    term = leadership_.term();
  }
  restore_spoilt(term);
  make_session_secret(term, now_ns);
  for (const Asked& one : asked) carry_out(one.command, one.reply);
}

// Nothing when what the fleet wants has changed while it was made: the next one begins at once. Of
// three in a row the third stands, for each of its writes is looked at by itself.
std::optional<Plan> Control::make_plan(std::int64_t now_ns, std::vector<KvWrite>& rollouts) {
  PlanInput input;
  for (bool all = false; !all;) {
    const std::lock_guard lock(mutex_);
    all = planner_.gather(input, sites_a_lock);
  }
  std::map<std::string, double> demand;
  {
    const std::lock_guard lock(mutex_);
    demand = planner_.follow_demand(input.requests, now_ns);
  }
  Plan plan = decide(input, demand, config_.planner.place);
  const std::lock_guard lock(mutex_);
  ++counters_.plans;
  if (!planner_.is_of(input) && ++plans_dropped_ < plans_dropped_max) {
    ++counters_.plans_dropped;
    next_plan_ns_ = now_ns;
    return {};
  }
  plans_dropped_ = 0;
  planner_.take_shortfalls(std::move(plan.shortfalls));
  rollouts = planner_.plan_rollouts(now_ns);
  return plan;
}

void Control::step_plan() {
  const std::int64_t now_ns = clock_.now_ns();
  std::uint64_t term = 0;
  {
    const std::lock_guard lock(mutex_);
    if (!leadership_.leads(now_ns) || now_ns < next_plan_ns_) return;
    next_plan_ns_ = now_ns + plan_interval_ns;
    term = leadership_.term();
  }
  std::vector<KvWrite> rollouts;
  const std::optional<Plan> plan = make_plan(now_ns, rollouts);
  if (!plan) return;
  // Each write may wait: a leader whose time is over, or whose term is another, writes no more.
  const auto leads_on = [&] {
    const std::lock_guard lock(mutex_);
    return leadership_.leads(clock_.now_ns()) && leadership_.term() == term;
  };
  {
    const std::lock_guard lock(mutex_);
    const std::vector<KvWrite> refusals = planner_.plan_refusals(now_ns, term);
    rollouts.insert(rollouts.end(), refusals.begin(), refusals.end());
  }
  for (const KvWrite& one : rollouts) {
    if (!leads_on()) return;
    write(one, term, "planner");
  }
  for (const SiteChange& change : plan->changes) {
    if (!leads_on()) return;
    std::optional<KvWrite> one;
    {
      const std::lock_guard lock(mutex_);
      one = planner_.stands(change, term);
    }
    if (one) write(*one, term, "planner");
  }
}

bool Control::leads() const {
  const std::lock_guard lock(mutex_);
  return leadership_.leads(clock_.now_ns());
}

ControlCounters Control::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void Control::heard_status(const Message& message) {
  if (message.reply.empty()) return;
  const Result<StatusAsk> ask = parse_status_ask(message.data);
  const auto told = bus_.publish(
      message.reply, ask ? status_text(*ask)
                         : json::serialize(json::object{{"v", 1}, {"error", ask.error().message}}));
  if (ask && told) return;
  const std::lock_guard lock(mutex_);
  if (!ask) return refuse(ask.error());
  counters_.last_error = told.error().message;
}

}  // namespace noroshi::fleet
