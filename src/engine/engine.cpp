#include "engine/engine.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "base/clock.h"
#include "base/process.h"
#include "engine/http_get.h"
#include "engine/model_make.h"
#include "engine/process.h"

namespace noroshi::engine {
namespace {

constexpr double stop_grace_s = 5;
constexpr double healthy_again_s = 60;           // then the back-off starts over
constexpr double starting_interval_s_max = 0.1;  // a starting server is asked more often
constexpr int deaths_in_a_row_hopeless = 3;      // for wait_ready; the keeper goes on trying

// Where scripts/get_llama.sh puts a server: NOROSHI_PREFIX, else .deps/llama in the repository that
// our executable was built in.
std::vector<std::filesystem::path> private_prefixes() {
  std::vector<std::filesystem::path> prefixes;
  if (const char* named = std::getenv("NOROSHI_PREFIX"); named != nullptr && *named != '\0') {
    prefixes.emplace_back(named);
  }
  std::error_code error;
  std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", error);
  while (folder.has_relative_path()) {
    folder = folder.parent_path();
    prefixes.push_back(folder / ".deps" / "llama");
  }
  return prefixes;
}

bool given(const std::vector<std::string>& arguments, std::string_view flag) {
  return std::find(arguments.begin(), arguments.end(), flag) != arguments.end();
}

std::vector<std::string> server_arguments(const EngineConfig& config, const std::string& executable,
                                          const std::string& model_name, int tcp_port) {
  std::vector<std::string> out = {executable, "--model", config.model_path};
  const auto add = [&out](const char* flag, std::string value) {
    out.insert(out.end(), {flag, std::move(value)});
  };
  const int threads = config.threads > 0 ? config.threads
                      : config.processors.empty()
                          ? static_cast<int>(std::thread::hardware_concurrency())
                          : static_cast<int>(config.processors.size());
  add("--host", "127.0.0.1");
  add("--port", std::to_string(tcp_port));
  add("--alias", model_name);
  add("--threads", std::to_string(std::max(1, threads)));
  add("--ctx-size", std::to_string(config.context_tokens));
  add("--parallel", std::to_string(config.parallel));
  add("--poll", "0");
  out.emplace_back("--no-webui");
  if (config.embeddings) {
    out.emplace_back("--embeddings");
    if (!given(config.arguments, "--pooling")) add("--pooling", "mean");
  }
  if (!config.context_folder.empty() && !given(config.arguments, "--slot-save-path")) {
    add("--slot-save-path", config.context_folder);
  }
  out.insert(out.end(), config.arguments.begin(), config.arguments.end());
  return out;
}

std::vector<std::string> server_environment(const EngineConfig& config) {
  // Variables, where an older server would refuse the flag and a variable is only ignored.
  std::vector<std::string> out = {
      // MiB of prompts kept; the server's own default is 8 GiB.
      "LLAMA_ARG_CACHE_RAM=512",
      // Threads that wait for each other sleep. When they spin (libgomp's default), each step waits
      // for the one that the radio pushed off its processor: on 2 busy cores of an EPYC (Zen 3),
      // SCHED_IDLE, the small load model made fewer than 24 tokens in 40 s; so, 11 tokens/s.
      "OMP_WAIT_POLICY=passive"};
  if (!config.api_key.empty()) out.push_back("LLAMA_API_KEY=" + config.api_key);
  return out;
}

// The first model of a /v1/models answer; empty when it is none.
std::string first_model(const std::string& body) {
  boost::system::error_code error;
  const boost::json::value value = boost::json::parse(body, error);
  if (error || !value.is_object()) return {};
  const boost::json::value* data = value.as_object().if_contains("data");
  if (data == nullptr || !data->is_array() || data->as_array().empty()) return {};
  const boost::json::value& first = data->as_array().front();
  if (!first.is_object()) return {};
  const boost::json::value* id = first.as_object().if_contains("id");
  return id != nullptr && id->is_string() ? std::string(id->as_string()) : std::string();
}

}  // namespace

struct Engine::State {
  explicit State(EngineConfig c) : config(std::move(c)) {}

