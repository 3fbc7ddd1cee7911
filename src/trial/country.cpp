#include "trial/country.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>

#include "base/clock.h"
#include "fleet/nats_bus.h"
#include "meter/ship.h"
#include "meter/store/store.h"

namespace noroshi::trial {
namespace {

constexpr int nats_tcp_port = 4222;
constexpr int nats_cluster_tcp_port = 6222;
constexpr int first_site_tcp_port = 9001;
constexpr double up_timeout_s = 30;
constexpr std::int64_t look_ns = 50'000'000;

const char* region_name(int region) {
  return region == east ? "east" : region == west ? "west" : "south";
}

// All servers, the own region's first.
std::vector<std::string> nats_urls(int region) {
  std::vector<std::string> urls;
  for (int i = 0; i < 3; ++i) {
    urls.push_back("nats://" + Wire::address((region + i) % 3) + ":" +
                   std::to_string(nats_tcp_port));
  }
  return urls;
}

// Plain text between them: the namespaces are nobody else's.
std::string nats_text(int number, const std::string& folder) {
  std::string text =
      "server_name: nats-" + std::to_string(number) + "\nlisten: " + Wire::address(number) + ":" +
      std::to_string(nats_tcp_port) + "\njetstream { store_dir: \"" + folder + "/nats-" +
      std::to_string(number) +
      "\", max_memory_store: 256M, max_file_store: 4G }\ncluster { name: trial, listen: " +
      Wire::address(number) + ":" + std::to_string(nats_cluster_tcp_port) + ", routes: [";
  for (int i = 0; i < 3; ++i) {
    if (i == number) continue;
    text +=
        "\"nats-route://" + Wire::address(i) + ":" + std::to_string(nats_cluster_tcp_port) + "\"\n";
  }
  return text + "] }\n";
}

std::string nats_program() {
  for (const char* path :
       {"/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server"}) {
    if (std::filesystem::exists(path)) return path;
  }
  return {};
}

// One HTTP exchange on the calling thread, whose region it is; the status, 0 when there was none.
int http_status(const std::string& host, int tcp_port, const std::string& request) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval limit{2, 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_port = htons(static_cast<std::uint16_t>(tcp_port));
  at.sin_addr.s_addr =
      htonl(0x0a4d0000u + static_cast<std::uint32_t>(std::stoi(host.substr(host.rfind('.') + 1))));
  int status = 0;
  char answer[64] = {};
  if (connect(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
      send(fd, request.data(), request.size(), MSG_NOSIGNAL) > 0 &&
      recv(fd, answer, sizeof answer - 1, 0) > 12) {
    status = std::atoi(answer + 9);
  }
  close(fd);
  return status;
}

// Looks every 50 ms until it holds; false after the time.
template <class Condition>
bool wait_for(double timeout_s, Condition condition) {
  MonotonicClock clock;
  const std::int64_t until_ns = clock.now_ns() + static_cast<std::int64_t>(timeout_s * 1e9);
  while (!condition()) {
    if (clock.now_ns() > until_ns) return false;
    clock.sleep_until_ns(clock.now_ns() + look_ns);
  }
  return true;
}

}  // namespace

void Country::add_nats(int number) {
  const std::string path = config_.folder + "/nats-" + std::to_string(number) + ".conf";
  std::ofstream(path) << nats_text(number, config_.folder);
  processes_["nats-" + std::to_string(number)] = {number, {nats_program(), "-c", path}};
}

void Country::add_role(int region, RoleCommand command) {
  command.region = region_name(region);
  command.host = Wire::address(region);
  command.nats_urls = nats_urls(region);
  processes_[command.name] = {region, arguments_of(command)};
}

Result<void> Country::start(const std::string& name) {
  Process& process = processes_.at(name);
  engine::SpawnOptions options;
  options.arguments = process.arguments;
  options.output_fd = log_->fd();
  Result<pid_t> pid = Error{"not started"};
  // From the region's thread, which lives as long as the wire: its children do, too.
  wire_->in(process.region, [&] { pid = engine::spawn(options); });
  if (!pid) return Error{name + ": " + pid.error().message};
  process.pid = *pid;
  return {};
}

void Country::kill_now(const std::string& name) {
  Process& process = processes_.at(name);
  if (process.pid == 0) return;
  kill(-process.pid, SIGKILL);
  static_cast<void>(engine::reap(process.pid));
  process.pid = 0;
}

Country::~Country() {
  bus_.reset();
  for (auto& [name, process] : processes_) kill_now(name);
}

Result<std::unique_ptr<Country>> Country::make(CountryConfig config) {
  auto country = std::unique_ptr<Country>(new Country(std::move(config)));
  if (auto made = country->make_all(); !made) return made.error();
  return country;
}

Result<void> Country::make_all() {
  if (nats_program().empty()) return Error{"no nats-server here: install the package nats-server"};
  auto wire = Wire::make({{0, 5, 15}, {5, 0, 15}, {15, 15, 0}});
  if (!wire) return wire.error();
  wire_ = std::make_unique<Wire>(*std::move(wire));
  auto log = engine::OutputLog::open(config_.folder + "/log");
  if (!log) return log.error();
  log_ = std::make_unique<engine::OutputLog>(*std::move(log));

  for (int i = 0; i < 3; ++i) add_nats(i);
  for (const int region : {east, west}) {
    const std::string letter(1, region == east ? 'e' : 'w');
    const std::string name = region_name(region);
    add_role(region, {.role = "control", .name = "control-" + name});
    for (int i = 0; i < 2; ++i) {
      add_role(region, {.role = "site",
                        .name = letter + std::to_string(i + 1),
                        .tcp_port = first_site_tcp_port + i,
                        .stub = config_.stub});
    }
    add_role(region, {.role = "gateway",
                      .name = "gw-" + name,
                      .tcp_port = gateway_tcp_port,
                      .spool = spool_path("gw-" + name)});
  }
  processes_["meter"] = {south,
                         {"/proc/self/exe", "meter", "--db", store_path(), "--replicas", "3"}};
  for (const std::string& url : nats_urls(south)) {
    processes_["meter"].arguments.insert(processes_["meter"].arguments.end(), {"--nats", url});
  }

  for (int i = 0; i < 3; ++i) {
    if (auto started = start("nats-" + std::to_string(i)); !started) return started;
  }
  if (auto ready = wait_stream(); !ready) return ready;
  for (const auto& [name, process] : processes_) {
    if (process.pid != 0) continue;
    if (auto started = start(name); !started) return started;
  }
  return wait_sites();
}

// The cluster has chosen its leaders when the stream with three copies can be made.
Result<void> Country::wait_stream() {
  Result<std::unique_ptr<fleet::Bus>> bus = Error{""};
  wire_->in(south, [&] {
    bus = fleet::connect_nats({.urls = nats_urls(south), .name = "trial"}, up_timeout_s);
  });
  if (!bus) return bus.error();
  bus_ = *std::move(bus);
  std::string why;
  const bool made = wait_for(up_timeout_s, [&] {
    const auto done = meter::ensure_usage_stream(*bus_, {.replicas = 3}, 5);
    if (!done) why = done.error().message;
    return done.ok();
  });
  if (!made) return Error{"the NATS cluster did not come up: " + why + "; " + log_->tail()};
  return {};
}

Result<void> Country::wait_sites() {
  for (const int region : {east, west}) {
    const bool up = wait_for(up_timeout_s, [&] {
      int status = 0;
      wire_->in(region, [&] {
        status = http_status(Wire::address(region), gateway_tcp_port,
                             "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      });
      return status == 200;
    });
    if (!up)
      return Error{std::string("the gateway in the ") + region_name(region) +
                   " did not come up: " + log_->tail()};
  }
  // Every gateway has heard of every site after a digest's second and some.
  MonotonicClock clock;
  clock.sleep_until_ns(clock.now_ns() + 2'500'000'000);
  return {};
}

Result<void> Country::set_slow(const std::string& site, double factor) {
  const Process& process = processes_.at(site);
  const std::string body = std::to_string(factor);
  int status = 0;
  wire_->in(process.region, [&] {
    status =
        http_status(Wire::address(process.region), first_site_tcp_port + (site.back() - '1'),
                    "POST /stub/slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: " +
                        std::to_string(body.size()) + "\r\n\r\n" + body);
  });
  if (status == 200) return {};
  return Error{"site " + site + " does not slow down: status " + std::to_string(status)};
}

Result<int> Country::usage_leader() {
  const auto info = bus_->request(std::string("$JS.API.STREAM.INFO.") + meter::usage_stream, "", 5);
  if (!info) return info.error();
  boost::system::error_code error;
  const auto value = boost::json::parse(*info, error);
  const auto* leader = error ? nullptr : value.find_pointer("/cluster/leader", error);
  if (leader == nullptr || !leader->is_string() || leader->get_string().empty())
    return Error{"the usage stream has no leader: " + *info};
  const std::string name(leader->get_string());
  return name.back() - '0';
}

std::size_t Country::wait_stored(std::size_t records, double timeout_s) {
  std::size_t there = 0;
  wait_for(timeout_s, [&] {
    auto store = meter::Store::open(store_path(), meter::Access::read);
    if (!store) return false;
    const auto sums = store->sum({.by = meter::GroupBy::nothing});
    if (sums && !sums->empty()) there = sums->front().requests;
    return there >= records;
  });
  return there;
}

}  // namespace noroshi::trial
