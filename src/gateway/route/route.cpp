// The choice itself.

#include "gateway/route/route.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "gateway/route/route_state.h"

namespace noroshi::gateway {
namespace {

// What is known of the prompt at one copy.
struct Cached {
  std::uint32_t copy = 0;
  int tokens = 0;
};

struct Shortlist {
  std::array<Scored, best_copies_max + PrefixIndex::holders_max + 1> list;
  std::size_t count = 0;

  // In order, each copy once with its better score.
  void offer(Scored one) {
    for (std::size_t i = 0; i < count; ++i) {
      if (list[i].copy != one.copy) continue;
      if (list[i].score_s <= one.score_s) return;
      std::move(list.begin() + i + 1, list.begin() + count, list.begin() + i);
      --count;
      break;
    }
    if (count == list.size()) {
      if (!(one.score_s < list[count - 1].score_s)) return;
      --count;
    }
    std::size_t at = count++;
    for (; at > 0 && list[at - 1].score_s > one.score_s; --at) list[at] = list[at - 1];
    list[at] = one;
  }
  void keep_best(float band, float band_s, std::size_t most) {
    count = std::min(count, most);
    while (count > 1 && !(list[count - 1].score_s < list[0].score_s * (1 + band) + band_s)) {
      --count;
    }
  }
};

}  // namespace

SomeContents Router::State::contents_for(const Model& model, std::string_view hash) const {
  SomeContents some;
  for (const std::uint32_t number : model.contents) {
    const Content& content = contents[number];
    if (!hash.empty()) {
      if (content.hash == hash) some.add(number);
    } else if (!model.allowed.empty()) {
      if (std::ranges::find(model.allowed, content.hash) != model.allowed.end()) some.add(number);
    } else if (content.copies > 0) {
      // Until told which is right: the one that most sites have, the older one among equals.
      if (some.count == 0) {
        some.add(number);
      } else if (content.copies > contents[some.numbers[0]].copies) {
        some.numbers[0] = number;
      }
    }
  }
  return some;
}

const Model* Router::State::model_named(std::string_view name) const {
  const auto found = model_numbers.find(name);
  return found == model_numbers.end() ? nullptr : &models[found->second];
}

namespace {

// A decision in progress.
struct Decision {
  Router::State& s;
  const Ask& ask;
  SomeContents contents;
  std::vector<std::uint32_t> passed_by = {};  // copies
  Shortlist best = {};
  std::array<Cached, PrefixIndex::holders_max + 1> cached = {};
  std::size_t cached_count = 0;
  float now_s = 0;

  int cached_tokens(std::uint32_t copy) const {
    int tokens = 0;
    for (std::size_t i = 0; i < cached_count; ++i) {
      if (cached[i].copy == copy) tokens = std::max(tokens, cached[i].tokens);
    }
    return tokens;
  }

  void pass_by_tried_sites() {
    for (const std::uint32_t site : ask.tried) {
      if (site >= s.sites.size()) continue;
      const auto& copies = s.sites[site].copies;
      passed_by.insert(passed_by.end(), copies.begin(), copies.end());
    }
  }

  void scan() {
    for (std::size_t i = 0; i < contents.count; ++i) {
      const Candidates& table = s.contents[contents.numbers[i]].candidates;
      s.scratch.resize(std::max(s.scratch.size(), table.bound_fixed().size()));
      const BestQuery query{static_cast<float>(ask.prompt_tokens),
                            static_cast<float>(ask.completion_tokens),
                            static_cast<float>(s.config.band),
                            static_cast<float>(s.config.band_s),
                            s.prng() >> 32,
                            passed_by,
                            now_s};
      std::array<Scored, best_copies_max> found;
      const std::size_t most = static_cast<std::size_t>(s.config.best_max);
      const std::size_t count =
          cpu::best_copies(table, query, s.scratch, std::span(found).first(most));
      for (std::size_t k = 0; k < count; ++k) best.offer(found[k]);
    }
  }

