#include "live/up_command.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/process.h"
#include "engine/http_get.h"
#include "engine/model_make.h"
#include "engine/process.h"
#include "fleet/folder.h"
#include "fleet/nats_server.h"
#include "live/wait_signal.h"

namespace noroshi::live {
namespace {

namespace fs = std::filesystem;

constexpr double look_s = 0.2;
constexpr double stop_grace_s = 8;
constexpr double restart_rest_s = 1;
constexpr double start_s = 10;        // what ends by itself before that has not started
constexpr int failed_starts_max = 5;  // in a row

int failure(const Error& error) {
  std::fprintf(stderr, "noroshi up: %s\n", error.message.c_str());
  return 1;
}

struct Part {
  std::string name;
  std::vector<std::string> arguments;
  std::optional<engine::OutputLog> log;
  pid_t pid = 0;
  double died_s = 0;
  double started_s = 0;
  int failed_starts = 0;  // in a row
};

// The folder is ours until the file is closed: two fleets in one would write over each other's
// configurations and share a server's files.
class FolderLock {
 public:
  static Result<FolderLock> take(const std::string& folder) {
    const std::string path = folder + "/up.lock";
    FolderLock lock;
    lock.fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock.fd_ < 0) return Error{path + ": cannot be made: " + std::strerror(errno)};
    if (flock(lock.fd_, LOCK_EX | LOCK_NB) == 0) return lock;
    if (errno != EWOULDBLOCK) return Error{path + ": cannot be locked: " + std::strerror(errno)};
    return Error{"--folder " + folder +
                 ": another noroshi up runs in it; end that one, or give this one a folder of its "
                 "own"};
  }
  FolderLock(FolderLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock() {
    if (fd_ >= 0) close(fd_);
  }

 private:
  FolderLock() = default;
  int fd_ = -1;
};

std::string region_of(int site) { return site % 2 == 0 ? "east" : "west"; }

struct Plan {
  const UpCommand& command;
  std::string folder = {};  // absolute
  std::string model_path = {};
  int nats_port = 0;
  int gateway_port = 0;
  std::string url = {};
  std::string model = "tiny";
};

// JSON is YAML, and what stands between quotes is quoted right.
std::string site_yaml(const Plan& plan, int site, const std::string& key, const std::string& ca) {
  namespace json = boost::json;
  const std::string name = "site" + std::to_string(site + 1);
  const long processors = std::max(1L, sysconf(_SC_NPROCESSORS_ONLN));
  json::object cell{{"name", "cell" + std::to_string(site + 1)},
                    {"bandwidth_mhz", 5},
                    {"subcarrier_spacing_khz", 15},
                    {"physical_cell_id", site + 1},
                    {"receive_antennas", 1}};
  cell["traffic"] = {{"downlink", {{"kind", "poisson"}, {"mbps", 0.5}}},
                     {"uplink", {{"kind", "poisson"}, {"mbps", 0.2}}}};
  if (!plan.command.cells) cell["start"] = false;
  cell["handsets"] = json::array{{{"profile", "awgn"}, {"snr_db", 25}}};
  json::object ai;
  ai["engine"] = {{"model_path", plan.model_path},
                  {"model_name", plan.model},
                  {"context_tokens", plan.command.context_tokens},
                  {"threads", 1},
                  {"split", false}};
  ai["gateway"] = {{"port", 0}, {"tls", plan.command.secure ? "on" : "auto"}};
  json::object fleet{{"urls", json::array{plan.url}},
                     {"region", region_of(site)},
                     {"prefecture", region_of(site)},
                     {"models_folder", plan.folder + "/" + name + "-models"},
                     {"key", key},
                     {"ca", ca}};
  return json::serialize(json::object{{"site", {{"name", name}}},
                                      {"cell", std::move(cell)},
                                      {"radio",
                                       {{"processors", json::array{site % processors}},
                                        {"air_processors", json::array{(site + 1) % processors}},
                                        {"air", "light"}}},
                                      {"ai", std::move(ai)},
                                      {"fleet", std::move(fleet)}});
}

Result<void> make_model(Plan& plan) {
  if (!plan.command.model_path.empty()) {
    plan.model_path = fs::absolute(plan.command.model_path).string();
    plan.model = fs::path(plan.model_path).stem().string();
    return engine::model_check(plan.model_path);
  }
  plan.model_path = plan.folder + "/tiny.gguf";
  if (engine::model_check(plan.model_path)) return {};
  const auto shape = engine::model_preset("tiny");
  if (!shape) return shape.error();
  return engine::model_make(*shape, 1, plan.model_path, [](double) {});
}

Result<void> add_part(std::vector<Part>& parts, const Plan& plan, const std::string& name,
                      std::vector<std::string> arguments) {
  Part part{.name = name, .arguments = std::move(arguments), .log = {}};
  auto log = engine::OutputLog::open(plan.folder + "/" + name + ".log");
  if (!log) return log.error();
  part.log.emplace(*std::move(log));
  parts.push_back(std::move(part));
  return {};
}

Result<std::vector<Part>> make_parts(const Plan& plan) {
  std::error_code error;
  const std::string self = fs::read_symlink("/proc/self/exe", error).string();
  if (error) return Error{"/proc/self/exe: " + error.message()};
  std::string ca;
  const auto key_of = [&](const char* role, const std::string& name,
                          const std::string& region) -> Result<std::string> {
    if (!plan.command.secure) return std::string();
    ca = plan.folder + "/keys/ca.pem";
    return fleet::add_user(plan.folder, role, name, region);
  };
  std::vector<Part> parts;
  std::vector<std::string> control = {self,        "fleet",  "--folder",
                                      plan.folder, "--port", std::to_string(plan.nats_port)};
  if (plan.command.secure) control.emplace_back("--secure");
  if (const auto added = add_part(parts, plan, "fleet", control); !added) return added.error();
  for (int site = 0; site < plan.command.sites; ++site) {
    const std::string name = "site" + std::to_string(site + 1);
    const auto key = key_of("site", name, region_of(site));
    if (!key) return key.error();
    const std::string config = plan.folder + "/" + name + ".yaml";
    std::ofstream file(config, std::ios::trunc);
    file << site_yaml(plan, site, *key, ca) << "\n";
    file.close();
    if (!file) return Error{config + ": cannot be written"};
    if (const auto added = add_part(parts, plan, name, {self, "site", "--config", config});
        !added) {
      return added.error();
    }
  }
  const auto key = key_of("gateway", "gateway", "east");
  if (!key) return key.error();
  std::vector<std::string> gateway = {self,       "gateway",
                                      "--nats",   plan.url,
                                      "--region", "east",
                                      "--port",   std::to_string(plan.gateway_port),
                                      "--usage",  plan.folder + "/usage"};
  if (!key->empty()) gateway.insert(gateway.end(), {"--nkey", *key, "--ca", ca});
  if (const auto added = add_part(parts, plan, "gateway", gateway); !added) return added.error();
  const auto meter_key = key_of("meter", "meter", "");
  if (!meter_key) return meter_key.error();
  std::vector<std::string> meter = {self,     "meter", "--nats",
                                    plan.url, "--db",  plan.folder + "/usage.db"};
  if (!meter_key->empty()) meter.insert(meter.end(), {"--nkey", *meter_key, "--ca", ca});
  if (const auto added = add_part(parts, plan, "meter", meter); !added) return added.error();
  return parts;
}

Result<void> start_part(Part& part) {
  engine::SpawnOptions options;
  options.arguments = part.arguments;
  options.output_fd = part.log->fd();
  const Result<pid_t> pid = engine::spawn(options);
  if (!pid) return pid.error();
  part.pid = *pid;
  return {};
}

// "site1 exited with status 1: what it said last".
std::string last_words(const Part& part, const engine::ExitStatus& status) {
  const std::string tail = part.log->tail();
  const std::string line = tail.substr(tail.rfind('\n') + 1);
  const bool was_killed = status.text.starts_with("was killed");
  return part.name + " " + status.text + (was_killed || line.empty() ? "" : ": " + line);
}

// Starts what is not running, where its rest is over. Errors: a part that ends each time it is
// started; what somebody kills is none.
Result<void> look_after(std::vector<Part>& parts, const Plan& plan, double now_s) {
  const bool restart = plan.command.restart;
  for (Part& part : parts) {
    if (part.pid > 0 && has_ended(part.pid)) {
      const engine::ExitStatus status = engine::reap(part.pid);
      part.pid = 0;
      part.died_s = now_s;
      const std::string words = last_words(part, status);
      std::fprintf(stderr, "noroshi up: %s; %s\n", words.c_str(),
                   restart ? "it is started again" : "it stays dead");
      const bool has_failed = now_s - part.started_s < start_s &&
                              !status.text.starts_with("was killed by signal 9 ") &&
                              !status.text.starts_with("was killed by signal 15 ");
      part.failed_starts = has_failed ? part.failed_starts + 1 : 0;
      if (restart && part.failed_starts == failed_starts_max) {
        return Error{part.name + " ended " + std::to_string(failed_starts_max) +
                     " times in a row right after its start: " + words + "; its log is " +
                     plan.folder + "/" + part.name + ".log"};
      }
    }
    if (part.pid == 0 && restart && now_s - part.died_s > restart_rest_s) {
      part.died_s = part.started_s = now_s;
      if (const auto started = start_part(part); !started) {
        if (++part.failed_starts == failed_starts_max) return started.error();
        failure(started.error());
      }
    }
    part.log->limit();
  }
  return {};
}

// The gateway first, so that nobody is let in who could not be answered.
void stop_all(std::vector<Part>& parts) {
  std::ranges::reverse(parts);
  for (const Part& part : parts) {
    if (part.pid > 0) kill(part.pid, SIGTERM);
  }
  MonotonicClock clock;
  const std::int64_t until_ns = clock.now_ns() + static_cast<std::int64_t>(stop_grace_s * 1e9);
  for (Part& part : parts) {
    if (part.pid <= 0) continue;
    while (!has_ended(part.pid) && clock.now_ns() < until_ns) {
      clock.sleep_until_ns(clock.now_ns() + 20'000'000);
    }
    engine::reap(part.pid);
  }
}

// Whether the gateway offers the model.
bool answers(const Plan& plan) {
  const engine::HttpAnswer models =
      engine::http_get({"127.0.0.1", plan.gateway_port}, "/v1/models", "", 1, -1);
  const engine::HttpAnswer health =
      engine::http_get({"127.0.0.1", plan.gateway_port}, "/health", "", 1, -1);
  return health.status == 200 && models.body.find("\"" + plan.model + "\"") != std::string::npos;
}

void say_ready(const Plan& plan, const std::vector<Part>& parts) {
  const std::string url = "http://127.0.0.1:" + std::to_string(plan.gateway_port);
  if (isatty(STDOUT_FILENO) == 0) {
    boost::json::object pids;
    for (const Part& part : parts) pids[part.name] = part.pid;
    std::printf("%s\n", boost::json::serialize(boost::json::object{{"event", "ready"},
                                                                   {"url", url},
                                                                   {"model", plan.model},
                                                                   {"folder", plan.folder},
                                                                   {"pids", std::move(pids)}})
                            .c_str());
  } else {
    std::printf(
        "%d sites in two regions, one service:\n\n"
        "  curl %s/v1/chat/completions -H 'content-type: application/json' \\\n"
        "    -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": "
        "\"hello\"}], \"max_tokens\": 16}'\n\n"
        "  noroshi fleet sites --folder %s\n\n"
        "Kill any of them (logs are in the folder; Ctrl-C ends all):\n",
        plan.command.sites, url.c_str(), plan.model.c_str(), plan.command.folder.c_str());
    for (const Part& part : parts) std::printf("  %-8s pid %d\n", part.name.c_str(), part.pid);
  }
  std::fflush(stdout);
}

}  // namespace

int run_up(const UpCommand& command) {
  const sigset_t signals = block_end_signals();
  std::error_code error;
  fs::create_directories(command.folder, error);
  if (error) return failure({command.folder + ": cannot be made: " + error.message()});
  const auto lock = FolderLock::take(command.folder);
  if (!lock) return failure(lock.error());
  Plan plan{.command = command, .folder = fs::absolute(command.folder).string()};
  if (const auto made = make_model(plan); !made) return failure(made.error());
  plan.nats_port = free_tcp_port();
  plan.gateway_port = command.port > 0 ? command.port : free_tcp_port();
  plan.url =
      (command.secure ? "tls://127.0.0.1:" : "nats://127.0.0.1:") + std::to_string(plan.nats_port);
  Result<std::vector<Part>> parts = make_parts(plan);
  if (!parts) return failure(parts.error());

  MonotonicClock clock;
  const std::int64_t started_ns = clock.now_ns();
  const auto elapsed_s = [&] { return static_cast<double>(clock.now_ns() - started_ns) / 1e9; };
  for (Part& part : *parts) {
    if (const auto started = start_part(part); !started) {
      stop_all(*parts);
      return failure(started.error());
    }
  }
  bool announced = false;
  while (!wait_end_signal(signals, look_s)) {
    if (const auto well = look_after(*parts, plan, elapsed_s()); !well) {
      stop_all(*parts);
      return failure(well.error());
    }
    if (!announced && answers(plan)) {
      announced = true;
      say_ready(plan, *parts);
    }
    if (command.duration_s > 0 && elapsed_s() > command.duration_s) break;
  }
  stop_all(*parts);
  return announced ? 0 : 1;
}

}  // namespace noroshi::live
