#include "fleet/nats_server.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/process.h"
#include "engine/process.h"

namespace noroshi::fleet {
namespace {

namespace fs = std::filesystem;

constexpr double stop_grace_s = 5;
constexpr double backoff_first_s = 0.1;
constexpr double backoff_max_s = 5;
constexpr double ready_s_max = 30;  // of one start; then it hangs and is killed
constexpr std::size_t leaf_log_bytes =
    4096;  // that are looked at; a line about a certificate has 300

Result<std::string> find_executable(const NatsServerConfig& config) {
  if (!config.executable.empty()) return config.executable;
  std::string folders = "/usr/sbin:/usr/local/sbin:/usr/local/bin";
  if (const char* path = std::getenv("PATH"); path != nullptr) folders = path + (":" + folders);
  for (std::size_t at = 0; at < folders.size();) {
    const std::size_t end = std::min(folders.find(':', at), folders.size());
    const std::string file = folders.substr(at, end - at) + "/nats-server";
    if (access(file.c_str(), X_OK) == 0) return file;
    at = end + 1;
  }
  return Error{"no nats-server on PATH: install Debian's nats-server (./do setup), or name an URL"};
}

// The client port in the server's own ports file; 0: it is not there, or not whole yet.
int port_in(const std::string& path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(text, error);
  if (error || !value.is_object()) return 0;
  const boost::json::value* urls = value.as_object().if_contains("nats");
  if (urls == nullptr || !urls->is_array() || urls->as_array().empty()) return 0;
  const boost::json::value& url = urls->as_array().front();
  if (!url.is_string()) return 0;
  const std::string words(url.as_string());
  return std::atoi(words.c_str() + words.rfind(':') + 1);
}

// Without what differs from one attempt to the next: "127.0.0.1:43512 - lid:7 - ", "(attempt 3)".
std::string same_each_time(std::string_view words) {
  std::string text(words);
  const std::size_t connection = text.find(" - lid:");
  const std::size_t end =
      connection == std::string::npos ? connection : text.find(" - ", connection + 3);
  if (end != std::string::npos) text.erase(0, end + 3);
  const std::size_t attempt = text.find(" (attempt ");
  const std::size_t closed = attempt == std::string::npos ? attempt : text.find(')', attempt);
  if (closed != std::string::npos) text.erase(attempt, closed + 1 - attempt);
  return text;
}

}  // namespace

std::optional<std::string> leaf_news(std::string_view log) {
  constexpr std::string_view fault = "[ERR] ";
  std::optional<std::string> news;
  while (!log.empty()) {
    const std::size_t end = std::min(log.find('\n'), log.size());
    const std::string_view line = log.substr(0, end);
    log.remove_prefix(std::min(log.size(), end + 1));
    if (line.find("eafnode") == std::string_view::npos) continue;
    if (const std::size_t at = line.find(fault); at != std::string_view::npos) {
      news = same_each_time(line.substr(at + fault.size()));
    } else if (line.find("Leafnode connection created") != std::string_view::npos) {
      news.emplace();
    }
  }
  return news;
}

struct NatsServer::State {
  NatsServerConfig config;  // users: under mutex
  std::string executable;
  std::optional<engine::OutputLog> log;
  int wake_fd = -1;  // readable once stop() was called
  MonotonicClock clock;
  std::optional<std::string> leaf_said;  // of the watch

  std::mutex mutex;
  std::condition_variable changed;
  NatsServerStatus status;  // under mutex
  bool stopping = false;    // under mutex
  std::thread watch;

  ~State() {
    if (wake_fd >= 0) close(wake_fd);
  }

  double now_s() { return static_cast<double>(clock.now_ns()) * 1e-9; }
  std::string conf_path() const { return config.folder + "/nats-server.conf"; }
  std::string ports_folder() const { return config.folder + "/ports"; }
  template <class F>
  void update(F change) {
    const std::lock_guard lock(mutex);
    change(status);
    changed.notify_all();
  }

