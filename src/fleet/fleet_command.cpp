#include "fleet/fleet_command.h"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>

#include "base/loopback.h"
#include "fleet/control.h"
#include "fleet/doors.h"
#include "fleet/keys.h"
#include "fleet/runner.h"
#include "fleet/status.h"
#include "fleet/turns_kept.h"

namespace noroshi::fleet {
namespace {

constexpr double connect_wait_s = 10;

int failure(const Error& error, int code) {
  std::fprintf(stderr, "noroshi fleet: %s\n", error.message.c_str());
  return code;
}

std::int64_t wall_clock_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Who asks, for the audit log.
std::string person() {
  const passwd* user = getpwuid(getuid());
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  return std::string(user != nullptr ? user->pw_name : "?") + "@" + host;
}

// A mistyped folder would become one with a key that opens nothing.
Result<void> is_fleet(const std::string& folder) {
  const Result<FleetAccess> access = read_access(folder);
  if (!access) return access.error();
  if (!access->ca.empty()) return {};
  return Error{folder +
               ": the fleet there has no keys: its server listens to this machine only "
               "(--secure or --listen of `noroshi fleet` gives it keys)"};
}

// One line, as the control plane's own; written whole, beside those that it writes meanwhile.
Result<void> tell_audit(const FleetKeys& keys, const std::string& what,
                        const std::string& outcome) {
  const std::string path = keys.folder + "/audit.jsonl";
  const boost::json::object line{{"time_ns", wall_clock_ns()},
                                 {"what", what + " " + keys.role + " " + keys.name +
                                              (keys.region.empty() ? "" : " of " + keys.region)},
                                 {"by", person()},
                                 {"outcome", outcome}};
  std::ofstream audit(path, std::ios::app);
  audit << boost::json::serialize(line) + "\n" << std::flush;
  if (!audit) return Error{path + ": cannot be written"};
  return {};
}

int key_failure(const Error& error) {
  std::fprintf(stderr, "noroshi fleet keys: %s\n", error.message.c_str());
  return 1;
}

// The server that we own, and how we reach it.
struct Owned {
  std::optional<NatsServer> server;
  NatsOptions options;
};

// JetStream's, that our server's clients must name.
std::string domain_of(const FleetServe& o) { return o.core.empty() ? "" : core_domain; }

Result<void> make_keys(const FleetServe& o, NatsServerConfig& config, NatsOptions& options,
                       FleetAccess& access) {
  std::vector<std::string> hosts = o.hosts;
  for (const char* host : {"localhost", "127.0.0.1"}) hosts.emplace_back(host);
  if (o.listen != "0.0.0.0" && o.listen != "::" && !is_loopback(o.listen)) {
    hosts.push_back(o.listen);
  }
  const auto tls = make_certificates(o.folder + "/keys", hosts);
  if (!tls) return tls.error();
  const auto control = add_user(o.folder, "control", o.id, "");
  if (!control) return control.error();
  const auto admin = add_user(o.folder, "admin", "admin", "");
  if (!admin) return admin.error();
  const auto users = read_users(o.folder);
  if (!users) return users.error();
  config.certificate_path = tls->certificate;
  config.key_path = tls->key;
  config.ca_path = tls->ca;
  config.users = nats_users(*users, domain_of(o));
  config.leaves = nats_leaves(*users);
  options.ca_path = tls->ca;
  options.nkey_seed_path = *control;
  access.ca = tls->ca;
  access.admin_key = *admin;
  return {};
}

Result<void> start_server(const FleetServe& o, Owned& owned) {
  FleetAccess access;
  NatsServerConfig config;
  // The server reads its files from its own working directory.
  std::error_code error;
  const std::string folder = std::filesystem::absolute(o.folder, error).string();
  config.folder = folder + "/nats";
  config.name = o.id;
  config.address = o.listen;
  config.tcp_port = o.tcp_port;
  // What must be kept is kept in the core alone: a region that is cut off goes on with what it
  // knows, and what it has to tell waits in its spools.
  config.leaf_tcp_port = o.leaf_tcp_port;
  if (o.leaf_tcp_port > 0) config.domain = core_domain;
  if (!o.core.empty()) {
    config.jetstream = false;
    Result<LeafLogin> login = LeafLogin{};
    if (!o.core_key.empty()) login = leaf_login(o.core_key);
    if (!login) return login.error();
    config.remotes = {
        {.url = o.core, .user = login->user, .password = login->password, .ca_path = o.core_ca}};
    owned.options.domain = domain_of(o);
  }
  FleetServe absolute = o;
  absolute.folder = folder;
  if (o.secure || !is_loopback(o.listen)) {
    if (const auto made = make_keys(absolute, config, owned.options, access); !made) return made;
  }
  Result<NatsServer> server = NatsServer::start(std::move(config), connect_wait_s);
  if (!server) return server.error();
  owned.server.emplace(*std::move(server));
  access.url = owned.server->status().url;
  owned.options.urls = {access.url};
  return write_access(folder, access);
}

// Lets in who was listed since, and cuts off who no longer is.
class UsersWatch {
 public:
  UsersWatch(std::string folder, std::string domain, NatsServer& server)
      : path_(folder + "/users.json"),
        folder_(std::move(folder)),
        domain_(std::move(domain)),
        server_(server) {
    changed();
  }
  void look() {
    if (!changed()) return;
    const auto users = read_users(folder_);
    const Result<void> set =
        users ? server_.set_users(nats_users(*users, domain_), nats_leaves(*users))
              : Result<void>(users.error());
    if (!set) failure(set.error(), 0);
  }

