// What the state of a fleet costs: bytes a site in the control plane and in a gateway's feed, and
// the handling of one second's news, at 100, 10^4 and 10^5 sites in 47 regions.

#include <malloc.h>

#include <cassert>
#include <chrono>
#include <optional>

#include "base/bench.h"
#include "base/prng.h"
#include "fleet/digest.h"
#include "fleet/feed.h"
#include "fleet/membership.h"
#include "fleet/memory_bus.h"
#include "fleet/planner.h"

namespace {

using namespace noroshi;
using namespace noroshi::fleet;

constexpr std::uint64_t regions = 47;
constexpr int sizes[] = {100, 10'000, 100'000};

SiteReport report_of(int i, Prng& prng) {
  SiteReport report;
  gateway::SiteState& site = report.site;
  site.name = "site" + std::to_string(i);
  site.region = "region" + std::to_string(static_cast<std::uint64_t>(i) % regions);
  site.instance = prng();
  site.host = "10." + std::to_string(i >> 16) + "." + std::to_string((i >> 8) & 255) + "." +
              std::to_string(i & 255);
  site.tcp_port = 8080;
  site.ready = true;
  for (const char* name : {"model-a", "model-b"}) {
    site.models.push_back({.name = name,
                           .content_hash = std::string(64, name[6]),
                           .places = 4,
                           .requests_in_flight = static_cast<int>(prng.below(5)),
                           .prompt_tokens_per_s = 1000,
                           .tokens_per_s = 30,
                           .service_s_mean = 2,
                           .cache_tokens = 32'768});
  }
  report.sequence = 1;
  return report;
}

double heap_bytes() { return static_cast<double>(mallinfo2().uordblks); }

void bench_size(Bench& bench, int sites) {
  const std::string at = " at " + std::to_string(sites) + " sites";
  const std::string names[] = {
      "control bytes a site" + at,          "feed bytes a site" + at,
      "digests of a second to a feed" + at, "digests made" + at,
      "beats of a second heard" + at,       "silent sites looked for" + at,
      "placement of 3 models" + at,         "digests of a second to a router" + at};
  bool wanted = false;
  for (const std::string& name : names) wanted |= bench.wants(name);
  if (!wanted) return;

  Prng prng(1);
  std::vector<SiteReport> reports;
  for (int i = 0; i < sites; ++i) reports.push_back(report_of(i, prng));

  const double before_control = heap_bytes();
  Membership membership;
  for (const SiteReport& report : reports) membership.hear(report, 0);
  bench.values(names[0], "B", {(heap_bytes() - before_control) / sites}, 0);

  std::vector<std::vector<DigestSite>> by_region(regions);
  for (int i = 0; i < sites; ++i) {
    by_region[static_cast<std::uint64_t>(i) % regions].push_back(
        {reports[static_cast<std::size_t>(i)].site, 0});
  }
  std::uint64_t sequence = std::uint64_t{1} << 21;  // four bytes long, for as long as we run
  const auto make = [&] {
    std::vector<Message> out;
    ++sequence;
    for (std::uint64_t r = 0; r < regions; ++r) {
      const std::string region = "region" + std::to_string(r);
      for (std::string& bytes : digest_messages(region, 1, sequence, by_region[r])) {
        out.push_back({digest_subject(region), "", std::move(bytes)});
      }
    }
    return out;
  };
  bench.time_us(names[3], [&] {
    std::uint64_t hash = 0;
    for (const Message& message : make()) hash += message.data.size();
    return hash;
  });

  MemoryNetwork network;
  ManualClock clock;
  const auto bus = network.join("gw");
  std::uint64_t updates = 0;
  const double before_feed = heap_bytes();
  std::optional<Feed> feed;
  feed.emplace(*bus, clock, FeedConfig{.region = "elsewhere", .id = "gw", .plain_sites = true},
               FeedSink{.update =
                            [&](const gateway::SiteState&) {
                              ++updates;
                              return Result<void>();
                            },
                        .lost = [](const std::string&) {},
                        .allow = [](const std::string&, std::vector<std::string>) {}});
  if (!feed->start()) return;
  // The same second again and again, but for its sequence: making it is not what is measured.
  std::vector<Message> second = make();
  const auto hear = [&] {
    ++sequence;
    for (Message& message : second) {
      std::size_t byte = 4 + 1 + message.subject.size() - digest_subject("").size() + 8;
      for (std::uint64_t left = sequence; left > 0; left >>= 7) {
        message.data[byte++] = static_cast<char>((left & 0x7f) | (left >= 0x80 ? 0x80 : 0));
      }
      network.send(message);
    }
    network.deliver();
    return updates;
  };
  hear();
  bench.values(names[1], "B", {(heap_bytes() - before_feed) / sites}, 0);
  bench.time_us(names[2], [&] {
    const std::uint64_t before = updates;
    hear();
    return updates - before;
  });

  gateway::Router router;
  const auto bus_of_router = network.join("gw2");
  Feed to_router(*bus_of_router, clock, {.region = "elsewhere", .id = "gw2", .plain_sites = true},
                 sink_of(router));
  if (bench.wants(names[7])) {
    feed.reset();
    if (!to_router.start()) return;
    bench.time_us(names[7], [&] {
      clock.advance_ns(1'000'000'000);
      const std::uint64_t before = to_router.counters().digests;
      hear();
      return to_router.counters().digests - before;
    });
  }

  // Five beats a second of each site of one region, as its control plane and its gateways hear
  // them.
  std::vector<std::pair<std::string, std::string>> beats;
  for (int i = 0; i < sites; i += static_cast<int>(regions)) {
    const gateway::SiteState& site = reports[static_cast<std::size_t>(i)].site;
    beats.emplace_back(beat_subject(site.region, site.name),
                       report_text(reports[static_cast<std::size_t>(i)]));
  }
  std::uint64_t beat = 1;
  bench.time_us(names[4], [&] {
    std::uint64_t heard = 0;
    for (int round = 0; round < 5; ++round) {
      ++beat;
      for (const auto& [subject, text] : beats) {
        Result<SiteReport> report = parse_report(subject, text);
        if (!report) return std::uint64_t{0};
        report->sequence = beat;
        heard += membership.hear(*std::move(report), 1) == Heard::updated ? 1 : 0;
      }
    }
    return heard;
  });
  BusPulse pulse;
  pulse.came_back(0);
  bench.time_us(names[5], [&] { return membership.expire(pulse).size(); });

  std::vector<PlacementSite> places;
  for (int i = 0; i < sites; ++i) {
    const gateway::SiteState& site = reports[static_cast<std::size_t>(i)].site;
    PlacementSite place{.name = site.name, .region = site.region, .prefecture = site.region};
    place.memory_bytes = 100;
    place.processors_left = static_cast<double>(prng.below(64));
    for (const char* name : {"a", "b", "c"}) place.files.push_back({name, "x", 40});
    places.push_back(std::move(place));
  }
  std::vector<ModelSpec> specs;
  for (const char* name : {"a", "b", "c"}) {
    specs.push_back({.name = name,
                     .content_hash = "x",
                     .memory_bytes = 40,
                     .copies_min = std::max(1, sites / 4)});
  }
  bench.time_us(names[6], [&] { return place(specs, places, {}).sites.size(); });
}

// How long a plan keeps everybody else waiting at most: a piece of what is known, gathered.
void bench_locks(Bench& bench, int sites) {
  const std::string name = "plan's longest lock at " + std::to_string(sites) + " sites";
  if (!bench.wants(name)) return;
  Prng prng(2);
  Planner planner;
  for (int i = 0; i < sites; ++i) {
    const SiteReport report = report_of(i, prng);
    SiteFacts facts{
        .name = report.site.name, .region = report.site.region, .instance = 1, .processors = 4};
    for (const char* model : {"a", "b", "c"}) {
      facts.files.push_back({model, std::string(64, 'a'), 40});
    }
    const std::uint64_t revision = static_cast<std::uint64_t>(i) + 1;
    const std::string bucket = region_bucket(facts.region);
    const DesiredSite desired{.term = 1, .models = facts.files};
    const bool known =
        planner.learn(bucket, {"facts." + facts.name, facts_text(facts), revision}) &&
        planner.learn(bucket, {"desired." + facts.name, desired_text(desired), revision});
    assert(known);
    planner.membership().hear(report, 0);
  }
  std::vector<double> longest_us;
  std::size_t gathered = 0;
  for (int round = 0; round < 5; ++round) {
    PlanInput input;
    double longest = 0;
    for (bool all = false; !all;) {
      const auto from = std::chrono::steady_clock::now();
      all = planner.gather(input, sites_a_lock);
      const std::chrono::duration<double, std::micro> took =
          std::chrono::steady_clock::now() - from;
      longest = std::max(longest, took.count());
    }
    longest_us.push_back(longest);
    gathered = input.sites.size();
  }
  bench.values(name, "us", longest_us, gathered);
}

}  // namespace

NOROSHI_BENCH(fleet_state) {
  for (const int sites : sizes) {
    bench_size(bench, sites);
    bench_locks(bench, sites);
  }
}
