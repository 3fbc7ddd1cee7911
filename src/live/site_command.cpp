#include "live/site_command.h"
#include "live/contexts/folder.h"

#include <pthread.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <mutex>
#include <thread>

#include "base/loopback.h"
#include "live/control.h"
#include "live/fleet_member.h"
#include "live/radio_metrics.h"
#include "live/read_again.h"
#include "live/service.h"
#include "live/snapshot.h"
#include "live/view.h"
#include "live/wait_signal.h"
#include "site/config.h"
#include "site/realtime.h"
#include "site/site.h"

namespace noroshi::live {
namespace {

int processors_online() { return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN))); }

// Ctrl-C and the end of the run reach the main thread as blocked signals that it waits for; no
// other thread ever sees one.
class Signals {
 public:
  Signals() {
    sigemptyset(&set_);
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaddset(&set_, signal);
    pthread_sigmask(SIG_BLOCK, &set_, &before_);
  }
  ~Signals() {
    // What is still pending (the end of the run, after a person's Ctrl-C) has been dealt with.
    while (wait(0) != Came::nothing) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  Came wait(double seconds) const { return wait_signal(set_, seconds); }

 private:
  sigset_t set_{};
  sigset_t before_{};
};

// Takes snapshots from any thread: of everything since the start, or since the last look.
class Observer {
 public:
  Observer(const site::SiteConfig& config, const site::Site& site)
      : config_(config), site_(site), processors_(processors_online()) {}

  // The service is only there once it has started; the gateway's threads may ask before that.
  void attach(const Service* service) { service_.store(service); }
  // The same of the member; nullptr before it ends.
  void attach(const FleetMember* member) {
    const std::lock_guard lock(member_mutex_);
    member_ = member;
  }
  void begin() { first_ = last_ = totals(); }

  Snapshot since_start() const { return snapshot(first_); }
  Snapshot since_last() {
    const Snapshot s = snapshot(last_);
    last_ = s.total;
    return s;
  }

 private:
  Totals totals() const {
    const Service* service = service_.load();
    return take_totals(site_, service != nullptr ? service->engines.get() : nullptr,
                       service != nullptr ? service->gateway_or_null() : nullptr);
  }

  Snapshot snapshot(const Totals& from) const {
    Snapshot s;
    s.site = config_.name;
    for (std::size_t i = 0; i < site_.cells(); ++i) s.cells.push_back(cell(i));
    s.processors = processors_;
    s.total = totals();
    s.elapsed_s = s.total.time_s - first_.time_s;
    s.rate = rates(from, s.total, processors_);
    s.lease = lease();
    s.fleet = fleet();
    if (const Service* service = service_.load(); service != nullptr) {
      s.has_engine = true;
      s.engine = service->engines->status();
      s.url = service->url;
      if (const gateway::Gateway* gateway = service->gateway_or_null(); gateway != nullptr) {
        s.ttft_ms_p50 = us(gateway->time_to_first_token_ns().quantile(0.5)) / 1e3;
        s.ttft_ms_p99 = us(gateway->time_to_first_token_ns().quantile(0.99)) / 1e3;
      }
    }
    return s;
  }

  static double us(std::uint64_t ns) { return static_cast<double>(ns) / 1e3; }

  Snapshot::Cell cell(std::size_t i) const {
    const site::CellCounters& counters = site_.counters(i);
    Snapshot::Cell c;
    c.name = config_.cells[i].name;
    c.runs = site_.runs(i);
    c.dl_sinr_db = counters.dl_sinr_db.load(std::memory_order_relaxed);
    c.ul_sinr_db = counters.ul_sinr_db.load(std::memory_order_relaxed);
    c.slot_us_p50 = us(counters.slot_ns.quantile(0.5));
    c.slot_us_p99 = us(counters.slot_ns.quantile(0.99));
    c.slot_us_p999 = us(counters.slot_ns.quantile(0.999));
    c.slot_us_max = us(counters.slot_ns.max());
    return c;
  }