 private:
  bool changed() {
    std::error_code error;
    const auto now = std::filesystem::last_write_time(path_, error);
    return !error && std::exchange(seen_, now) != now;
  }
  std::string path_;
  std::string folder_;
  std::string domain_;
  NatsServer& server_;
  std::filesystem::file_time_type seen_;
};

// A region's server that finds no way into its core says so once, and once when it has; the region
// goes on meanwhile.
class CoreWatch {
 public:
  CoreWatch(std::string core, const NatsServer& server) : core_(std::move(core)), server_(server) {}
  void look() {
    const std::string fault = server_.status().leaf_error;
    if (fault == said_) return;
    said_ = fault;
    std::fprintf(stderr, "noroshi fleet: core %s: %s\n", core_.c_str(),
                 fault.empty()
                     ? "connected"
                     : (fault + "; the region goes on by itself, and tries again").c_str());
  }

 private:
  std::string core_;
  std::string said_;
  const NatsServer& server_;
};

void say_ready(const FleetServe& o, const Owned& owned) {
  const boost::json::object line{{"event", "ready"},
                                 {"nats", owned.options.urls.front()},
                                 {"secure", !owned.options.ca_path.empty()},
                                 {"folder", o.folder}};
  if (isatty(STDOUT_FILENO) == 0) {
    std::printf("%s\n", boost::json::serialize(line).c_str());
  } else {
    std::printf(
        "Fleet's control plane at %s%s. Sites join with `fleet:` in their YAML.\n"
        "  noroshi fleet sites --folder %s\n",
        owned.options.urls.front().c_str(),
        owned.options.ca_path.empty() ? ", this machine only" : ", with TLS and keys",
        o.folder.c_str());
  }
  std::fflush(stdout);
}

}  // namespace

int serve_fleet(const FleetServe& o) {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals, signal);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  Owned owned;
  if (o.nats.empty()) {
    if (const auto started = start_server(o, owned); !started) return failure(started.error(), 1);
  } else {
    owned.options.urls = o.nats;
    owned.options.nkey_seed_path = o.key;
    owned.options.ca_path = o.ca;
  }
  owned.options.name = "control-" + o.id;
  owned.options.role = "control";
  auto bus = connect_nats(owned.options, connect_wait_s);
  if (!bus) return failure(bus.error(), 1);

  std::error_code ignored;
  std::filesystem::create_directories(o.folder, ignored);
  std::ofstream audit(o.folder + "/audit.jsonl", std::ios::app);
  if (!audit) return failure({o.folder + "/audit.jsonl: cannot be written"}, 1);
  MonotonicClock clock;
  ControlConfig config{.id = o.id,
                       .instance = std::random_device()() | 1ULL << 32,
                       .regions = o.regions,
                       .replicas = o.replicas};
  config.audit = [&audit](const std::string& line) { audit << line << "\n" << std::flush; };
  config.wall_clock_ns = wall_clock_ns;
  config.new_session_secret = new_session_secret;
  Control control(**bus, clock, config);
  if (const auto started = control.start(); !started) return failure(started.error(), 1);
  // What gateways tell each other, for one that was restarted.
  TurnsKept turns(o.sessions);
  Doors doors(**bus, clock, {.id = o.id, .origin = std::random_device()() | 1ULL << 33},
              doors_sink_of(turns));
  if (const auto started = doors.start(); !started) return failure(started.error(), 1);
  std::optional<UsersWatch> users;
  if (owned.server && !owned.options.ca_path.empty())
    users.emplace(o.folder, domain_of(o), *owned.server);
  std::optional<CoreWatch> core;
  if (owned.server && !o.core.empty()) core.emplace(o.core, *owned.server);
  {
    const Runner fast("fleet", 0.025, [&] {
      control.step();
      doors.step();
    });
    const Runner plan("fleet-plan", 0.05, [&] { control.step_plan(); });
    const Runner slow("fleet-slow", 0.05, [&] {
      control.step_slow();
      if (users) users->look();
      if (core) core->look();
    });
    say_ready(o, owned);
    int number = 0;
    sigwait(&signals, &number);
  }
  return 0;
}

