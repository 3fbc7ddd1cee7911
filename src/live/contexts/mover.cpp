#include "live/contexts/mover.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "gateway/thread.h"
#include "live/contexts/seal.h"

namespace noroshi::live {
namespace {

using gateway::ContextFetched;
using gateway::ContextWanted;
using gateway::SlotPlace;

const std::string store(fleet::session_store);
constexpr double put_timeout_s = 20;
constexpr double engine_timeout_s = 20;
constexpr double tidy_timeout_s = 1;
constexpr double rest_s_first = 5;  // of a site that failed; doubles
constexpr double rest_s_max = 300;
constexpr std::int64_t restored_ns = 5'000'000'000;  // so long a slot waits for its question
constexpr std::size_t peers_max = 4096;

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string data{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  if (!in) return Error{path + ": cannot be read"};
  return data;
}

Result<void> write_file(const std::string& path, std::string_view data) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(data.data(), static_cast<std::streamsize>(data.size()));
  out.close();
  if (!out) return Error{path + ": cannot be written"};
  return {};
}

// The fleet's store as a move sees it: what goes in is sealed.
class SealedStore : public gateway::BlobStore {
 public:
  SealedStore(fleet::Bus& bus, std::string session, std::string content, std::size_t bytes_max,
              double timeout_s)
      : bus_(bus),
        session_(std::move(session)),
        content_(std::move(content)),
        bytes_max_(bytes_max),
        timeout_s_(timeout_s) {}

  Result<void> put(const std::string& name, const std::string& path) override {
    const auto data = read_file(path);
    if (!data) return data.error();
    if (data->size() > bytes_max_) {
      return Error{"the context has " + std::to_string(data->size()) +
                   " bytes (allowed: " + std::to_string(bytes_max_) + ")"};
    }
    const auto sealed = seal(*data, session_, content_);
    if (!sealed) return sealed.error();
    return fleet::put_object(bus_, store, name, *sealed, timeout_s_);
  }
  Result<void> get(const std::string& name, const std::string& path) override {
    const auto sealed = fleet::get_object(bus_, store, name, timeout_s_);
    if (!sealed) return sealed.error();
    const auto data = unseal(*sealed, session_, content_);
    if (!data) return data.error();
    return write_file(path, *data);
  }
  Result<void> remove(const std::string& name) override {
    return fleet::erase_object(bus_, store, name, timeout_s_);
  }

 private:
  fleet::Bus& bus_;
  const std::string session_;
  const std::string content_;
  const std::size_t bytes_max_;
  const double timeout_s_;
};

SlotPlace place_of(const gateway::SiteAddress& engine, const std::string& folder,
                   double timeout_s) {
  return {.host = engine.host,
          .tcp_port = engine.tcp_port,
          .api_key = engine.api_key,
          .save_folder = folder,
          .timeout_s = timeout_s};
}

std::string seconds(double s) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g s", s);
  return text;
}

// The slot whose last request is the turn.
Result<int> slot_of_turn(const SlotPlace& place, std::uint32_t seed) {
  const auto slots = gateway::read_slots(place);
  if (!slots) return slots.error();
  const auto found = std::ranges::find_if(
      *slots, [seed](const gateway::EngineSlot& slot) { return slot.seed == seed; });
  if (found == slots->end()) return Error{"another session has its slot by now"};
  if (found->busy) return Error{"the engine still answers it"};
  return found->id;
}

}  // namespace

ContextMover::ContextMover(fleet::Bus& bus, Clock& clock, MoverConfig config, MoverCalls calls)
    : bus_(bus),
      clock_(clock),
      config_(std::move(config)),
      calls_(std::move(calls)),
      prng_(config_.seed) {
  fetching_ = gateway::ordinary_thread("contexts-in", [this] { run_fetches(); });
  asked_ = gateway::ordinary_thread("contexts-out", [this] { run_asks(); });
}

ContextMover::~ContextMover() {
  subscription_.reset();
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  fetching_.join();
  asked_.join();
  for (const Fetch& fetch : fetches_) fetch.tell({.why = "the site ends"});
}