  const EngineConfig config;
  std::string executable;
  Endpoint endpoint;
  std::optional<OutputLog> log;
  int wake_fd = -1;  // readable once stop() was called

  mutable std::mutex mutex;
  mutable std::condition_variable changed;
  EngineStatus status;           // under mutex
  bool stopping = false;         // under mutex
  bool first_start_done = true;  // under mutex
  int deaths_in_a_row = 0;       // under mutex
  double cpu_before_s = 0;       // under mutex: of processes that have ended
  mutable double cpu_live_s = 0;
  mutable std::int64_t cpu_read_ns = 0;

  MonotonicClock clock;
  std::thread watch;

  template <class F>
  void update(F change) {
    const std::lock_guard lock(mutex);
    change(status);
    changed.notify_all();
  }

  double now_s() { return static_cast<double>(clock.now_ns()) * 1e-9; }
  void watch_url();
  void watch_process();
  Result<pid_t> start_process();
  std::string watch_one(pid_t pid);
};

// A server that somebody else runs: seen or not seen.
void Engine::State::watch_url() {
  double last_good_s = now_s();
  while (true) {
    const HttpAnswer answer =
        http_get(endpoint, "/v1/models", config.api_key, config.health_timeout_s, wake_fd);
    std::string model = answer.status == 200 ? first_model(answer.body) : std::string();
    if (!model.empty()) {
      last_good_s = now_s();
      update([&](EngineStatus& s) {
        s.state = EngineState::ready;
        if (config.model_name.empty()) s.model_name = model;
      });
    } else {
      std::string why = answer.error;
      if (answer.status == 401 || answer.status == 403) {
        why = "it refuses the API key (status " + std::to_string(answer.status) + ")";
      } else if (answer.status == 200) {
        why = "it lists no model";
      } else if (answer.status != 0) {
        why = "status " + std::to_string(answer.status);
      }
      update([&](EngineStatus& s) {
        s.last_error = "engine at " + config.url + ": /v1/models: " + why;
        // A refusal is certain; one answer that is late may be a busy server.
        if (answer.error != "no answer in time" ||
            now_s() - last_good_s > config.health_timeout_s) {
          s.state = EngineState::starting;
        }
      });
    }
    if (wait_or_stop(config.health_interval_s, wake_fd, {})) return;
  }
}

Result<pid_t> Engine::State::start_process() {
  // Another process may take the port before the server does; then the server ends, and the next
  // start takes another.
  endpoint = {"127.0.0.1", free_tcp_port()};
  if (endpoint.tcp_port == 0) return Error{"engine: no free port on 127.0.0.1"};
  SpawnOptions options;
  {
    const std::lock_guard lock(mutex);
    options.arguments = server_arguments(config, executable, status.model_name, endpoint.tcp_port);
  }
  options.environment = server_environment(config);
  options.processors = config.processors;
  options.idle_class = config.idle_class;
  options.memory_bytes_max = config.memory_bytes_max;
  options.output_fd = log->fd();
  Result<pid_t> pid = spawn(options);
  if (!pid) return pid;
  update([&](EngineStatus& s) {
    s.state = EngineState::starting;
    s.pid = *pid;
    s.url = "http://127.0.0.1:" + std::to_string(endpoint.tcp_port);
    cpu_live_s = 0;
    cpu_read_ns = 0;
  });
  return pid;
}

// Until the process has ended, hangs, or we stop. Returns why it must be replaced; empty: it ended
// by itself or we stop.
std::string Engine::State::watch_one(pid_t pid) {
  const int pid_fd = open_pid_fd(pid);
  const double started_s = now_s();
  double last_good_s = started_s;
  double ready_since_s = -1;
  std::string fault;
  while (fault.empty()) {
    const double timeout_s = ready_since_s < 0 ? started_s + config.start_timeout_s - now_s()
                                               : last_good_s + config.health_timeout_s - now_s();
    const HttpAnswer answer =
        http_get(endpoint, "/health", "", std::max(0.001, timeout_s), wake_fd);
    const double now = now_s();
    if (answer.status == 200) {
      last_good_s = now;
      if (ready_since_s < 0) ready_since_s = now;
      update([&](EngineStatus& s) {
        s.state = EngineState::ready;
        if (now - ready_since_s > healthy_again_s) deaths_in_a_row = 0;
      });
    } else if (ready_since_s < 0 && now - started_s >= config.start_timeout_s) {
      fault = "was not ready after " + std::to_string(std::lround(config.start_timeout_s)) + " s";
    } else if (ready_since_s >= 0 && now - last_good_s >= config.health_timeout_s) {
      fault = "hangs: no answer on /health";
    }
    log->limit();
    const double interval_s = ready_since_s < 0
                                  ? std::min(starting_interval_s_max, config.health_interval_s)
                                  : config.health_interval_s;
    if (fault.empty() && wait_or_stop(interval_s, wake_fd, {pid_fd})) break;
    if (has_ended(pid)) break;
  }
  if (pid_fd >= 0) close(pid_fd);
  return fault;
}

void Engine::State::watch_process() {
  while (true) {
    Result<pid_t> pid = start_process();
    if (!pid) {
      bool first = false;
      update([&](EngineStatus& s) {
        first = !first_start_done;
        s.state = first ? EngineState::failed : EngineState::backing_off;
        s.last_error = pid.error().message;
        first_start_done = true;
        ++deaths_in_a_row;
      });
      if (first) return;
    } else {
      update([&](EngineStatus&) { first_start_done = true; });
      const std::string fault = watch_one(*pid);
      bool stop_now = false;
      {
        const std::lock_guard lock(mutex);
        stop_now = stopping;
      }
      if (stop_now) ask_to_end(*pid, stop_grace_s);
      const double cpu_s = cpu_seconds_of(*pid);  // of descendants too, before they are killed
      update([](EngineStatus& s) { s.pid = 0; });
      const ExitStatus exit = reap(*pid);
      update([&](EngineStatus&) {
        cpu_before_s += std::max({cpu_s, cpu_live_s, exit.cpu_seconds});
        cpu_live_s = 0;
      });
      if (stop_now) return;
      const std::string tail = log->tail();
      update([&](EngineStatus& s) {
        s.state = EngineState::backing_off;
        ++s.restarts;
        ++deaths_in_a_row;
        s.last_error = "engine " + config.name + " " + (fault.empty() ? exit.text : fault) +
                       (tail.empty() ? "" : "; its last output: " + tail);
      });
    }
    double delay_s = config.backoff_first_s;
    {
      const std::lock_guard lock(mutex);
      for (int i = 1; i < deaths_in_a_row && delay_s < config.backoff_max_s; ++i) delay_s *= 2;
    }
    if (wait_or_stop(std::min(delay_s, config.backoff_max_s), wake_fd, {})) return;
  }
}

Engine::Engine(EngineConfig config) : state_(std::make_unique<State>(std::move(config))) {}
Engine::Engine(Engine&&) noexcept = default;

Engine& Engine::operator=(Engine&& other) noexcept {
  if (this != &other) {
    stop();
    state_ = std::move(other.state_);
  }
  return *this;
}

Engine::~Engine() { stop(); }

Result<void> Engine::start() {
  State& s = *state_;
  assert(!s.watch.joinable() && "start() of an engine that runs");
  const EngineConfig& config = s.config;
  std::string model_name = config.model_name;
  if (!config.url.empty()) {
    Result<Endpoint> endpoint = parse_url(config.url);
    if (!endpoint) return endpoint.error();
    s.endpoint = *endpoint;
  } else {
    if (config.model_path.empty()) {
      return Error{"engine " + config.name + ": neither a model file nor a url is given"};
    }
    const Result<void> model = model_check(config.model_path);
    if (!model) return model;
    if (model_name.empty()) model_name = std::filesystem::path(config.model_path).stem().string();
    s.executable = config.executable;
    if (s.executable.empty()) {
      const char* path = std::getenv("PATH");
      Result<std::filesystem::path> found =
          find_llama_server(path == nullptr ? "" : path, private_prefixes());
      if (!found) return found.error();
      s.executable = found->string();
    }
    Result<OutputLog> log = OutputLog::open(config.log_path);
    if (!log) return log.error();
    s.log = std::move(*log);
  }
  s.wake_fd = eventfd(0, EFD_CLOEXEC);
  if (s.wake_fd < 0) return Error{std::string("engine: eventfd: ") + std::strerror(errno)};

  std::unique_lock lock(s.mutex);
  s.stopping = false;
  s.deaths_in_a_row = 0;
  s.first_start_done = !config.url.empty();
  s.status.state = EngineState::starting;
  s.status.model_name = model_name;
  s.status.last_error.clear();
  if (!config.url.empty()) {
    s.status.url = "http://" + config.url.substr(7, config.url.find('/', 7) - 7);
    s.watch = std::thread([&s] { s.watch_url(); });
    return {};
  }
  s.watch = std::thread([&s] { s.watch_process(); });
  s.changed.wait(lock, [&s] { return s.first_start_done; });
  if (s.status.state != EngineState::failed) return {};
  Error error{s.status.last_error};
  lock.unlock();
  stop();
  s.update([](EngineStatus& status) { status.state = EngineState::failed; });
  return error;
}

Result<void> Engine::wait_ready(double timeout_s) {
  State& s = *state_;
  const auto settled = [&s](const EngineStatus& status) {
    return status.state == EngineState::ready || status.state == EngineState::stopped ||
           status.state == EngineState::failed || s.deaths_in_a_row >= deaths_in_a_row_hopeless;
  };
  const bool in_time = wait_until(settled, timeout_s);
  const EngineStatus now = status();
  if (now.state == EngineState::ready) return {};
  std::string what = "engine " + s.config.name;
  if (!in_time) {
    what += " is not ready after " + std::to_string(std::lround(timeout_s)) + " s";
  } else if (now.state == EngineState::stopped) {
    what += " is stopped";
  } else {
    what += " does not come up";
  }
  return Error{now.last_error.empty() ? what : what + ": " + now.last_error};
}

bool Engine::wait_until(const std::function<bool(const EngineStatus&)>& condition,
                        double timeout_s) {
  State& s = *state_;
  std::unique_lock lock(s.mutex);
  return s.changed.wait_for(lock, std::chrono::duration<double>(timeout_s),
                            [&] { return condition(s.status); });
}

void Engine::stop() {
  if (!state_ || !state_->watch.joinable()) return;
  State& s = *state_;
  {
    const std::lock_guard lock(s.mutex);
    s.stopping = true;
  }
  const std::uint64_t one = 1;
  if (write(s.wake_fd, &one, sizeof one) != sizeof one) std::abort();  // an eventfd takes it
  s.watch.join();
  close(s.wake_fd);
  s.wake_fd = -1;
  s.update([](EngineStatus& status) {
    status.state = EngineState::stopped;
    status.url.clear();
  });
}

EngineStatus Engine::status() const {
  const State& s = *state_;
  const std::lock_guard lock(s.mutex);
  EngineStatus out = s.status;
  if (out.pid != 0) {
    // The gateway asks at every request: /proc is read ten times a second at most. The pid cannot
    // be another's: it is cleared, under this mutex, before it is given back.
    MonotonicClock clock;
    const std::int64_t now_ns = clock.now_ns();
    if (s.cpu_read_ns == 0 || now_ns - s.cpu_read_ns > 100'000'000) {
      s.cpu_live_s = std::max(s.cpu_live_s, cpu_seconds_of(out.pid));
      s.cpu_read_ns = now_ns;
    }
  }
  out.cpu_seconds = s.cpu_before_s + s.cpu_live_s;
  return out;
}

}  // namespace noroshi::engine
