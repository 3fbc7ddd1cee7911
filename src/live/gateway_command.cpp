#include "live/gateway_command.h"

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <optional>
#include <random>

#include "base/prometheus.h"
#include "fleet/doors.h"
#include "fleet/feed.h"
#include "fleet/keys.h"
#include "fleet/nats_bus.h"
#include "fleet/quotas.h"
#include "fleet/runner.h"
#include "fleet/standing.h"
#include "live/read_again.h"
#include "live/wait_signal.h"
#include "meter/keep.h"

namespace noroshi::live {
namespace {

int failure(const Error& error) {
  std::fprintf(stderr, "noroshi gateway: %s\n", error.message.c_str());
  return 1;
}

// From an answer to the fleet's stream of usage.
struct Metering {
  std::optional<meter::Spool> spool;
  std::optional<meter::Shipper> shipper;

  Result<void> start(const GatewayCommand& command, fleet::Bus& bus) {
    auto opened = meter::Spool::open({.directory = command.usage_folder});
    if (!opened) return opened.error();
    spool = *std::move(opened);
    auto shipping = meter::Shipper::start(*spool, bus, {.gateway = command.id});
    if (!shipping) return shipping.error();
    shipper = *std::move(shipping);
    return {};
  }
};

std::string metrics_of(const fleet::Feed& feed, const fleet::Doors& doors,
                       const fleet::Quotas* quotas, const gateway::Router& router,
                       const fleet::Bus& bus) {
  const fleet::FeedCounters heard = feed.counters();
  const fleet::DoorsCounters turns = doors.counters();
  const gateway::RouterCounters routed = router.counters();
  std::string out;
  const auto add = [&out](const char* name, const char* help, std::uint64_t value) {
    prometheus::one(out, name, help, value);
  };
  add("noroshi_fleet_connected", "1 while the bus is there.", bus.trouble().empty() ? 1 : 0);
  add("noroshi_fleet_sites", "Sites that are known.", routed.sites);
  add("noroshi_fleet_beats_total", "Heartbeats heard.", heard.beats);
  add("noroshi_fleet_digests_total", "Parts of other regions' digests heard.", heard.digests);
  add("noroshi_fleet_messages_refused_total", "Malformed, or refused by the router.",
      heard.refused);
  add("noroshi_fleet_duplicate_beats_total", "Of a second site with a name that is taken.",
      heard.duplicates);
  add("noroshi_fleet_sites_lost_total", "Sites that fell silent.", heard.lost);
  add("noroshi_fleet_plain_sites_refused_total", "Words of sites without TLS that are not asked.",
      heard.plain_sites);
  add("noroshi_fleet_session_secret_shared", "1 when sessions have the fleet's names.",
      turns.shares_secret ? 1 : 0);
  add("noroshi_fleet_turns_told_total", "Turns that other gateways were told.", turns.told);
  add("noroshi_fleet_turns_untold_total", "Turns that they could not be told.",
      turns.lost + routed.turns_untold);
  add("noroshi_fleet_turns_heard_total", "Turns of other gateways.", routed.turns_heard);
  add("noroshi_fleet_turns_nowhere_total", "Of them, at a site or model that is not known here.",
      routed.turns_nowhere);
  add("noroshi_fleet_turns_messages_refused_total", "Malformed messages of turns.", turns.refused);
  if (quotas == nullptr) return out;
  const fleet::QuotasCounters uses = quotas->counters();
  add("noroshi_fleet_quotas_doors", "Other gateways that told of tenants' use lately.", uses.doors);
  add("noroshi_fleet_quotas_told_total", "Messages of tenants' use sent.", uses.told);
  add("noroshi_fleet_quotas_untold_total", "Messages that could not be sent.", uses.lost);
  add("noroshi_fleet_quotas_heard_total", "Messages of other gateways.", uses.heard);
  add("noroshi_fleet_quotas_replayed_total", "Heard before, or overtaken.", uses.replayed);
  add("noroshi_fleet_quotas_messages_refused_total", "Malformed, or of too many gateways.",
      uses.refused);
  return out;
}

void warn(const std::string& what) {
  std::fprintf(stderr, "noroshi gateway: warning: %s\n", what.c_str());
}

// What the command line does not protect or keep.
void say_what_is_missing(const GatewayCommand& command, const std::string& exposure) {
  if (!exposure.empty()) warn(exposure);
  if (command.plain_sites) {
    warn(std::string("--plain-sites: who is on the way to a site without TLS reads prompts") +
         (command.site_key.empty() ? " and answers" : ", answers and --site-key") +
         "; keep that way within a private network or a tunnel");
  }
  if (command.usage_folder.empty()) warn("without --usage nothing that is answered is metered");
}

void say_ready(const std::string& url) {
  if (isatty(STDOUT_FILENO) != 0) {
    std::printf("The fleet answers at %s\n", url.c_str());
  } else {
    const boost::json::object line{{"event", "ready"}, {"url", url}};
    std::printf("%s\n", boost::json::serialize(line).c_str());
  }
  std::fflush(stdout);
}

// With its tenants and its certificate read.
Result<gateway::GatewayConfig> config_of(const GatewayCommand& command,
                                         std::random_device& chance) {
  gateway::GatewayConfig config = command.config;
  char instance[40];
  std::snprintf(instance, sizeof instance, "req-%08x%08x", chance(), chance());
  config.instance = instance;
  if (!command.tenants_path.empty()) {
    auto tenants = gateway::load_tenants(command.tenants_path);
    if (!tenants) return tenants.error();
    config.tenants = std::make_shared<gateway::Tenants>(*std::move(tenants));
  }
  if (!command.tls_certificate.empty()) {
    auto tls = gateway::TlsServer::from_files(command.tls_certificate, command.tls_key);
    if (!tls) return tls.error();
    config.tls = *std::move(tls);
  }
  return config;
}

// Reads files again and says what is new, until somebody ends it.
void watch(const sigset_t& signals, const FilesToRead& files, gateway::Gateway& gateway,
           const fleet::Feed& feed, fleet::Standing& standing) {
  bool plain_said = false;
  for (;;) {
    const Came came = wait_signal(signals, 1);
    if (came == Came::end || (came == Came::read_again && !files.any())) return;
    if (came == Came::read_again) {
      for (const std::string& news : files.read_again(gateway)) warn(news);
    }
    const std::string plain = plain_said ? "" : feed.counters().plain_site;
    if (!plain.empty()) warn(plain);
    plain_said = plain_said || !plain.empty();
    if (const std::string news = standing.news(); !news.empty()) warn(news);
  }
}

}  // namespace

int run_gateway(const GatewayCommand& command) {
  const sigset_t signals = block_end_signals();
  std::random_device chance;
  Result<gateway::GatewayConfig> config = config_of(command, chance);
  if (!config) return failure(config.error());

  fleet::NatsOptions options{.urls = command.nats, .name = "gateway-" + command.id};
  options.nkey_seed_path = command.key;
  options.ca_path = command.ca;
  options.domain = command.domain;
  options.role = "gateway";
  auto bus = fleet::connect_nats(std::move(options), 1);
  if (!bus) return failure(bus.error());

  MonotonicClock clock;
  gateway::Router router({.sessions_max = std::size_t{1} << 18,
                          .sessions_told_max = command.sessions,
                          .region = command.region},
                         chance());
  fleet::Feed feed(**bus, clock,
                   {.region = command.region,
                    .id = command.id,
                    .api_key = command.site_key,
                    .plain_sites = command.plain_sites,
                    .rtt_ms_own = command.rtt_ms_own,
                    .rtt_ms_other = command.rtt_ms_other},
                   fleet::sink_of(router));
  if (const auto started = feed.start(); !started) return failure(started.error());
  const std::uint64_t origin = std::uint64_t{chance()} << 32 | chance();
  fleet::DoorsConfig door{.id = command.id, .origin = origin};
  for (int i = 0; i < 8; ++i) door.secret += std::to_string(chance()) + ".";
  fleet::Doors doors(**bus, clock, std::move(door), fleet::doors_sink_of(router));
  if (const auto started = doors.start(); !started) return failure(started.error());
  // A gateway without tenants has no quotas, and never gets any (Gateway::reload_tenants).
  const std::shared_ptr<gateway::Tenants> tenants = config->tenants;
  std::optional<fleet::Quotas> quotas;
  if (tenants) {
    quotas.emplace(**bus, clock, fleet::QuotasConfig{.id = command.id, .origin = origin}, *tenants);
    if (const auto started = quotas->start(); !started) return failure(started.error());
  }
  const fleet::Runner listening("fleet", 0.025, [&] {
    feed.step();
    doors.step();
    if (quotas) quotas->step();
  });

  Metering metering;
  gateway::GatewayCalls calls;
  calls.session_secret = [&doors] { return doors.secret(); };
  calls.extra_metrics = [&] {
    std::string text = metrics_of(feed, doors, quotas ? &*quotas : nullptr, router, **bus);
    if (metering.shipper) text += meter::metrics_text(*metering.spool, *metering.shipper);
    return text;
  };
  if (!command.usage_folder.empty()) {
    if (const auto started = metering.start(command, **bus); !started) {
      return failure(started.error());
    }
    calls.store_usage = meter::keep_in(*metering.spool);
    calls.may_begin = [&metering] { return metering.spool->accepts(); };
  }
  const std::string exposure = gateway::exposure_of(*config);
  const FilesToRead files{.tenants = command.tenants_path, .tls = config->tls};
  auto gateway = gateway::Gateway::start(*std::move(config), router, std::move(calls));
  if (!gateway) return failure(gateway.error());
  say_what_is_missing(command, exposure);
  say_ready(gateway->url());
  fleet::Standing standing(
      **bus, command.key.empty() ? "--nats, and --nkey and --ca where the servers ask for keys "
                                   "and TLS"
                                 : "--nats, --nkey, --ca, --id and --region (a key is of one id "
                                   "and region)");
  watch(signals, files, *gateway, feed, standing);
  return 0;
}

}  // namespace noroshi::live
