#include "gateway/context.h"

#include <algorithm>

#include "gateway/route/prefix.h"
#include "gateway/tenants.h"
#include "gateway/told.h"

namespace noroshi::gateway {
namespace {

constexpr std::size_t said_bytes_max = 200;
constexpr double recomputing_s_min = 0.02;  // less is never worth asking for

// What a header may hold.
std::string said(std::string text) {
  text.resize(std::min(text.size(), said_bytes_max));
  std::ranges::replace_if(
      text, [](char c) { return c < ' ' || c > '~'; }, '?');
  return text;
}

void count(Metrics& metrics, std::string_view context) {
  if (context.starts_with("moved")) {
    metrics.contexts_moved.fetch_add(1);
  } else if (context.starts_with("computed")) {
    metrics.contexts_computed.fetch_add(1);
  } else {
    metrics.contexts_failed.fetch_add(1);
  }
}

}  // namespace

SessionName name_session(const std::string& secret, std::string_view tenant,
                         std::uint64_t session) {
  std::string text = secret + std::to_string(tenant.size()) + ":";
  text.append(tenant).append(std::to_string(session));
  const KeyHash hash = hash_of_key(text);
  SessionName out;
  for (std::size_t i = 0; i < 16; ++i) {
    constexpr std::string_view digits = "0123456789abcdef";
    out.name += digits[hash[i] >> 4];
    out.name += digits[hash[i] & 15];
  }
  for (std::size_t i = 16; i < 24; ++i) out.key = out.key << 8 | hash[i];
  out.key = std::max<std::uint64_t>(1, out.key);
  return out;
}

void name_session(Meeting& m) {
  const Shared& shared = m.client.shared;
  const std::uint64_t session = m.asked.session != 0 ? m.asked.session : m.question.session;
  if (session == 0) return;
  const std::string secret = shared.calls.session_secret ? shared.calls.session_secret() : "";
  SessionName named =
      name_session(secret, m.asked.tenant ? shared.tenants.at(*m.asked.tenant)->name : "", session);
  m.session = named.key;
  if (!secret.empty()) m.session_name = std::move(named.name);
}

void tell_session(Meeting& m, CallQuestion& question) {
  if (m.session_name.empty()) return;
  question.session = m.session_name;
  question.context_from = m.context_from;
}

void hear_context(Meeting& m) {
  if (m.session_name.empty() || m.context_from.empty()) return;
  const auto& header = m.call->parser->get()["X-Noroshi-Context"];
  m.context = header.empty() ? "computed; " + m.call->at->name + " moves no contexts"
                             : said(std::string(header.data(), header.size()));
  count(m.metrics(), m.context);
}

bool is_kept(const Meeting& m) {
  return m.choice.at->keeps_contexts && m.asked.session != 0 && !m.question.has_seed &&
         m.asked.endpoint != Endpoint::embeddings;
}

std::string body_with_seed(std::string_view body, std::uint32_t seed) {
  const std::size_t open = body.find('{');
  std::string with(body.substr(0, open + 1));
  with += "\"seed\":" + std::to_string(seed) + ",";
  return with.append(body.substr(open + 1));
}

// Never all ones, by which llama-server means a seed of its own.
std::uint32_t seed_of(const Meeting& m) {
  return static_cast<std::uint32_t>(hash_text(m.asked.id) & 0x7fffffff);
}

net::awaitable<void> fetch_context(Meeting& m) {
  const auto& fetch = m.client.shared.calls.fetch_context;
  if (!fetch || m.asked.context_from.empty() || !is_kept(m)) co_return;
  const PromptTimes times = m.client.shared.turns.times(m.choice.site);
  ContextWanted wanted;
  wanted.session = m.asked.session_name;
  wanted.from = m.asked.context_from;
  wanted.engine = m.choice.at;
  wanted.tokens = times.tokens(m.question.prompt_bytes);
  wanted.prompt_tokens_per_s = times.tokens_per_s(wanted.tokens);
  const double recomputing_s =
      wanted.prompt_tokens_per_s > 0 ? wanted.tokens / wanted.prompt_tokens_per_s : 0;
  if (recomputing_s < recomputing_s_min) {
    m.context = wanted.prompt_tokens_per_s > 0 ? "computed; it takes no time"
                                               : "computed; the engine's speed is not known yet";
  } else {
    const std::function<void(std::function<void(ContextFetched)>)> start =
        [&fetch, &wanted](std::function<void(ContextFetched)> tell) {
          fetch(std::move(wanted), std::move(tell));
        };
    const std::optional<ContextFetched> fetched =
        co_await wait_told<ContextFetched>(m.client, recomputing_s, start);
    if (!fetched) {
      m.context = "failed; it came too late";
    } else if (fetched->tokens > 0) {
      m.context =
          "moved; " + std::to_string(fetched->tokens) + " tokens from " + m.asked.context_from;
    } else {
      m.context = said((fetched->tried ? "failed; " : "computed; ") + fetched->why);
    }
  }
  count(m.metrics(), m.context);
}

void remember_turn(Meeting& m) {
  if (is_kept(m)) m.client.shared.turns.put(m.asked.session, {m.choice.at, seed_of(m)});
}

void learn_prompt_time(Meeting& m, const std::optional<PromptTime>& time, std::uint64_t tokens) {
  if (!time || !m.choice.at->keeps_contexts) return;
  m.client.shared.turns.learn(m.choice.site, m.question.prompt_bytes, tokens, time->tokens,
                              time->seconds);
}

}  // namespace noroshi::gateway
