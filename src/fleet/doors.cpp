#include "fleet/doors.h"

#include <algorithm>

#include "fleet/desired.h"
#include "gateway/route/route.h"

namespace noroshi::fleet {
namespace {

constexpr std::int64_t ms = 1'000'000;
constexpr std::int64_t tell_interval_ns = 200 * ms;
// By then the sites are known at which turns were: a digest comes once a second.
constexpr std::int64_t ask_after_ns = 2000 * ms;
// What is older is in no engine's cache any more.
constexpr std::int64_t known_age_ns_max = 3600'000 * ms;
constexpr std::int64_t answer_step_ns = 50 * ms;
constexpr std::uint64_t answer_steps = 8;
constexpr std::size_t askers_max = 64;

}  // namespace

DoorsSink doors_sink_of(gateway::Router& router) {
  return {.new_turns = [&router] { return router.new_turns(); },
          .hear = [&router](const gateway::ToldTurns& told) { router.hear(told); },
          .known_turns =
              [&router](std::size_t& from, std::size_t turns_max, std::int64_t since_ns) {
                return router.known_turns(from, turns_max, since_ns);
              },
          .sessions_known = [&router] { return router.sessions_known(); }};
}

Doors::Doors(Bus& bus, Clock& clock, DoorsConfig config, DoorsSink sink)
    : bus_(bus),
      clock_(clock),
      config_(std::move(config)),
      sink_(std::move(sink)),
      started_ns_(clock.now_ns()) {}

Result<void> Doors::start() {
  if (!is_word(config_.id)) {
    return Error{"fleet: the gateway's id is '" + config_.id +
                 "' (allowed: 1 to 64 letters, digits, '-' and '_')"};
  }
  for (const std::string& subject : {turns_subject("*"), turns_subject("*", config_.id)}) {
    auto turns =
        bus_.subscribe(subject, "", [this](const Message& message) { heard_turns(message); });
    if (!turns) return turns.error();
    subscriptions_.push_back(*std::move(turns));
  }
  auto secret = bus_.kv_watch(fleet_bucket, session_secret_key,
                              [this](const KvEntry& entry) { heard_secret(entry); });
  if (!secret) return secret.error();
  subscriptions_.push_back(*std::move(secret));
  return {};
}

void Doors::refuse(const Error& error) {
  ++counters_.refused;
  counters_.last_error = error.message;
}

// One that is erased or that nobody can read is replaced by the control plane: the last stands.
void Doors::heard_secret(const KvEntry& entry) {
  if (entry.erased) return;
  Result<std::string> secret = parse_session_secret(entry.value);
  const std::lock_guard lock(mutex_);
  if (!secret) return refuse({"key " + entry.key + ": " + secret.error().message});
  shared_secret_ = *std::move(secret);
}

void Doors::heard_turns(const Message& message) {
  Result<TurnsMessage> heard = parse_turns(message.subject, message.data);
  const std::int64_t now_ns = clock_.now_ns();
  {
    const std::lock_guard lock(mutex_);
    if (!heard) return refuse(heard.error());
    if (heard->origin == config_.origin) return;
    ++counters_.heard;
    if (heard->kind == TurnsKind::asks) {
      ++counters_.asks;
      if (asked_.size() >= askers_max) {
        return refuse({"turns on " + message.subject + ": " + std::to_string(askers_max) +
                       " others have asked already"});
      }
      const std::string id = message.subject.substr(turns_subject("").size());
      if (!is_word(id)) return refuse({"turns on " + message.subject + ": asks where none asks"});
      const std::uint64_t steps = 1 + (heard->origin ^ config_.origin) % answer_steps;
      asked_[heard->origin] = {id, now_ns + static_cast<std::int64_t>(steps) * answer_step_ns};
    }
    if (heard->kind == TurnsKind::answers && 2 * heard->known >= sink_.sessions_known()) {
      asked_.erase(heard->asker);
    }
    if (heard->kind != TurnsKind::told) return;
  }
  for (auto& turn : heard->told.turns) turn.at_ns += now_ns;
  sink_.hear(heard->told);
}

bool Doors::send(const std::string& subject, TurnsMessage message, std::int64_t now_ns) {
  message.origin = config_.origin;
  for (auto& turn : message.told.turns) turn.at_ns -= now_ns;
  const Result<void> sent = bus_.publish(subject, turns_bytes(message));
  if (sent) return true;
  const std::lock_guard lock(mutex_);
  counters_.last_error = sent.error().message;
  return false;
}

// Under a secret of our own nobody would know the sessions.
void Doors::tell_new_turns() {
  gateway::ToldTurns turns = sink_.new_turns();
  const std::size_t count = turns.turns.size();
  if (count == 0) return;
  const bool shared = counters().shares_secret;
  const bool told =
      shared && send(turns_subject(config_.id), {.told = std::move(turns)}, clock_.now_ns());
  const std::lock_guard lock(mutex_);
  (told ? counters_.told : counters_.lost) += count;
}

void Doors::ask_once(std::int64_t now_ns) {
  if (has_asked_ || now_ns < started_ns_ + ask_after_ns || !counters().shares_secret) return;
  has_asked_ = send(turns_subject(config_.id), {.kind = TurnsKind::asks}, now_ns);
}

// One asker after the other.
void Doors::announce_answer(std::int64_t now_ns) {
  if (!telling_.empty()) return;
  TurnsMessage announced{.kind = TurnsKind::answers, .known = sink_.sessions_known()};
  std::string asker;
  {
    const std::lock_guard lock(mutex_);
    const auto due = std::ranges::find_if(
        asked_, [&](const auto& asked) { return asked.second.due_ns <= now_ns; });
    if (due == asked_.end()) return;
    announced.asker = due->first;
    asker = due->second.id;
    asked_.erase(due);
  }
  if (announced.known == 0 || !send(turns_subject(config_.id), announced, now_ns)) return;
  telling_ = asker;
  told_to_ = 0;
  const std::lock_guard lock(mutex_);
  ++counters_.answered;
}

void Doors::tell_asker(std::int64_t now_ns) {
  if (telling_.empty()) return;
  gateway::ToldTurns turns = sink_.known_turns(told_to_, told_turns_max, now_ns - known_age_ns_max);
  const bool sent = turns.turns.empty() ||
                    send(turns_subject(config_.id, telling_), {.told = std::move(turns)}, now_ns);
  if (!sent || told_to_ == 0) telling_.clear();
}

void Doors::step() {
  const std::int64_t now_ns = clock_.now_ns();
  announce_answer(now_ns);  // before the others' moments
  if (now_ns < next_ns_) return;
  next_ns_ = now_ns + tell_interval_ns;
  tell_new_turns();
  ask_once(now_ns);
  tell_asker(now_ns);
}

std::string Doors::secret() const {
  const std::lock_guard lock(mutex_);
  return shared_secret_.empty() ? config_.secret : shared_secret_;
}

DoorsCounters Doors::counters() const {
  const std::lock_guard lock(mutex_);
  DoorsCounters out = counters_;
  out.shares_secret = !shared_secret_.empty();
  return out;
}

}  // namespace noroshi::fleet