  Result<void> write_conf();
  void run();
  Result<pid_t> spawn_one();
  bool wait_ports(pid_t pid, int pid_fd);
  void watch_one(pid_t pid);
  void look_at_leaf();
};

// Whole or not at all: the server may read it again at any time.
Result<void> NatsServer::State::write_conf() {
  const Result<std::string> text = nats_server_text(config);
  if (!text) return text.error();
  const std::string fresh = conf_path() + ".new";
  // It may hold a password.
  const int fd = open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || fchmod(fd, 0600) != 0) {
    if (fd >= 0) close(fd);
    return Error{fresh + ": cannot be written: " + std::strerror(errno)};
  }
  close(fd);
  std::ofstream file(fresh, std::ios::binary | std::ios::trunc);
  file << *text;
  file.close();
  if (!file || std::rename(fresh.c_str(), conf_path().c_str()) != 0) {
    return Error{conf_path() + ": cannot be written: " + std::strerror(errno)};
  }
  return {};
}

Result<pid_t> NatsServer::State::spawn_one() {
  std::error_code ignored;
  for (const auto& old : fs::directory_iterator(ports_folder(), ignored)) {
    fs::remove(old.path(), ignored);
  }
  engine::SpawnOptions options;
  options.arguments = {executable, "--config", conf_path(), "--ports_file_dir", ports_folder()};
  options.output_fd = log->fd();
  return engine::spawn(options);
}

// Until its ports file is there. False: it ended before, hangs, or we stop.
bool NatsServer::State::wait_ports(pid_t pid, int pid_fd) {
  const int notify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  const bool watched = inotify_add_watch(notify_fd, ports_folder().c_str(),
                                         IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO) >= 0;
  const std::string path = ports_folder() + "/nats-server_" + std::to_string(pid) + ".ports";
  const double until_s = now_s() + ready_s_max;
  bool ready = false;
  while (watched && !ready && now_s() < until_s) {
    const int tcp_port = port_in(path);
    if (tcp_port > 0) {
      config.tcp_port = tcp_port;  // and again after a restart
      update([&](NatsServerStatus& s) {
        s.ready = true;
        s.tcp_port = tcp_port;
        s.last_error.clear();
        s.url = own_url(config, tcp_port);
      });
      ready = true;
      break;
    }
    if (wait_or_stop(until_s - now_s(), wake_fd, {notify_fd, pid_fd})) break;
    if (has_ended(pid)) break;
    char events[4096];
    while (read(notify_fd, events, sizeof events) > 0) {
    }
  }
  if (notify_fd >= 0) close(notify_fd);
  return ready;
}

// It tells nobody but its log.
void NatsServer::State::look_at_leaf() {
  if (config.remotes.empty()) return;
  const std::optional<std::string> news = leaf_news(log->tail(leaf_log_bytes));
  // One that is refused is connected for a moment in each attempt: what counts is said twice.
  if (news && news == leaf_said) {
    update([&](NatsServerStatus& s) { s.leaf_error = *news; });
  }
  leaf_said = news;
}

void NatsServer::State::watch_one(pid_t pid) {
  const int pid_fd = open_pid_fd(pid);
  bool stop = false;
  if (wait_ports(pid, pid_fd)) {
    while (!stop) {
      stop = wait_or_stop(1, wake_fd, {pid_fd});
      if (has_ended(pid)) break;
      look_at_leaf();
      log->limit();
    }
  }
  {
    const std::lock_guard lock(mutex);
    stop = stopping;
  }
  if (stop) ask_to_end(pid, stop_grace_s);
  const engine::ExitStatus exit = engine::reap(pid);
  close(pid_fd);
  update([&](NatsServerStatus& s) {
    s.ready = false;
    s.pid = 0;
    s.last_error = "nats-server " + exit.text + ": " + log->tail();
    if (!stopping) ++s.restarts;
  });
}