Result<std::unique_ptr<Bus>> connect_admin(const FleetAsk& ask) {
  FleetAccess access{.url = ask.nats, .ca = ask.ca, .admin_key = ask.key};
  if (ask.nats.empty()) {
    const Result<FleetAccess> read = read_access(ask.folder);
    if (!read) return Error{read.error().message + ", or name a server (--nats)"};
    access = *read;
  }
  NatsOptions options{.urls = {access.url}, .name = "admin-" + std::to_string(getpid())};
  options.ca_path = access.ca;
  options.nkey_seed_path = access.admin_key;
  options.role = "admin";
  auto bus = connect_nats(std::move(options), ask.timeout_s);
  if (bus && !(*bus)->connected()) {
    const bool wants_ca = access.url.starts_with("tls://") && access.ca.empty();
    return Error{"no NATS server answers at " + access.url + " (" + (*bus)->trouble() + "): " +
                 (wants_ca
                      ? "TLS needs --ca, the servers' certificate authority (keys/ca.pem in the "
                        "control plane's folder)"
                      : "is `noroshi fleet` or `noroshi up` running?")};
  }
  return bus;
}

int show_fleet(const FleetAsk& ask, const std::string& kind) {
  auto bus = connect_admin(ask);
  if (!bus) return failure(bus.error(), 1);
  const Result<std::string> status =
      whole_status(ask.json ? "" : kind, [&](const std::string& page) -> Result<std::string> {
        auto answer = (*bus)->request(status_subject, page, ask.timeout_s);
        if (!answer) return Error{answer.error().message + ": no control plane is there"};
        return answer;
      });
  if (!status) return failure(status.error(), 1);
  if (ask.json) {
    std::printf("%s\n", status->c_str());
    return 0;
  }
  const Result<std::string> table = status_table(kind, *status);
  if (!table) return failure(table.error(), 1);
  std::fputs(table->c_str(), stdout);
  return 0;
}

int command_fleet(const FleetAsk& ask, Command command) {
  command.by = person();
  auto bus = connect_admin(ask);
  if (!bus) return failure(bus.error(), 1);
  const Result<std::string> reply =
      (*bus)->request(command_subject, command_text(command), ask.timeout_s);
  if (!reply) return failure({reply.error().message + ": no leader answers"}, 1);
  const Result<CommandAnswer> answer = parse_answer(*reply);
  if (!answer) return failure(answer.error(), 1);
  if (ask.json) {
    std::printf("%s\n", reply->c_str());
  } else {
    std::fprintf(answer->ok ? stdout : stderr, "%s%s\n",
                 answer->ok ? "" : "noroshi fleet: ", answer->message.c_str());
  }
  return answer->ok ? 0 : 1;
}

int add_key(const FleetKeys& keys) {
  if (const auto there = is_fleet(keys.folder); !there) return key_failure(there.error());
  const auto path = add_user(keys.folder, keys.role, keys.name, keys.region);
  const auto told = tell_audit(keys, "keys add", path ? "done" : path.error().message);
  if (!path) return key_failure(path.error());
  std::printf("%s\n", path->c_str());
  return told ? 0 : key_failure(told.error());
}

int remove_key(const FleetKeys& keys) {
  if (const auto there = is_fleet(keys.folder); !there) return key_failure(there.error());
  const auto aside = remove_user(keys.folder, keys.role, keys.name);
  const std::string what = !aside           ? aside.error().message
                           : aside->empty() ? "done; its seed was not here"
                                            : "done; its seed is set aside as " + *aside;
  const auto told = tell_audit(keys, "keys remove", what);
  if (!aside) return key_failure(aside.error());
  std::printf("%s\n", what.c_str());
  if (keys.role == "gateway") {
    std::fprintf(stderr,
                 "noroshi fleet keys: whoever had it knows what sessions are called; if it was "
                 "stolen, renew that too: noroshi fleet renew\n");
  }
  return told ? 0 : key_failure(told.error());
}

int list_keys(const FleetKeys& keys) {
  if (const auto there = is_fleet(keys.folder); !there) return key_failure(there.error());
  const auto users = read_users(keys.folder);
  if (!users) return key_failure(users.error());
  std::vector<std::vector<std::string>> rows = {{"ROLE", "NAME", "REGION", "PUBLIC KEY"}};
  boost::json::array list;
  for (const FleetUser& user : *users) {
    rows.push_back(
        {user.role, user.name, user.region.empty() ? "-" : user.region, user.public_key});
    list.push_back({{"role", user.role},
                    {"name", user.name},
                    {"region", user.region},
                    {"public_key", user.public_key}});
  }
  const boost::json::object document{{"v", 1}, {"users", std::move(list)}};
  std::fputs(
      keys.json ? (boost::json::serialize(document) + "\n").c_str() : text_table(rows).c_str(),
      stdout);
  return 0;
}

}  // namespace noroshi::fleet
