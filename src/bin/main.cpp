// noroshi: one binary, a subcommand a job. Wiring only.

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/bench.h"
#include "base/every_target.h"
#include "bin/fleet_options.h"
#include "conformance/runner.h"
#include "engine/model_make.h"
#include "gateway/key_command.h"
#include "live/colocate.h"
#include "live/contexts/bench_handover.h"
#include "live/control.h"
#include "live/gateway_command.h"
#include "live/site_command.h"
#include "live/up_command.h"
#include "meter/meter_command.h"
#include "meter/usage_command.h"
#include "trial/bench_fleet.h"
#include "trial/role.h"

namespace {

using namespace noroshi;

void add_site(CLI::App& app, int& exit_code) {
  auto* site = app.add_subcommand("site", "run a 5G cell, its AI engine and its gateway");
  auto command = std::make_shared<live::SiteCommand>();
  auto pace = std::make_shared<std::string>("real");
  site->add_option("--config", command->config_path,
                   "the site's YAML file, such as configs/demo.yaml")
      ->required();
  site->add_option("--duration", command->duration_s, "seconds to run; 0: until Ctrl-C")
      ->check(CLI::Range(0.0, 1e9));
  site->add_option("--pace", *pace, "real: by the clock; free: as fast as possible, replayable")
      ->check(CLI::IsMember({"real", "free"}));
  site->add_option("--seed", command->seed, "of every random choice");
  site->add_option("--report", command->report_path, "write a JSON report of the whole run here");
  site->add_option("--model", command->model_path, "a GGUF file instead of the configured model");
  site->add_option("--ai-load", command->ai_load,
                   "requests that the site keeps in flight at its own gateway")
      ->check(CLI::Range(0, 1000));
  site->add_flag("--no-ai", command->no_ai, "the cell alone: no engine, no gateway");
  site->callback([command, pace, &exit_code] {
    command->free_pace = *pace == "free";
    exit_code = live::run_site(*command);
  });
}

void add_cell(CLI::App& app, int& exit_code) {
  auto* cell = app.add_subcommand("cell", "list, start or stop the cells of a running site");
  cell->require_subcommand(1);
  auto socket = std::make_shared<std::string>();
  auto name = std::make_shared<std::string>();
  cell->add_option("--site", *socket, "the site's control socket (site.control of its file)")
      ->required();
  cell->fallthrough();
  for (const char* verb : {"start", "stop"}) {
    auto* command = cell->add_subcommand(verb, std::string(verb) + " a cell");
    command->add_option("name", *name, "as the site's file calls it")->required();
    command->callback([=, &exit_code] {
      exit_code = live::run_cell_command(*socket, std::string("cell ") + verb + " " + *name);
    });
  }
  cell->add_subcommand("list", "the cells, as JSON")->callback([=, &exit_code] {
    exit_code = live::run_cell_command(*socket, "cell list");
  });
}

void add_conformance(CLI::App& app, int& exit_code) {
  auto* conformance =
      app.add_subcommand("conformance", "run conformance vectors against every kernel");
  auto options = std::make_shared<conformance::RunOptions>();
  conformance->add_option("directory", options->directory, "folders with cases.jsonl and cases.bin")
      ->required();
  conformance->add_flag("--json", options->json, "one JSON object instead of lines");
  conformance->callback(
      [options, &exit_code] { exit_code = conformance::run_conformance(*options); });
}

void add_bench(CLI::App& app, int& exit_code) {
  auto* bench = app.add_subcommand("bench", "measure a part of this binary on this machine");
  struct Arguments {
    std::string name;
    std::string target;
    BenchOptions options;
    bool json = false;
    bool list = false;
    live::ColocateOptions colocate;
    trial::BenchFleetOptions fleet;
    live::BenchHandoverOptions handover;
  };
  auto arguments = std::make_shared<Arguments>();
  bench->add_option("name", arguments->name, "one benchmark; all when left out");
  bench->add_option("--case", arguments->options.case_filter,
                    "only cases whose name contains this");
  const auto* seconds = bench->add_option("--seconds", arguments->options.seconds_per_case,
                                          "measured seconds a case (colocate: a run, 10)");
  bench->add_option("--target", arguments->target,
                    "the kernels' instruction set: avx3_dl, avx3, avx2, neon, scalar (default: the "
                    "best that is here)");
  bench->add_flag("--json", arguments->json, "one JSON array instead of a table");
  bench->add_flag("--list", arguments->list, "print the names and stop");
  bench->add_option("--policy", arguments->colocate.policies,
                    "colocate: off, static, os, lease (with commas; default all)");
  bench->add_option("--load", arguments->colocate.loads,
                    "colocate: low, diurnal, bursty, full (with commas; default all)");
  bench->add_flag_callback(
      "--one-engine", [arguments] { arguments->colocate.split = false; },
      "colocate: one engine for all processors instead of one a kind");
  bench->add_option("--rounds", arguments->colocate.rounds,
                    "colocate: of all policies in turn, with medians over them (1)");
  bench->add_option("--streams", arguments->colocate.streams,
                    "colocate: requests that keep the engines busy (32)");
  bench->add_option("--kill-engine", arguments->colocate.engine_kills,
                    "colocate: kill the engines so many times within each run");
  bench->add_option("--plot", arguments->colocate.plot_path,
                    "colocate: write one second of bursty load under the lease as SVG");
  bench->add_option("--fault", arguments->fleet.faults.cases,
                    "fleet: none, site, leader, region, slow, disk (with commas; default all)");
  bench->add_option("--trace", arguments->fleet.replay.trace_path,
                    "fleet: a trace to replay (Mooncake's JSON lines, Azure's CSV); none: made up");
  bench->add_option("--requests", arguments->fleet.replay.requests, "fleet: of the trace's start");
  bench->add_option("--speed", arguments->fleet.replay.speed, "fleet: trace seconds a second");
  bench->add_flag("--only-replay", arguments->fleet.only_replay, "fleet: the trace alone");
  bench->add_flag("--only-faults", arguments->fleet.only_faults, "fleet: the faults alone");
  bench->add_option("--model", arguments->colocate.model_path,
                    "colocate, handover: a GGUF file instead of a tiny load model");
  bench
      ->add_option("--tokens", arguments->handover.tokens,
                   "handover: lengths of a session's context (with commas; 500,2000,8000)")
      ->delimiter(',');
  bench->callback([arguments, seconds, &exit_code] {
    if (!arguments->target.empty()) {
      if (const auto chosen = use_target_named(arguments->target); !chosen) {
        std::fprintf(stderr, "noroshi bench --target: %s\n", chosen.error().message.c_str());
        exit_code = 1;
        return;
      }
    }
    if (arguments->name == "colocate") {
      arguments->colocate.json = arguments->json;
      if (seconds->count() > 0) arguments->colocate.seconds = arguments->options.seconds_per_case;
      exit_code = live::run_colocate(arguments->colocate);
      return;
    }
    if (arguments->name == "fleet") {
      arguments->fleet.json = arguments->json;
      exit_code = trial::run_bench_fleet(arguments->fleet);
      return;
    }
    if (arguments->name == "handover") {
      arguments->handover.json = arguments->json;
      arguments->handover.model_path = arguments->colocate.model_path;
      exit_code = live::run_bench_handover(arguments->handover);
      return;
    }
    if (arguments->list) {
      print_bench_names();
      std::printf("colocate\nfleet\nhandover\n");
    } else if (!run_benches(arguments->name, arguments->options, arguments->json)) {
      std::fprintf(stderr,
                   "noroshi bench: no benchmark '%s' with a case that contains '%s'; see noroshi "
                   "bench --list\n",
                   arguments->name.c_str(), arguments->options.case_filter.c_str());
      exit_code = 1;
    }
  });
}

void add_model(CLI::App& app, int& exit_code) {
  auto* model = app.add_subcommand("model", "make or check a GGUF model file");
  model->require_subcommand(1);
  struct Arguments {
    std::string preset = "tiny";
    std::string path;
    std::uint64_t seed = 1;
  };
  auto arguments = std::make_shared<Arguments>();
  const auto report = [&exit_code](const Result<void>& outcome) {
    if (outcome) return;
    std::fprintf(stderr, "noroshi model: %s\n", outcome.error().message.c_str());
    exit_code = 1;
  };

  auto* make = model->add_subcommand("make", "write a load model: random weights, speaks noise");
  make->add_option("--preset", arguments->preset,
                   "tiny (3 M parameters), small (190 M), medium (1 B)");
  make->add_option("--out", arguments->path, "the file to write")->required();
  make->add_option("--seed", arguments->seed, "of the weights");
  make->callback([arguments, report] {
    const auto shape = engine::model_preset(arguments->preset);
    if (!shape) return report(shape.error());
    report(engine::model_make(*shape, arguments->seed, arguments->path, [](double done) {
      std::fprintf(stderr, "\rwriting the model: %3.0f %%%s", 100 * done, done >= 1 ? "\n" : "");
    }));
  });

  auto* check = model->add_subcommand("check", "say whether a GGUF file is whole");
  check->add_option("file", arguments->path, "the GGUF file")->required();
  check->callback([arguments, report] { report(engine::model_check(arguments->path)); });
}

void add_key(CLI::App& gateway, int& exit_code) {
  auto* key = gateway.add_subcommand("key", "tenants' API keys");
  key->require_subcommand(1);
  auto* make = key->add_subcommand("new", "print a new key, once, and its hash");
  struct Arguments {
    std::string tenant;
    std::string tenants_path;
    bool json = false;
  };
  auto arguments = std::make_shared<Arguments>();
  make->add_option("tenant", arguments->tenant, "whose key it is")->required();
  make->add_option("--tenants", arguments->tenants_path, "the file in which the tenant must stand");
  make->add_flag("--json", arguments->json, "one JSON object");
  make->callback([arguments, &exit_code] {
    exit_code = gateway::run_key_new(arguments->tenant, arguments->tenants_path, arguments->json);
  });
}

void add_gateway(CLI::App& app, int& exit_code) {
  auto* gateway = app.add_subcommand("gateway", "the door to all sites of a fleet");
  gateway->require_subcommand(0, 1);
  add_key(*gateway, exit_code);
  auto command = std::make_shared<live::GatewayCommand>();
  command->config.probes_per_s = 5;
  gateway->add_option("--nats", command->nats, "nats:// or tls:// URLs of the fleet's servers");
  gateway->add_option("--nkey", command->key, "the file with the seed of our nkey");
  gateway->add_option("--ca", command->ca, "the certificate authority of the servers, for TLS");
  gateway->add_option("--domain", command->domain, "of JetStream, behind a leaf node: core");
  gateway->add_option("--id", command->id, "a word of this gateway's alone");
  gateway->add_option("--region", command->region, "where it stands");
  gateway->add_option("--listen", command->config.address,
                      "the address to listen on; beyond the loopback with keys");
  auto* certificate =
      gateway->add_option("--tls-certificate", command->tls_certificate,
                          "of this door, with those that sign it (PEM): it speaks HTTPS");
  auto* key = gateway->add_option("--tls-key", command->tls_key, "its key (PEM)");
  certificate->needs(key);
  key->needs(certificate);
  gateway->add_flag("--open", command->config.open,
                    "beyond the loopback without keys: whoever reaches it may ask");
  gateway->add_option("--port", command->config.port, "0: a free one, named at the start")
      ->check(CLI::Range(0, 65'535));
  gateway->add_option("--threads", command->config.threads, "that serve")->check(CLI::Range(1, 64));
  gateway->add_option("--tenants", command->tenants_path,
                      "a YAML file of tenants with keys, quotas (once over all gateways), "
                      "priorities, read again at SIGHUP (configs/tenants.yaml)");
  gateway->add_option("--site-key", command->site_key, "the API key that sites want to see");
  gateway->add_flag("--plain-sites", command->plain_sites,
                    "ask sites beyond the loopback that speak plain HTTP, too: the way is safe");
  gateway->add_option("--usage", command->usage_folder,
                      "a folder where usage records wait for noroshi meter; none: not metered");
  gateway
      ->add_option("--sessions", command->sessions,
                   "of other gateways, whose last turns are remembered, 32 bytes each; 0: none")
      ->check(CLI::Range(0, 1 << 28));
  gateway
      ->add_option("--rtt-own-ms", command->rtt_ms_own,
                   "round trip to sites of the own region, until connections have measured it")
      ->check(CLI::Range(0.0, 1e4));
  gateway->add_option("--rtt-other-ms", command->rtt_ms_other, "and to sites of other regions")
      ->check(CLI::Range(0.0, 1e4));
  gateway
      ->add_option("--probes-per-s", command->config.probes_per_s,
                   "connections made only to measure how far sites are; 0: never, and the round "
                   "trips above stay")
      ->check(CLI::Range(0.0, 1000.0));
  gateway->callback([gateway, command, &exit_code] {
    if (gateway->get_subcommands().empty()) exit_code = live::run_gateway(*command);
  });
}

void add_up(CLI::App& app, int& exit_code) {
  auto* up = app.add_subcommand("up", "a whole small fleet on this machine");
  auto command = std::make_shared<live::UpCommand>();
  up->add_option("--sites", command->sites, "how many, in two regions by turns")
      ->check(CLI::Range(1, 64));
  up->add_option("--folder", command->folder, "for configurations, logs and keys");
  up->add_option("--model", command->model_path, "a GGUF file instead of a tiny load model");
  up->add_option("--port", command->port, "of the gateway; 0: a free one")
      ->check(CLI::Range(0, 65'535));
  up->add_option(
        "--context-tokens", command->context_tokens,
        "of each site's engine, which four requests share: a prompt and its answer may have a "
        "quarter of them")
      ->check(CLI::Range(64, 10'000'000));
  up->add_flag_callback(
      "--no-cells", [command] { command->cells = false; }, "the sites' cells do not start");
  up->add_flag("--secure", command->secure, "TLS and keys between all");
  up->add_flag_callback(
      "--no-restart", [command] { command->restart = false; }, "what dies stays dead");
  up->add_option("--duration", command->duration_s, "seconds to run; 0: until Ctrl-C")
      ->check(CLI::Range(0.0, 1e9));
  up->callback([command, &exit_code] { exit_code = live::run_up(*command); });
}

void add_usage(CLI::App& app, int& exit_code) {
  auto* usage = app.add_subcommand("usage", "what was used, summed by tenant, model, site or day");
  auto command = std::make_shared<meter::UsageCommand>();
  usage->add_option("--db", command->db, "a SQLite file (usage.db) or a postgresql:// URL");
  usage->add_option("--by", command->by, "tenant, model, site or day (UTC)");
  usage->add_option("--from", command->from, "2026-11-25 or 2026-11-25T13:00:00Z");
  usage->add_option("--to", command->to, "exclusive");
  usage->add_flag("--aside", command->aside, "list what could not be counted, and why");
  usage->add_flag("--json", command->json, "one JSON object");
  usage->add_flag("--csv", command->csv, "comma-separated values with a head line");
  usage->callback([command, &exit_code] { exit_code = meter::run_usage(*command); });
}

void add_meter(CLI::App& app, int& exit_code) {
  auto* meter = app.add_subcommand("meter", "store the fleet's usage records in a database");
  auto command = std::make_shared<meter::MeterCommand>();
  meter->add_option("--nats", command->nats_urls, "nats:// or tls:// URLs of the fleet's servers")
      ->required();
  meter->add_option("--nkey", command->nkey_seed_path, "the file with the seed of our nkey");
  meter->add_option("--ca", command->ca_path, "the certificate authority of the servers, for TLS");
  meter->add_option("--domain", command->domain, "of JetStream, behind a leaf node: core");
  meter->add_option("--db", command->config.store, "a SQLite file (usage.db) or postgresql:// URL");
  meter
      ->add_option("--replicas", command->config.stream.replicas,
                   "NATS servers that keep the usage stream")
      ->check(CLI::Range(1, 5));
  meter->add_option("--duration", command->duration_s, "seconds to run; 0: until Ctrl-C")
      ->check(CLI::Range(0.0, 1e9));
  meter->callback([command, &exit_code] { exit_code = meter::run_meter(*command); });
}

// One process of `noroshi bench fleet`: not for people, so the help does not show it.
void add_trial(CLI::App& app, int& exit_code) {
  auto* trial = app.add_subcommand("trial", "a process of `noroshi bench fleet`")->group("");
  auto role = std::make_shared<trial::RoleCommand>();
  trial->add_option("role", role->role)->required();
  trial->add_option("--name", role->name);
  trial->add_option("--region", role->region);
  trial->add_option("--host", role->host);
  trial->add_option("--port", role->tcp_port);
  trial->add_option("--nats", role->nats_urls);
  trial->add_option("--spool", role->spool);
  trial->add_option("--places", role->stub.places);
  trial->add_option("--prompt-rate", role->stub.prompt_tokens_per_s);
  trial->add_option("--token-rate", role->stub.tokens_per_s);
  trial->callback([role, &exit_code] {
    role->stub.address = role->host;
    role->stub.tcp_port = role->tcp_port;
    exit_code = trial::run_role(*role);
  });
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Noroshi: a 5G cell and an AI server on the same processors"};
  app.require_subcommand(1);
  app.option_defaults()->always_capture_default();  // so that help shows them
  app.set_version_flag("--version", NOROSHI_VERSION);
  int exit_code = 0;
  add_site(app, exit_code);
  add_cell(app, exit_code);
  add_conformance(app, exit_code);
  add_bench(app, exit_code);
  add_model(app, exit_code);
  add_meter(app, exit_code);
  add_gateway(app, exit_code);
  add_fleet(app, exit_code);
  add_up(app, exit_code);
  add_usage(app, exit_code);
  add_trial(app, exit_code);
  app.add_subcommand("version", "print the version")->callback([] {
    std::printf("noroshi %s\n", NOROSHI_VERSION);
  });
  CLI11_PARSE(app, argc, argv);
  return exit_code;
}
