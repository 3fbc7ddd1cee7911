#include "fleet/agent.h"

#include "fleet/membership.h"

namespace noroshi::fleet {
namespace {

constexpr double kv_timeout_s = 2;
constexpr std::int64_t facts_retry_ns = 500'000'000;
constexpr std::int64_t desired_again_ns = 5'000'000'000;
constexpr std::int64_t desired_retry_ns = 500'000'000;
constexpr std::int64_t facts_again_ns = 60'000'000'000;  // whoever emptied the bucket

}  // namespace

Agent::Agent(Bus& bus, Clock& clock, AgentConfig config, std::function<void(SiteReport&)> describe,
             std::function<void(const DesiredSite&)> apply)
    : bus_(bus),
      clock_(clock),
      describe_(std::move(describe)),
      apply_(std::move(apply)),
      config_(std::move(config)),
      started_ns_(clock.now_ns()) {
  next_beat_ns_ = started_ns_ + listen_ns;
}

Result<void> Agent::start() {
  const SiteFacts& facts = config_.facts;
  for (const auto& [what, word] : {std::pair{"name", facts.name}, {"region", facts.region}}) {
    if (is_word(word)) continue;
    return Error{std::string("fleet: the site's ") + what + " is '" + word +
                 "' (allowed: 1 to 64 letters, digits, '-' and '_')"};
  }
  auto beats = bus_.subscribe(beat_subject(facts.region, facts.name), "",
                              [this](const Message& message) { heard_beat(message); });
  if (!beats) return beats.error();
  beats_ = *std::move(beats);
  // A key that may not hear other regions' sites hears nothing here, and its own all the same.
  auto namesakes = bus_.subscribe(beat_subject("*", facts.name), "",
                                  [this](const Message& message) { heard_namesake(message); });
  if (!namesakes) return namesakes.error();
  namesakes_ = *std::move(namesakes);
  auto wanted = bus_.subscribe(wanted_subject(facts.region, facts.name), "",
                               [this](const Message&) { another_desired_ = true; });
  if (!wanted) return wanted.error();
  wanted_ = *std::move(wanted);
  return {};
}

void Agent::heard_beat(const Message& message) {
  const Result<SiteReport> heard = parse_report(message.subject, message.data);
  const std::lock_guard lock(mutex_);
  if (!heard) {
    ++status_.messages_refused;
    status_.last_error = heard.error().message;
    return;
  }
  // One that is not in yet has not been there at all.
  const double uptime_s = status_.state == AgentState::joined
                              ? static_cast<double>(clock_.now_ns() - started_ns_) / 1e9
                              : -1;
  const SiteFacts& facts = config_.facts;
  if (rival_of(facts.instance, uptime_s, *heard) != Rival::we_yield) return;
  refuse_for(*heard);
}

void Agent::heard_namesake(const Message& message) {
  const Result<SiteReport> heard = parse_report(message.subject, message.data);
  const std::lock_guard lock(mutex_);
  // Garbage in another region is no news of ours; our own region's is heard_beat()'s.
  if (!heard || heard->site.region == config_.facts.region) return;
  if (status_.state != AgentState::joined) refuse_for(*heard);
}

void Agent::refuse_for(const SiteReport& heard) {
  rival_heard_ns_ = clock_.now_ns();
  if (told_refused_) return;
  status_.state = AgentState::refused;
  status_.refusal = "fleet: a site named '" + heard.site.name + "' of region '" +
                    heard.site.region + "' is there already, at " + heard.site.host + ":" +
                    std::to_string(heard.site.tcp_port) + " for " +
                    std::to_string(static_cast<long>(heard.uptime_s)) +
                    " s: give this one another name (site.name)";
}

// Silence counts while the bus is there to hear somebody on.
bool Agent::may_come_back(std::int64_t now_ns, bool connected) {
  if (told_refused_) return false;
  if (!connected) rival_heard_ns_ = now_ns;
  if (now_ns - rival_heard_ns_ < name_free_ns) return false;
  status_.state = AgentState::listening;
  status_.refusal.clear();
  next_beat_ns_ = now_ns;  // it has listened all the while
  return true;
}

bool Agent::heard_desired(const KvEntry& entry) {
  if (entry.erased) {
    const std::lock_guard lock(mutex_);
    return told_refused_;
  }
  const Result<DesiredSite> desired = parse_desired(entry.value);
  const std::lock_guard lock(mutex_);
  if (!desired) {
    ++status_.messages_refused;
    status_.last_error = "key " + entry.key + ": " + desired.error().message;
    return false;
  }
  if (desired->term < status_.desired.term) {
    ++status_.messages_refused;
    status_.last_error = "key " + entry.key + ": is of term " + std::to_string(desired->term) +
                         ", and term " + std::to_string(status_.desired.term) + " was there before";
    return false;
  }
  if (!desired->refused_by.empty()) {
    // What it runs it goes on running, for those who ask it without the fleet.
    status_.desired.term = desired->term;
    status_.state = AgentState::refused;
    status_.refusal = "fleet: region '" + desired->refused_by + "' has a site named '" +
                      config_.facts.name + "' already, says the control plane: give this one " +
                      "another name (site.name); else it stays out until that one is gone";
    told_refused_ = true;
    return false;
  }
  status_.desired = *desired;
  status_.desired_revision = entry.revision;
  to_apply_ = *desired;
  return told_refused_;
}

// As at the start: whoever took the name meanwhile keeps it.
void Agent::listen_again() {
  auto namesakes = bus_.subscribe(beat_subject("*", config_.facts.name), "",
                                  [this](const Message& message) { heard_namesake(message); });
  std::unique_ptr<Subscription> before;  // goes outside the lock, for it waits for its handler
  const std::lock_guard lock(mutex_);
  if (!namesakes) {
    status_.last_error = namesakes.error().message;
    read_revision_ = 0;  // to be read again
    return;
  }
  before = std::exchange(namesakes_, *std::move(namesakes));
  told_refused_ = false;
  status_.state = AgentState::listening;
  status_.refusal.clear();
  next_beat_ns_ = clock_.now_ns() + listen_ns;
}

void Agent::step() {
  const std::int64_t now_ns = clock_.now_ns();
  SiteReport report;
  std::optional<DesiredSite> apply;
  {
    const std::lock_guard lock(mutex_);
    apply = std::exchange(to_apply_, std::nullopt);
    // What comes meanwhile is not reported as heard before it was told to apply_.
    report.desired_revision = status_.desired_revision;
    report.site.draining = status_.desired.draining;
  }
  if (apply) apply_(*apply);
  const bool connected = bus_.connected();
  std::unique_ptr<Subscription> heard_enough;
  {
    const std::lock_guard lock(mutex_);
    if (leaving_) return;
    if (status_.state == AgentState::refused && !may_come_back(now_ns, connected)) return;
    if (now_ns < next_beat_ns_) return;
    if (status_.state == AgentState::listening) heard_enough = std::move(namesakes_);
    status_.state = AgentState::joined;
    report.site.name = config_.facts.name;
    report.site.region = config_.facts.region;
    report.site.instance = config_.facts.instance;
    report.site.host = config_.host;
    report.site.tcp_port = config_.tcp_port;
    if (config_.pin) report.site.pin = config_.pin();
    report.uptime_s = static_cast<double>(now_ns - started_ns_) / 1e9;
    report.sequence = ++sequence_;
    // A step that comes late moves the timetable: beats are never sent in a burst.
    next_beat_ns_ = std::max(next_beat_ns_ + beat_interval_ns, now_ns + beat_interval_ns / 2);
  }
  heard_enough.reset();  // outside the lock, for it waits for its handler
  describe_(report);
  const Result<void> sent =
      bus_.publish(beat_subject(report.site.region, report.site.name), report_text(report));
  const std::lock_guard lock(mutex_);
  if (sent) {
    ++status_.beats;
  } else {
    status_.last_error = sent.error().message;
  }
}

void Agent::step_desired() {
  const std::int64_t now_ns = clock_.now_ns();
  if (!bus_.connected()) {
    another_desired_ = true;  // what is said meanwhile is not heard
    return;
  }
  if (!another_desired_.exchange(false) && now_ns < next_desired_ns_) return;
  next_desired_ns_ = now_ns + desired_again_ns;
  const SiteFacts& facts = config_.facts;  // name and region never change
  const auto entry =
      bus_.kv_get(region_bucket(facts.region), "desired." + facts.name, kv_timeout_s);
  if (!entry) {
    next_desired_ns_ = now_ns + desired_retry_ns;
    const std::lock_guard lock(mutex_);
    status_.last_error = entry.error().message;
    return;
  }
  const KvEntry none{.key = "desired." + facts.name, .erased = true};
  const KvEntry& read = entry->has_value() ? **entry : none;
  if (entry->has_value() && read.revision == read_revision_) return;
  read_revision_ = read.revision;
  if (heard_desired(read)) listen_again();
}

void Agent::step_slow() {
  const std::int64_t now_ns = clock_.now_ns();
  SiteFacts facts;
  {
    const std::lock_guard lock(mutex_);
    if (status_.state != AgentState::joined || now_ns < next_facts_ns_ || !bus_.connected()) return;
    facts = config_.facts;
    next_facts_ns_ = now_ns + facts_again_ns;
  }
  const std::string text = facts_text(facts);
  const std::string bucket = region_bucket(facts.region);
  const std::string key = "facts." + facts.name;
  const auto there = bus_.kv_get(bucket, key, kv_timeout_s);
  const bool same = there && there->has_value() && !(*there)->erased && (*there)->value == text;
  Error error{there ? "" : there.error().message};
  bool known = same;
  if (there && !same) {
    const auto written = bus_.kv_put(bucket, key, text, kv_timeout_s);
    known = written.ok();
    if (!written) error = written.error();
  }
  const std::lock_guard lock(mutex_);
  status_.facts_known = known;
  if (known) return;
  status_.last_error = error.message;
  next_facts_ns_ = now_ns + facts_retry_ns;
}

void Agent::set_files(std::vector<ModelFile> files, std::vector<std::string> configured,
                      std::uint64_t disk_bytes) {
  const std::lock_guard lock(mutex_);
  config_.facts.configured = std::move(configured);
  config_.facts.files = std::move(files);
  config_.facts.disk_bytes = disk_bytes;
  next_facts_ns_ = 0;
}

void Agent::leave() {
  SiteReport report;
  {
    const std::lock_guard lock(mutex_);
    if (status_.state != AgentState::joined || leaving_) return;
    leaving_ = true;
    report.site.name = config_.facts.name;
    report.site.region = config_.facts.region;
    report.site.instance = config_.facts.instance;
    report.site.host = config_.host;
    report.site.tcp_port = config_.tcp_port;
    if (config_.pin) report.site.pin = config_.pin();
    report.sequence = ++sequence_;
    report.desired_revision = status_.desired_revision;
  }
  report.site.draining = true;
  // Without a connection the others will miss the beats: nothing to mend here.
  if (bus_.publish(beat_subject(report.site.region, report.site.name), report_text(report))) {
    const Result<void> flushed = bus_.flush(0.5);
    static_cast<void>(flushed);
  }
}

AgentStatus Agent::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace noroshi::fleet