  // The prompt's beginning is in this copy's cache: it is computed no more.
  void credit(std::uint32_t number, std::int64_t tokens) {
    const Copy& copy = s.copies[number];
    if (copy.slot == Candidates::absent || !contents.has(copy.content)) return;
    if (std::ranges::find(passed_by, number) != passed_by.end()) return;
    if (!has_room(copy.load, s.config.load_cap)) return;
    tokens = std::clamp<std::int64_t>(tokens, 0, ask.prompt_tokens);
    cached[cached_count++] = {number, static_cast<int>(tokens)};
    const Candidates& table = s.contents[copy.content].candidates;
    const float prompt = static_cast<float>(ask.prompt_tokens - tokens);
    const float completion = static_cast<float>(ask.completion_tokens);
    best.offer({table.fixed_s[copy.slot] + std::max(0.0f, table.reads_until_s[copy.slot] - now_s) +
                    prompt * table.per_prompt_token_s[copy.slot] +
                    completion * table.per_completion_token_s[copy.slot],
                number});
  }

  void credit_cached() {
    std::array<PrefixIndex::Holder, PrefixIndex::holders_max> holders;
    const std::size_t count = s.prefixes.find(ask.prefix_blocks, holders);
    for (std::size_t i = 0; i < count; ++i) {
      credit(holders[i].copy,
             static_cast<std::int64_t>(prefix_bytes(holders[i].blocks)) / bytes_per_token);
    }
  }

  // Time to the first token: the answer is as long anywhere else, and must not hide what a prompt's
  // beginning is worth.
  float first_token_s(const Scored& one) const {
    const Copy& copy = s.copies[one.copy];
    return one.score_s - static_cast<float>(ask.completion_tokens) *
                             s.contents[copy.content].candidates.per_completion_token_s[copy.slot];
  }

  // What its cache saves is more than the band of its first token's time, which is about as good as
  // the best one's: computing the same elsewhere would be work for nothing.
  bool cache_decides(std::size_t i) const {
    const Copy& copy = s.copies[best.list[i].copy];
    const float saved_s = static_cast<float>(cached_tokens(best.list[i].copy)) *
                          s.contents[copy.content].candidates.per_prompt_token_s[copy.slot];
    const auto band = static_cast<float>(s.config.band);
    const auto band_s = static_cast<float>(s.config.band_s);
    const float its_s = first_token_s(best.list[i]);
    return saved_s > its_s * band + band_s &&
           its_s <= first_token_s(best.list[0]) * (1 + band) + band_s;
  }

