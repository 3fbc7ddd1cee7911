// What a decision costs, what it needs in memory, and what news of a site costs.
//
// Floor of a decision among 50 000 copies: their bounds are 782 x 3 floats, 9.4 KB, some 590 loads
// of 16 floats at two a cycle, 0.1 us; the blocks that must be opened, 64 x 3 floats each, 0.02 us
// apiece from the second-level cache. Looking at every copy would read 600 KB, 5 us at 48 bytes a
// cycle from there and 60 us from memory. A prompt of 4 KB adds 8 hashes and about 4 x 3 looks at
// buckets of two cache lines, each up to 0.1 us from memory.

#include <atomic>
#include <chrono>
#include <thread>

#include "base/bench.h"
#include "base/prng.h"
#include "gateway/route/prefix.h"
#include "gateway/route/route.h"

namespace {

using namespace noroshi;
using namespace noroshi::gateway;

SiteState site_numbered(std::size_t number, Prng& prng) {
  SiteState state;
  state.name = "tokyo-chiyoda-" + std::to_string(number);
  state.instance = 1;
  state.region = "tokyo";
  state.host = "10." + std::to_string(number >> 16) + "." + std::to_string(number >> 8 & 255) +
               "." + std::to_string(number & 255);
  state.tcp_port = 8080;
  state.ready = true;
  state.rtt_ms = 0.5 + 30 * prng.uniform();
  state.lease_share = 0.3 + 0.7 * prng.uniform();
  state.lease_share_forecast = 0.3 + 0.7 * prng.uniform();
  state.models = {{.name = "m",
                   .content_hash = "aa",
                   .places = 8,
                   .requests_in_flight = static_cast<int>(prng.below(10)),
                   .prompt_tokens_per_s = 400 + 1000 * prng.uniform(),
                   .tokens_per_s = 10 + 30 * prng.uniform(),
                   .service_s_mean = 1 + prng.uniform(),
                   .cache_tokens = 32'768}};
  return state;
}

struct Fleet {
  Router router;
  std::vector<SiteState> sites;
  std::vector<std::vector<std::uint64_t>> prompts;
  Prng prng{1};
  std::int64_t now_ns = 1'000'000'000;
  std::uint64_t hash = 0;

  explicit Fleet(std::size_t count, const RouterConfig& config = {}) : router(config) {
    for (std::size_t i = 0; i < count; ++i) {
      sites.push_back(site_numbered(i, prng));
      if (!router.update(sites.back())) return;
    }
    for (int i = 0; i < 5000; ++i) {
      PrefixHasher hasher("m");
      hasher.add(std::string(2048, static_cast<char>('a' + i % 7)) + std::to_string(i) +
                 std::string(2048, 'x'));
      prompts.push_back({hasher.blocks().begin(), hasher.blocks().end()});
    }
  }
  std::uint64_t decide() {
    now_ns += 100'000;
    const Ask ask{.model = "m",
                  .prefix_blocks = prompts[prng.below(prompts.size())],
                  .session = 1 + prng.below(20'000),
                  .prompt_tokens = 1000,
                  .completion_tokens = 200};
    const Choice choice = router.choose(ask, now_ns);
    router.finished(choice, {Fate::answered, choice.predicted_s, 200}, now_ns);
    return choice.copy;
  }
};

// A door of a fleet with a million sessions. Floor of hearing a turn: two buckets of 256 bytes in a
// table of 32 MiB that no cache holds, some 0.2 us; of telling one, a look at the copy that it is
// at.
void turns(Bench& bench) {
  constexpr std::size_t count = 8192;
  const std::string hear = "hear a message of " + std::to_string(count) + " turns";
  const std::string tell = "tell " + std::to_string(count) + " turns of ours";
  const std::string decide = "decide beside 10^5 told turns a second, 10000 sites";
  if (!bench.wants(hear) && !bench.wants(tell) && !bench.wants(decide)) return;
  const RouterConfig config{.sessions_max = 1 << 18, .sessions_told_max = 1 << 20};
  Fleet fleet(bench.smoke() ? 500 : 10'000, config);
  const auto message = [&] {
    ToldTurns told;
    for (int i = 0; i < 500; ++i) {
      told.places.push_back(
          {fleet.sites[fleet.prng.below(fleet.sites.size())].name, model_mark("m", "aa")});
    }
    for (std::size_t i = 0; i < count; ++i) {
      told.turns.push_back({1 + fleet.prng.below(1 << 20) * 0x9e3779b97f4a7c15,
                            static_cast<std::uint32_t>(fleet.prng.below(500)), 1000,
                            ++fleet.now_ns});
    }
    return told;
  };
  std::vector<ToldTurns> told;
  for (int i = 0; i < 64; ++i) told.push_back(message());
  std::size_t next = 0;
  bench.time_us(hear, [&] {
    ToldTurns& one = told[next++ % told.size()];
    fleet.now_ns += 1'000'000;
    for (auto& turn : one.turns) turn.at_ns = fleet.now_ns;
    fleet.router.hear(one);
    return fleet.router.counters().turns_nowhere;
  });
  if (bench.wants(tell)) {
    std::vector<double> took_us;
    std::uint64_t all = 0;
    for (int round = 0; round < (bench.smoke() ? 1 : 20); ++round) {
      for (std::size_t i = 0; i < count; ++i) fleet.hash ^= fleet.decide();
      const auto from = std::chrono::steady_clock::now();
      all += fleet.router.new_turns().turns.size();
      took_us.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - from)
              .count());
    }
    bench.values(tell, "us", std::move(took_us), all);
  }
  if (bench.wants(decide)) {
    std::vector<double> took_us;
    std::atomic<bool> done{false};
    std::thread others([&, at_ns = fleet.now_ns << 1]() mutable {
      for (std::size_t i = 0; !done; ++i) {
        const auto due = std::chrono::steady_clock::now() + std::chrono::milliseconds(82);
        for (auto& turn : told[i % told.size()].turns) turn.at_ns = ++at_ns;
        fleet.router.hear(told[i % told.size()]);
        std::this_thread::sleep_until(due);
      }
    });
    for (int i = 0; i < (bench.smoke() ? 10 : 200'000); ++i) {
      const auto from = std::chrono::steady_clock::now();
      fleet.hash ^= fleet.decide();
      took_us.push_back(
          std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - from)
              .count());
    }
    done = true;
    others.join();
    bench.values(decide, "us", std::move(took_us), fleet.hash);
  }
}

}  // namespace

NOROSHI_BENCH(route) {
  for (const std::size_t count : {100u, 10'000u, 50'000u, 100'000u}) {
    const std::string sites = std::to_string(count) + " sites";
    const std::string decide = "decide, " + sites;
    const std::string herd = "decide after 1000 reports, " + sites;
    const std::string update = "news of a site, " + sites;
    const std::string memory = "memory a site, " + sites;
    if (!bench.wants(decide) && !bench.wants(herd) && !bench.wants(update) && !bench.wants(memory))
      continue;
    const std::size_t empty = Router().memory_bytes();
    Fleet fleet(bench.smoke() ? std::min<std::size_t>(count, 2000) : count);
    bench.values(memory, "byte",
                 {static_cast<double>(fleet.router.memory_bytes() - empty) /
                  static_cast<double>(fleet.sites.size())});
    bench.time_us(decide, [&] { return fleet.decide(); });
    bench.time_us(update, [&] {
      SiteState& site = fleet.sites[fleet.prng.below(fleet.sites.size())];
      site.received_at_ns = fleet.now_ns;
      site.models[0].requests_in_flight = static_cast<int>(fleet.prng.below(10));
      site.lease_share_forecast = 0.3 + 0.7 * fleet.prng.uniform();
      return static_cast<std::uint64_t>(fleet.router.update(site).ok());
    });
    // A thousand reports come between two decisions: no cache line is where it was.
    if (bench.wants(herd)) {
      std::vector<double> took_us;
      for (int i = 0; i < (bench.smoke() ? 1 : 500); ++i) {
        for (int k = 0; k < 1000; ++k) {
          SiteState& site = fleet.sites[fleet.prng.below(fleet.sites.size())];
          site.received_at_ns = fleet.now_ns;
          site.lease_share = 0.3 + 0.7 * fleet.prng.uniform();
          if (!fleet.router.update(site)) return;
        }
        const auto from = std::chrono::steady_clock::now();
        fleet.hash ^= fleet.decide();
        took_us.push_back(
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - from)
                .count());
      }
      bench.values(herd, "us", std::move(took_us), fleet.hash);
    }
  }
  turns(bench);
  const std::string prompt(1 << 20, 'x');
  bench.time_us("hash a prompt of 1 MiB", [&] {
    PrefixHasher one("m");
    one.add(prompt);
    return one.blocks().back();
  });
}
