#include "bin/fleet_options.h"

#include "fleet/fleet_command.h"

namespace noroshi {
namespace {

void add_ask_options(CLI::App& command, fleet::FleetAsk& ask) {
  command.add_option("--folder", ask.folder, "of the control plane: says where it is");
  command.add_option("--nats", ask.nats, "the URL of a server instead");
  command.add_option("--nkey", ask.key, "the file with the seed of an admin's nkey");
  command.add_option("--ca", ask.ca, "the certificate authority of the servers, for TLS");
  command.add_flag("--json", ask.json, "JSON instead of a table");
}

void add_fleet_commands(CLI::App& app, int& exit_code) {
  auto ask = std::make_shared<fleet::FleetAsk>();
  auto command = std::make_shared<fleet::Command>();
  for (const auto& [kind, what] : {std::pair{"status", "who leads, and counters"},
                                   {"sites", "every site and how it is"},
                                   {"models", "every model that the fleet places"}}) {
    auto* show = app.add_subcommand(kind, what);
    add_ask_options(*show, *ask);
    show->callback(
        [ask, name = std::string(kind), &exit_code] { exit_code = fleet::show_fleet(*ask, name); });
  }
  using fleet::CommandKind;
  for (const auto& [kind, what] :
       {std::pair{CommandKind::drain, "let a site finish what it has and take nothing new"},
        {CommandKind::undrain, "let it take requests again"},
        {CommandKind::forget, "a lost site that will not come back"}}) {
    auto* of_site = app.add_subcommand(fleet::name_of(kind), what);
    add_ask_options(*of_site, *ask);
    of_site->add_option("site", command->site, "its name")->required();
    of_site->callback([ask, command, k = kind, &exit_code] {
      command->kind = k;
      exit_code = fleet::command_fleet(*ask, *command);
    });
  }
  auto* place = app.add_subcommand(
      "place", "run a model on sites that have its file; another content rolls out site by site");
  add_ask_options(*place, *ask);
  fleet::ModelWish& model = command->model;
  place->add_option("model", model.name, "as the sites' files are named")->required();
  place->add_option("--hash", model.content_hash, "SHA-256 of the file, where sites' files differ");
  place->add_option("--copies", model.copies_min, "at least, each on another site");
  place->add_option("--copies-max", model.copies_max, "at most, however large the demand");
  place->add_option("--requests-per-copy", model.requests_per_copy,
                    "in flight, above which another copy is wanted");
  place->add_option("--memory-bytes", model.memory_bytes, "of a copy; 0: as the sites say");
  place->add_option("--region", model.regions, "only there; any: wherever");
  place->add_option("--prefecture", model.prefectures, "only there; any: wherever");
  place->add_option("--label", model.labels, "only on sites that have all of these; any: on all");
  place->add_flag("--force", model.force, "also where no known site is so: for ones to come");
  place->footer("What is not named stays as it is when the model is placed already.");
  place->callback([ask, command, &exit_code] {
    command->kind = CommandKind::place;
    exit_code = fleet::command_fleet(*ask, *command);
  });
  auto* remove = app.add_subcommand("remove", "a model: sites run what they are configured to run");
  add_ask_options(*remove, *ask);
  remove->add_option("model", model.name, "its name")->required();
  remove->callback([ask, command, &exit_code] {
    command->kind = CommandKind::remove;
    exit_code = fleet::command_fleet(*ask, *command);
  });
}

void add_fleet_renew(CLI::App& app, int& exit_code) {
  auto ask = std::make_shared<fleet::FleetAsk>();
  auto* renew = app.add_subcommand(
      "renew", "the gateways' secret under which sessions are named: each session begins anew");
  add_ask_options(*renew, *ask);
  renew->footer("After a gateway's key was stolen and removed (noroshi fleet keys remove).");
  renew->callback([ask, &exit_code] {
    exit_code = fleet::command_fleet(*ask, {.kind = fleet::CommandKind::renew});
  });
}

void add_fleet_keys(CLI::App& app, int& exit_code) {
  auto* keys = app.add_subcommand("keys", "who may connect");
  keys->require_subcommand(1);
  auto arguments = std::make_shared<fleet::FleetKeys>();
  const auto folder = [arguments](CLI::App& command) {
    command.add_option("--folder", arguments->folder, "of the control plane");
  };
  const auto options = [arguments, folder](CLI::App& command) {
    command.add_option("role", arguments->role, "site, gateway, meter, admin, control or leaf")
        ->required();
    command.add_option("name", arguments->name, "a word, of that role alone")->required();
    folder(command);
  };
  auto* add = keys->add_subcommand("add", "make a key and list it; prints the seed's file");
  options(*add);
  add->add_option("--region", arguments->region, "of a site or a gateway");
  add->callback([arguments, &exit_code] { exit_code = fleet::add_key(*arguments); });
  auto* remove = keys->add_subcommand("remove", "cut a key off");
  options(*remove);
  remove->callback([arguments, &exit_code] { exit_code = fleet::remove_key(*arguments); });
  auto* list = keys->add_subcommand("list", "every key");
  folder(*list);
  list->add_flag("--json", arguments->json, "JSON instead of a table");
  list->callback([arguments, &exit_code] { exit_code = fleet::list_keys(*arguments); });
}

}  // namespace

void add_fleet(CLI::App& app, int& exit_code) {
  auto* fleet = app.add_subcommand("fleet", "the control plane of many sites; asking it");
  fleet->require_subcommand(0, 1);
  auto serve = std::make_shared<fleet::FleetServe>();
  fleet->add_option("--folder", serve->folder, "for its keys, logs and the server's files");
  fleet->add_option("--nats", serve->nats, "servers that are there; none: one is started");
  fleet->add_option("--nkey", serve->key, "the file with the seed of our nkey there");
  fleet->add_option("--ca", serve->ca, "the certificate authority of the servers there");
  fleet->add_option("--listen", serve->listen,
                    "the address of the server that is started; not the loopback: TLS and keys");
  fleet->add_option("--port", serve->tcp_port, "its port; 0: a free one")
      ->check(CLI::Range(0, 65'535));
  fleet->add_option("--host", serve->hosts, "names under which it is reached, for its certificate");
  fleet->add_flag("--secure", serve->secure, "TLS and keys on the loopback too");
  fleet
      ->add_option("--sessions", serve->sessions,
                   "whose last turn is kept for a gateway that is restarted, 32 bytes each")
      ->check(CLI::Range(1, 1 << 28));
  fleet
      ->add_option("--leaf-port", serve->leaf_tcp_port,
                   "where the servers of regions connect as leaf nodes")
      ->check(CLI::Range(1, 65'535));
  fleet->add_option("--core", serve->core, "the server that is started is a leaf node of this URL");
  fleet->add_option("--core-nkey", serve->core_key, "the leaf's nkey there");
  fleet->add_option("--core-ca", serve->core_ca, "the certificate authority there");
  fleet->add_option("--id", serve->id, "a word of this process's alone; several may run");
  fleet->add_option("--region", serve->regions, "only these; none: every one that is heard");
  fleet->add_option("--replicas", serve->replicas, "servers that keep each bucket")
      ->check(CLI::Range(1, 5));
  add_fleet_commands(*fleet, exit_code);
  add_fleet_keys(*fleet, exit_code);
  add_fleet_renew(*fleet, exit_code);
  fleet->callback([fleet, serve, &exit_code] {
    if (fleet->get_subcommands().empty()) exit_code = fleet::serve_fleet(*serve);
  });
}

}  // namespace noroshi