  Snapshot::Fleet fleet() const {
    const std::lock_guard lock(member_mutex_);
    if (member_ == nullptr) return {};
    return {.member = true, .trouble = member_->trouble()};
  }

  Snapshot::Lease lease() const {
    constexpr auto relaxed = std::memory_order_relaxed;
    const site::LeaseCounters& c = site_.lease_counters();
    Snapshot::Lease l;
    l.policy = site::name_of(config_.lease.policy);
    l.takes = c.takes.load(relaxed);
    l.gives = c.gives.load(relaxed);
    l.strays = c.strays.load(relaxed);
    l.failures = c.failures.load(relaxed);
    l.freed_us_p50 = us(c.freed_ns.quantile(0.5));
    l.freed_us_p99 = us(c.freed_ns.quantile(0.99));
    l.freed_us_max = us(c.freed_ns.max());
    l.given_us_p50 = us(c.given_ns.quantile(0.5));
    l.given_us_p99 = us(c.given_ns.quantile(0.99));
    for (std::size_t i = 0; i < site_.cells(); ++i) {
      l.left = std::min(l.left, site_.counters(i).left.load(relaxed));
      l.cost_p50_error = std::max(l.cost_p50_error, site_.counters(i).cost_p50_error.load(relaxed));
    }
    return l;
  }

  const site::SiteConfig& config_;
  const site::Site& site_;
  int processors_;
  std::atomic<const Service*> service_{nullptr};
  Totals first_, last_;
  mutable std::mutex member_mutex_;
  const FleetMember* member_ = nullptr;  // under member_mutex_
};

// What a person at a terminal or a program behind a pipe sees each second.
class Display {
 public:
  explicit Display(bool terminal) : terminal_(terminal) {}

  void ready(const Service& service) {
    // A key of its own has no authority: curl is told what it is.
    const std::string curl_pin = service.tls ? service.tls->curl_pin() : "";
    const std::string trust = curl_pin.empty() ? "" : "-k --pinnedpubkey '" + curl_pin + "' ";
    if (terminal_) {
      std::printf(
          "AI answers at %s (model '%s'; noroshi's own models speak noise, --model brings a real "
          "one)\n"
          "  curl %s%s/v1/chat/completions -H 'content-type: application/json' \\\n"
          "    -d '{\"model\": \"%s\", \"messages\": [{\"role\": \"user\", \"content\": "
          "\"hello\"}], "
          "\"max_tokens\": 16}'\n\n",
          service.url.c_str(), service.model.c_str(), trust.c_str(), service.url.c_str(),
          service.model.c_str());
      lines_ = 0;
    } else {
      boost::json::object line{{"event", "ready"}, {"url", service.url}, {"model", service.model}};
      if (!curl_pin.empty()) line["pinned_public_key"] = curl_pin;
      std::printf("%s\n", boost::json::serialize(line).c_str());
    }
    std::fflush(stdout);
  }

  // Each once, above the picture.
  void warn(const std::vector<std::string>& warnings) {
    for (; warned_ < warnings.size(); ++warned_) {
      std::fprintf(stderr, "noroshi site: warning: %s\n", warnings[warned_].c_str());
      lines_ = 0;
    }
  }

  // Once.
  void lease(const std::string& words) {
    if (lease_said_ || words.empty()) return;
    lease_said_ = true;
    std::fprintf(stderr, "noroshi site: lease: %s\n", words.c_str());
    lines_ = 0;
  }

  // PDUs that a cell refused, the first few of each look; all are counted.
  void refused(const std::string& cell, site::Site& site, std::size_t index) {
    constexpr int shown_max = 3;
    site::RefusedPdu pdu;
    int count = 0;
    for (; site.take_refused(index, pdu); ++count) {
      if (count < shown_max)
        std::fprintf(stderr, "noroshi site: %s: refused: %s\n", cell.c_str(),
                     words_of(pdu).c_str());
    }
    if (count > shown_max)
      std::fprintf(stderr, "noroshi site: %s: %d more refused\n", cell.c_str(), count - shown_max);
    if (count > 0) lines_ = 0;
  }

