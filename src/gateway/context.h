#pragma once

// A session's context follows it to another site. Inside the gateway room only.
//
// The fleet's gateway gives each session a name that nobody can guess, for it is also the right to
// the session's context, and tells a site with each turn: X-Noroshi-Session. When the router has
// moved the session, it says whence: X-Noroshi-Context-From: REGION/SITE. Gateways that share their
// secret give a session the same name, whichever of them it comes through.
//
// The site's gateway gives each turn of a session a seed (handover/handover.h), and remembers where
// it went. Told whence a session comes, it has its context fetched (GatewayCalls::fetch_context)
// before it asks the engine, if that is cheaper than computing it, and says what was done:
//
//   X-Noroshi-Context: moved; 1804 tokens from east/site1
//   X-Noroshi-Context: computed; moving takes 0.31 s, computing 0.12 s
//   X-Noroshi-Context: failed; WHY
//
// which the fleet's gateway passes on to the client. Whatever fails, the engine computes.

#include "gateway/meeting.h"

namespace noroshi::gateway {

// What a tenant's session is called. Neither half says anything of the other, of the tenant or of
// what the client calls it; two tenants' sessions of one name have nothing in common.
struct SessionName {
  std::string name = {};  // 128 bits, in hexadecimal: for sites
  std::uint64_t key = 0;  // never 0: for the router, and among gateways (fleet/doors.h)
};
SessionName name_session(const std::string& secret, std::string_view tenant, std::uint64_t session);

// Before the question's first choice of a site. Sets m.session and, where sites are told, its name.
void name_session(Meeting& m);

// At the fleet's gateway: what the chosen site is told, and what it says of it.
void tell_session(Meeting& m, CallQuestion& question);
void hear_context(Meeting& m);

// At a site's gateway: whether the chosen engine keeps contexts that can be found again.
bool is_kept(const Meeting& m);
// The body with a seed in it. Precondition: is_kept().
std::string body_with_seed(std::string_view body, std::uint32_t seed);
std::uint32_t seed_of(const Meeting& m);
// Brings the context to the chosen engine where that pays. Sets m.context.
net::awaitable<void> fetch_context(Meeting& m);
// The engine answers.
void remember_turn(Meeting& m);
void learn_prompt_time(Meeting& m, const std::optional<PromptTime>& time, std::uint64_t tokens);

}  // namespace noroshi::gateway