Result<void> ContextMover::start() {
  auto heard = bus_.subscribe(context_subject(config_.region, config_.site), "",
                              [this](const fleet::Message& message) {
                                // An answer goes to whoever asked and nowhere else.
                                if (!message.reply.starts_with("_INBOX")) return;
                                const std::lock_guard lock(mutex_);
                                if (asks_.size() >= waiting_max) {
                                  ++counters_.asks_refused;
                                  return;
                                }
                                asks_.push_back(message);
                                changed_.notify_all();
                              });
  if (!heard) return heard.error();
  subscription_ = *std::move(heard);
  return {};
}

void ContextMover::fetch(ContextWanted wanted, std::function<void(ContextFetched)> tell) {
  {
    const std::lock_guard lock(mutex_);
    if (!stopping_ && fetches_.size() < waiting_max) {
      fetches_.push_back({std::move(wanted), std::move(tell), clock_.now_ns()});
      changed_.notify_all();
      return;
    }
  }
  tell({.why = "too many contexts are on their way"});
}

MoverCounters ContextMover::counters() const {
  const std::lock_guard lock(mutex_);
  return counters_;
}

void ContextMover::run_fetches() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !fetches_.empty(); });
    if (stopping_) return;
    const Fetch fetch = std::move(fetches_.front());
    fetches_.pop_front();
    lock.unlock();
    const ContextFetched fetched = fetch_one(fetch);
    fetch.tell(fetched);
    tidy_up();
    lock.lock();
    if (fetched.tokens > 0) ++counters_.fetched;
    if (fetched.tried && fetched.tokens == 0) {
      ++counters_.fetches_failed;
      counters_.last_error = fetched.why;
    }
  }
}

void ContextMover::run_asks() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !asks_.empty(); });
    if (stopping_) return;
    const fleet::Message message = std::move(asks_.front());
    asks_.pop_front();
    lock.unlock();
    const auto ask = parse_context_ask(message.data);
    const ContextAnswer answer = ask ? send(*ask) : ContextAnswer{.error = ask.error().message};
    const auto told = bus_.publish(message.reply, json_of(answer));
    lock.lock();
    if (answer.error.empty() && told) {
      ++counters_.sent;
    } else {
      ++counters_.asks_refused;
      counters_.last_error = told ? answer.error : told.error().message;
    }
  }
}

// --- At the site that the session has come to ---

double ContextMover::left_s(const Fetch& fetch, double patience_s) {
  return patience_s - static_cast<double>(clock_.now_ns() - fetch.asked_ns) / 1e9;
}

ContextFetched ContextMover::fetch_one(const Fetch& fetch) {
  const ContextWanted& wanted = fetch.wanted;
  if (!peers_.contains(wanted.from) && peers_.size() >= peers_max) peers_.clear();
  Peer& peer = peers_[wanted.from];
  peer.costs.prompt_tokens_per_s = wanted.prompt_tokens_per_s;
  if (clock_.now_ns() < peer.not_before_ns) return {.why = wanted.from + " failed lately"};
  const double patience = gateway::patience_s(peer.costs, wanted.tokens);
  if (!(patience > 0)) {
    return {.why = "moving takes " + seconds(moving_s(peer.costs, wanted.tokens)) + ", computing " +
                   seconds(recomputing_s(peer.costs, wanted.tokens))};
  }
  const auto tokens = bring(fetch, peer, patience);
  if (tokens) {
    peer.rest_s = 0;
    return {.tokens = *tokens, .tried = true};
  }
  peer.rest_s = std::clamp(2 * peer.rest_s, rest_s_first, rest_s_max);
  peer.not_before_ns = clock_.now_ns() + static_cast<std::int64_t>(peer.rest_s * 1e9);
  return {.tried = true, .why = tokens.error().message};
}

// One that is free, and of these the one used longest ago; not one that was filled for a question
// that is still to come.
Result<SlotPlace> ContextMover::idle_slot(const gateway::SiteAddress& engine, double timeout_s) {
  SlotPlace place = place_of(engine, config_.folder, timeout_s);
  const auto slots = gateway::read_slots(place);
  if (!slots) return slots.error();
  const std::int64_t now_ns = clock_.now_ns();
  std::erase_if(restored_, [&](const Restored& one) { return now_ns - one.at_ns > restored_ns; });
  const gateway::EngineSlot* best = nullptr;
  for (const gateway::EngineSlot& slot : *slots) {
    const bool waits = std::ranges::any_of(restored_, [&](const Restored& one) {
      return one.tcp_port == engine.tcp_port && one.slot == slot.id;
    });
    if (slot.busy || waits) continue;
    if (best == nullptr || slot.task < best->task) best = &slot;
  }
  if (best == nullptr) return Error{"no slot of the engine is free"};
  place.slot = best->id;
  return place;
}