  void tell(const std::string& warning) {
    if (warning.empty()) return;
    std::fprintf(stderr, "noroshi site: warning: %s\n", warning.c_str());
    lines_ = 0;
  }

  void show(const Snapshot& snapshot) {
    if (!terminal_) {
      std::printf("%s\n", status_line(snapshot).c_str());
    } else {
      winsize size{};
      const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
      const std::string view = render_view(snapshot, known ? size.ws_col : 80, true);
      if (lines_ > 0) std::printf("\033[%dA\033[J", lines_);
      std::fputs(view.c_str(), stdout);
      lines_ = static_cast<int>(std::ranges::count(view, '\n'));
    }
    std::fflush(stdout);
  }

 private:
  bool terminal_;
  int lines_ = 0;
  std::size_t warned_ = 0;
  bool lease_said_ = false;
};

int failure(const char* what, const Error& error, int code) {
  std::fprintf(stderr, "noroshi site: %s%s\n", what, error.message.c_str());
  return code;
}

// Who hears the gateway that should not, or does not that should.
void warn_of_addresses(const site::SiteFile& file, const std::string& exposure) {
  const std::string& address = file.ai->gateway.address;
  if (!exposure.empty()) {
    std::fprintf(stderr, "noroshi site: warning: ai.gateway.address: %s\n", exposure.c_str());
  }
  if (file.fleet && !is_loopback(file.fleet->host) && is_loopback(address)) {
    std::fprintf(
        stderr,
        "noroshi site: warning: ai.gateway.address %s is this machine's alone, and "
        "gateways shall come to fleet.host %s: only a proxy or a tunnel here lets them in\n",
        address.c_str(), file.fleet->host.c_str());
  }
}

bool write_report(const std::string& path, const Snapshot& snapshot) {
  std::ofstream file(path);
  file << report_json(snapshot) << "\n";
  file.close();
  if (file.fail()) {
    std::fprintf(stderr, "noroshi site: the report could not be written to %s: check the path\n",
                 path.c_str());
  }
  return !file.fail();
}

void apply(const SiteCommand& command, site::SiteFile& file) {
  if (command.no_ai || file.site.lease.policy == site::LeasePolicy::off) file.ai.reset();
  if (!file.ai) return;
  if (!command.model_path.empty()) {
    file.ai->engine.model_path = command.model_path;
    file.ai->engine.model_name.clear();
  }
  if (command.ai_load) file.ai->load.concurrency = *command.ai_load;
}

// What says where the engine runs, or that it runs elsewhere, leaves one engine there.
std::vector<std::vector<int>> homes_of(const site::SiteFile& file, const std::vector<int>& radio) {
  const site::AiSection::Engine& engine = file.ai->engine;
  if (!engine.url.empty() || !engine.processors.empty() || engine.threads != 0) return {{}};
  return engine_homes(site::usable_processors(), radio, file.site.lease.policy, engine.split);
}

// Looks once a second until a signal comes, from a person or from the end of the run.
void watch(const Signals& signals, const site::SiteConfig& config, site::Site& site,
           Observer& observer, Display& display, Service* service, FleetMember* member,
           const site::AiSection* ai, std::uint64_t seed) {
  bool announced = service == nullptr;
  FilesToRead files;
  if (service != nullptr) files = {.tenants = ai->gateway.tenants, .tls = service->tls};
  for (;;) {
    const Came came = signals.wait(1.0);
    if (came == Came::end || (came == Came::read_again && !files.any())) return;
    if (came == Came::read_again) {
      for (const std::string& news : files.read_again(*service->gateway)) display.tell(news);
    }
    display.warn(site.warnings());
    if (member != nullptr) display.tell(member->warning());
    display.lease(site.lease_in_words());
    for (std::size_t i = 0; i < site.cells(); ++i) display.refused(config.cells[i].name, site, i);
    if (!announced && service->engines->status().state == engine::EngineState::ready) {
      announced = true;
      service->model = service->engines->status().model_name;
      display.ready(*service);
      if (ai->load.concurrency > 0) {
        if (const auto loaded = start_load(*service, *ai, seed); !loaded) {
          failure("load generator: ", loaded.error(), 1);
        }
      }
    }
    display.show(observer.since_last());
  }
}

// Null where the configuration wants none.
Result<std::unique_ptr<ControlSocket>> open_control(const site::SiteFile& file, site::Site& site) {
  if (file.control_path.empty()) return std::unique_ptr<ControlSocket>();
  std::vector<std::string> names;
  for (const site::CellConfig& cell : file.site.cells) names.push_back(cell.name);
  return ControlSocket::open(file.control_path, [&site, names](std::string_view line) {
    return answer_control(site, names, line);
  });
}

}  // namespace