  // Of the best two are drawn and the better is taken; a session stays where it was when its site
  // is among the best, and a prompt goes where its beginning is when that saves much.
  Scored draw(std::uint32_t session_copy) {
    best.keep_best(static_cast<float>(s.config.band), static_cast<float>(s.config.band_s),
                   static_cast<std::size_t>(s.config.best_max));
    for (std::size_t i = 0; i < best.count; ++i) {
      if (best.list[i].copy == session_copy) return best.list[i];
    }
    if (best.count == 1) return best.list[0];
    for (std::size_t i = 0; i < best.count; ++i) {
      if (cache_decides(i)) return best.list[i];
    }
    const std::size_t one = s.prng.below(best.count);
    const std::size_t step = 1 + s.prng.below(best.count - 1);
    return best.list[std::min(one, (one + step) % best.count)];
  }
};

}  // namespace

Router::Router(const RouterConfig& config, std::uint64_t seed)
    : state_(std::make_unique<State>(config, seed)) {
  assert(config.best_max >= 1 && config.best_max <= static_cast<int>(best_copies_max));
}
Router::~Router() = default;

Choice Router::choose(const Ask& ask, std::int64_t now_ns) {
  State& s = *state_;
  const std::lock_guard lock(s.mutex);
  ++s.counts.decisions;
  s.advance(now_ns);
  if (!s.suspects.empty()) s.end_suspicions(now_ns);
  Choice choice;
  const Model* model = s.model_named(ask.model);
  Decision decision{s, ask, model ? s.contents_for(*model, ask.content_hash) : SomeContents{}};
  decision.now_s = s.now_s(now_ns);
  decision.pass_by_tried_sites();
  decision.scan();
  std::uint32_t session_copy = Candidates::absent;
  if (decision.best.count > 0) {
    decision.credit_cached();
    if (const auto turn = s.last_turn(ask.session)) {
      session_copy = turn->copy;
      decision.credit(turn->copy, turn->tokens);
    }
  }
  if (decision.best.count == 0) {
    ++s.counts.decisions_without_site;
    return choice;
  }

  const Scored chosen = decision.draw(session_copy);
  Copy& copy = s.copies[chosen.copy];
  const Content& content = s.contents[copy.content];
  choice.at = s.sites[copy.site].address;
  choice.site = copy.site;
  choice.copy = chosen.copy;
  choice.content_hash = content.hash;
  choice.cached_tokens = decision.cached_tokens(chosen.copy);
  choice.predicted_s = chosen.score_s;
  choice.expected_per_token_s = content.candidates.per_completion_token_s[copy.slot];
  choice.expected_fixed_s = chosen.score_s - ask.completion_tokens * choice.expected_per_token_s;
  choice.slowness = copy.load.slowness;
  s.counts.cached_tokens += static_cast<std::uint64_t>(choice.cached_tokens);
  if (session_copy != Candidates::absent && s.copies[session_copy].site != copy.site) {
    choice.previous = s.copies[session_copy].site;
    choice.previous_same_model =
        s.copies[session_copy].content == copy.content && !content.hash.empty();
    ++s.counts.sessions_moved;
  }

  copy.reads_until_ns =
      reads_until_ns(copy.reads_until_ns, now_ns,
                     static_cast<double>(ask.prompt_tokens - choice.cached_tokens) *
                         static_cast<double>(content.candidates.per_prompt_token_s[copy.slot]));
  copy.load.own += 1;
  s.refresh(chosen.copy);
  s.prefixes.insert(ask.prefix_blocks, chosen.copy);
  if (ask.session != 0) {
    s.take_turn(ask.session, {chosen.copy, copy.born, ask.prompt_tokens, now_ns});
  }
  return choice;
}

Capacity Router::capacity(std::string_view name) const {
  const State& s = *state_;
  const std::lock_guard lock(s.mutex);
  Capacity capacity;
  const Model* model = s.model_named(name);
  if (model == nullptr) return capacity;
  double places = 0;
  double open = 0;
  std::uint64_t unlimited = 0;
  const SomeContents some = s.contents_for(*model, {});
  for (std::size_t i = 0; i < some.count; ++i) {
    const Content& content = s.contents[some.numbers[i]];
    capacity.known = capacity.known || content.copies > 0;
    capacity.ready = capacity.ready || content.candidates.size() > 0;
    unlimited += content.unlimited;
    places += content.places;
    open += content.open;
  }
  if (unlimited == 0 && places >= 1) {
    capacity.places = static_cast<int>(std::lround(std::min(places, 1e9)));
    capacity.share = open / places;
  }
  return capacity;
}

std::vector<std::string> Router::models() const {
  const std::lock_guard lock(state_->mutex);
  std::vector<std::string> names;
  for (const Model& model : state_->models) {
    const bool offered = std::ranges::any_of(model.contents, [this](std::uint32_t content) {
      return state_->contents[content].copies > 0;
    });
    if (offered) names.push_back(model.name);
  }
  std::ranges::sort(names);
  return names;
}

bool Router::ready() const {
  const std::lock_guard lock(state_->mutex);
  return std::ranges::any_of(state_->contents,
                             [](const Content& content) { return content.candidates.size() > 0; });
}

std::shared_ptr<const SiteAddress> Router::address(std::uint32_t site) const {
  const std::lock_guard lock(state_->mutex);
  if (site >= state_->sites.size() || !state_->sites[site].alive) return nullptr;
  return state_->sites[site].address;
}

std::uint64_t Router::losses() const {
  const std::lock_guard lock(state_->mutex);
  return state_->losses;
}

RouterCounters Router::counters() const {
  const std::lock_guard lock(state_->mutex);
  RouterCounters counts = state_->counts;
  for (const Site& site : state_->sites) counts.sites += site.alive ? 1 : 0;
  return counts;
}

std::size_t Router::memory_bytes() const {
  const State& s = *state_;
  const std::lock_guard lock(s.mutex);
  constexpr std::size_t map_entry = sizeof(std::string) + 4 * sizeof(void*);
  std::size_t bytes = sizeof s + s.prefixes.memory_bytes() + s.sessions.memory_bytes() +
                      s.told_sessions.memory_bytes() + s.new_turns.capacity() * sizeof(NewTurn);
  bytes += s.sites.capacity() * sizeof(Site) + s.copies.capacity() * sizeof(Copy);
  bytes += s.sites.size() * (map_entry + sizeof(SiteAddress) + 2 * sizeof(void*) + 32);
  for (const SiteRegion& region : s.regions) {
    bytes += sizeof region + map_entry +
             (region.sites.capacity() + region.measured.capacity()) * sizeof(std::uint32_t);
  }
  for (const Content& content : s.contents)
    bytes += sizeof content + content.candidates.memory_bytes();
  return bytes + s.scratch.capacity() * sizeof(float);
}

}  // namespace noroshi::gateway