Result<int> ContextMover::bring(const Fetch& fetch, Peer& peer, double patience_s) {
  const ContextWanted& wanted = fetch.wanted;
  const auto from = parse_site_name(wanted.from);
  if (!from) return from.error();
  const std::string content = calls_.content_of(wanted.engine->tcp_port);
  if (content.empty()) return Error{"the hash of the model's file is not known yet"};
  if (const auto idle = idle_slot(*wanted.engine, left_s(fetch, patience_s)); !idle) {
    return idle.error();
  }
  const ContextAsk ask{wanted.session, "c" + std::to_string(prng_()) + std::to_string(prng_())};
  const std::int64_t asked_ns = clock_.now_ns();
  const auto text = bus_.request(context_subject(from->region, from->site), json_of(ask),
                                 left_s(fetch, patience_s));
  if (!text) return Error{wanted.from + ": " + text.error().message};
  const double took_s = static_cast<double>(clock_.now_ns() - asked_ns) / 1e9;
  const auto answer = parse_context_answer(*text);
  if (!answer) return answer.error();
  if (!answer->error.empty()) return Error{wanted.from + ": " + answer->error};
  blob_ = ask.blob;

  const double left = left_s(fetch, patience_s);
  const auto place = left > 0 ? idle_slot(*wanted.engine, left) : Error{"it came too late"};
  if (!place) return place.error();
  SealedStore sealed(bus_, wanted.session, content, config_.bytes_max, left);
  auto moved = gateway::receive_slot(*place, sealed, ask.blob, answer->tokens);
  if (!moved) return moved.error();
  restored_.push_back({wanted.engine->tcp_port, place->slot, clock_.now_ns()});
  moved->save_s = answer->save_s;
  moved->transfer_s += answer->put_s;
  gateway::learn(peer.costs, *moved);
  const double round_trip_s = std::max(0.0, took_s - answer->save_s - answer->put_s);
  peer.costs.round_trip_s = peer.costs.round_trip_s > 0
                                ? 0.75 * peer.costs.round_trip_s + 0.25 * round_trip_s
                                : round_trip_s;
  return moved->tokens;
}

// The request did not wait for this. Where it fails, the store forgets by itself.
void ContextMover::tidy_up() {
  if (blob_.empty()) return;
  if (!fleet::erase_object(bus_, store, blob_, tidy_timeout_s)) {
    const std::lock_guard lock(mutex_);
    counters_.last_error = "blob '" + blob_ + "' is not erased";
  }
  blob_.clear();
}

// --- At the site that it came from ---

ContextAnswer ContextMover::send(const ContextAsk& ask) {
  const auto fails = [](std::string why) { return ContextAnswer{.error = std::move(why)}; };
  const auto turn = calls_.last_turn(ask.session);
  if (!turn || !turn->engine) return fails("it had no turn of that session");
  const std::string content = calls_.content_of(turn->engine->tcp_port);
  if (content.empty()) return fails("the hash of the model's file is not known");
  SlotPlace place = place_of(*turn->engine, config_.folder, engine_timeout_s);
  const auto slot = slot_of_turn(place, turn->seed);
  if (!slot) return fails(slot.error().message);
  place.slot = *slot;
  SealedStore sealed(bus_, ask.session, content, config_.bytes_max, put_timeout_s);
  const auto sent = gateway::send_slot(place, sealed, ask.blob);
  if (!sent) return fails(sent.error().message);
  // A request that came between took the slot, and what was saved is its own.
  if (const auto still = slot_of_turn(place, turn->seed); !still) {
    static_cast<void>(sealed.remove(ask.blob));
    return fails(still.error().message);
  }
  return {.tokens = sent->tokens,
          .bytes = sent->bytes,
          .save_s = sent->save_s,
          .put_s = sent->transfer_s};
}

}  // namespace noroshi::live