void NatsServer::State::run() {
  double backoff_s = backoff_first_s;
  while (true) {
    const double started_s = now_s();
    const Result<void> written = [&] {
      const std::lock_guard lock(mutex);
      return write_conf();
    }();
    const Result<pid_t> pid = written ? spawn_one() : Result<pid_t>(written.error());
    if (pid) {
      update([&](NatsServerStatus& s) { s.pid = *pid; });
      watch_one(*pid);
    } else {
      update([&](NatsServerStatus& s) {
        s.last_error = pid.error().message;
        ++s.restarts;
      });
    }
    if (now_s() - started_s > 10) backoff_s = backoff_first_s;
    if (wait_or_stop(backoff_s, wake_fd, {})) return;
    backoff_s = std::min(backoff_max_s, 2 * backoff_s);
  }
}

NatsServer::NatsServer(std::unique_ptr<State> state) : state_(std::move(state)) {}
NatsServer::NatsServer(NatsServer&&) noexcept = default;
NatsServer& NatsServer::operator=(NatsServer&& other) noexcept {
  if (this != &other) {
    stop();
    state_ = std::move(other.state_);
  }
  return *this;
}
NatsServer::~NatsServer() { stop(); }

Result<NatsServer> NatsServer::start(NatsServerConfig config, double wait_s) {
  auto state = std::make_unique<State>();
  const Result<std::string> executable = find_executable(config);
  if (!executable) return executable.error();
  if (const Result<std::string> text = nats_server_text(config); !text) return text.error();
  std::error_code error;
  fs::create_directories(config.folder + "/ports", error);
  if (error) return Error{config.folder + ": cannot be made: " + error.message()};
  Result<engine::OutputLog> log = engine::OutputLog::open(config.folder + "/nats-server.log");
  if (!log) return log.error();
  state->config = std::move(config);
  state->executable = *executable;
  state->log.emplace(*std::move(log));
  state->wake_fd = eventfd(0, EFD_CLOEXEC);
  State& running = *state;
  NatsServer server(std::move(state));
  running.watch = std::thread([&running] { running.run(); });
  const auto settled = [](const NatsServerStatus& s) { return s.ready || s.restarts > 0; };
  const bool in_time = server.wait_until(settled, wait_s);
  const NatsServerStatus status = server.status();
  if (status.ready) return server;
  return Error{in_time ? status.last_error
                       : "nats-server is not ready after " + std::to_string(wait_s) + " s"};
}

NatsServerStatus NatsServer::status() const {
  const std::lock_guard lock(state_->mutex);
  return state_->status;
}

bool NatsServer::wait_until(const std::function<bool(const NatsServerStatus&)>& condition,
                            double timeout_s) {
  std::unique_lock lock(state_->mutex);
  return state_->changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                                  [&] { return condition(state_->status); });
}

Result<void> NatsServer::set_users(std::vector<NatsUser> users, std::vector<NatsLeaf> leaves) {
  const std::lock_guard lock(state_->mutex);
  const bool anew = leaves != state_->config.leaves;
  std::swap(state_->config.users, users);
  std::swap(state_->config.leaves, leaves);
  if (Result<void> written = state_->write_conf(); !written) {
    std::swap(state_->config.users, users);
    std::swap(state_->config.leaves, leaves);
    return written;
  }
  // Not yet started: it will read the new file.
  if (state_->status.pid > 0 && kill(state_->status.pid, anew ? SIGTERM : SIGHUP) != 0) {
    return Error{std::string("nats-server: ") + std::strerror(errno)};
  }
  return {};
}

void NatsServer::stop() {
  if (!state_ || !state_->watch.joinable()) return;
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  const std::uint64_t one = 1;
  if (write(state_->wake_fd, &one, sizeof one) != sizeof one) std::abort();
  state_->watch.join();
}

}  // namespace noroshi::fleet