int run_site(const SiteCommand& command) {
  auto file = site::load(command.config_path);
  if (!file) return failure("", file.error(), 2);
  apply(command, *file);

  const Signals signals;
  std::unique_ptr<Service> service;
  site::SiteOptions options;
  options.duration_s = command.duration_s;
  options.pace = command.free_pace ? site::Pace::free : site::Pace::real;
  options.seed = command.seed;
  if (file->ai) {
    options.engines = [&service] { return service->engines->processes(); };
  }
  auto site = site::Site::make(file->site, options);
  if (!site) return failure("", site.error(), 1);
  auto control = open_control(*file, *site);
  if (!control) return failure("", control.error(), 1);
  Observer observer(file->site, *site);
  observer.begin();

  ContextFolder contexts;
  if (file->ai && file->fleet && file->fleet->contexts != "off") {
    auto made = ContextFolder::make(file->fleet->contexts);
    if (!made) return failure("", made.error(), 2);
    contexts = *std::move(made);
  }
  if (file->ai) {
    site::AiSection ai = *file->ai;
    if (!file->fleet) ai.gateway.measure_idle_s = 0;  // nobody hears of it
    auto started = start_service(
        ai, homes_of(*file, site->radio_processors()),
        [&observer] { return radio_metrics(observer.since_start()); },
        [&site] { return engine_share(*site); }, contexts.path());
    if (!started) return failure("", started.error(), 1);
    service = *std::move(started);
    warn_of_addresses(*file, service->exposure);
    observer.attach(service.get());
  }
  std::unique_ptr<FleetMember> member;
  if (file->fleet && service) {
    auto joined = FleetMember::join(
        *file, *service, [&site] { return engine_share(*site); }, contexts.path());
    if (!joined) return failure("", joined.error(), 1);
    member = *std::move(joined);
    observer.attach(member.get());
  }

  Result<void> outcome;
  const pthread_t main_thread = pthread_self();
  std::thread radio([&] {
    outcome = site->run();
    pthread_kill(main_thread, SIGUSR1);
  });
  Display display(isatty(STDOUT_FILENO) != 0);
  watch(signals, file->site, *site, observer, display, service.get(), member.get(),
        file->ai ? &*file->ai : nullptr, command.seed);
  observer.attach(static_cast<const FleetMember*>(nullptr));
  member.reset();  // gateways go elsewhere before anything ends
  site->stop();
  radio.join();
  control->reset();

  const Snapshot whole = observer.since_start();
  display.warn(site->warnings());
  bool good = true;
  if (!command.report_path.empty()) good = write_report(command.report_path, whole);
  if (service) {
    service->load.reset();
    observer.attach(static_cast<const Service*>(nullptr));
    service->gateway.reset();
  }
  if (!outcome) return failure("", outcome.error(), 1);
  return good ? 0 : 1;
}

}  // namespace noroshi::live
