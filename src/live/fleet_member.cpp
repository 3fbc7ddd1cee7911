#include "live/fleet_member.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <random>
#include <utility>

#include "fleet/file_share.h"
#include "fleet/keys.h"
#include "fleet/nats_bus.h"

namespace noroshi::live {
namespace {

constexpr double fast_s = 0.025;
constexpr double slow_s = 0.1;
constexpr double share_kept = 0.98;  // of the slow average at each heartbeat: some 12 s

std::uint64_t chance() {
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
}

std::uint64_t machine_memory_bytes() {
  return static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

// About what an engine takes: the file, which it maps, an eighth of it for its context, and its
// own buffers.
std::uint64_t engine_memory_bytes(const std::string& path) {
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  return error ? 0 : size + size / 8 + (std::uint64_t{64} << 20);
}

fleet::AgentConfig agent_config(const site::SiteFile& file, const Service& service) {
  const site::FleetSection& f = *file.fleet;
  fleet::AgentConfig config;
  config.facts.name = file.site.name;
  config.facts.region = f.region;
  config.facts.instance = chance();
  config.facts.prefecture = f.prefecture;
  config.facts.labels = f.labels;
  config.facts.memory_bytes = f.memory_mib > 0 ? static_cast<std::uint64_t>(f.memory_mib) << 20
                                               : machine_memory_bytes() / 4 * 3;
  config.facts.processors = static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  config.host = f.host;
  config.tcp_port = service.gateway->tcp_port();
  if (service.tls) config.pin = [tls = service.tls] { return tls->pin(); };
  return config;
}

}  // namespace

FleetMember::FleetMember(const site::SiteFile& file, Service& service,
                         std::function<double()> share)
    : file_(file), service_(service), share_(std::move(share)) {}

Result<std::unique_ptr<FleetMember>> FleetMember::join(const site::SiteFile& file, Service& service,
                                                       std::function<double()> share,
                                                       const std::string& context_folder) {
  std::unique_ptr<FleetMember> member(new FleetMember(file, service, std::move(share)));
  if (const auto started = member->start(); !started) return started.error();
  if (!context_folder.empty()) {
    if (const auto moves = member->move_contexts(context_folder); !moves) return moves.error();
  }
  return member;
}

Result<void> FleetMember::start() {
  const site::FleetSection& f = *file_.fleet;
  fleet::NatsOptions options{.urls = f.urls, .name = "site-" + file_.site.name};
  options.nkey_seed_path = f.key;
  options.ca_path = f.ca;
  options.domain = f.domain;
  options.role = "site";
  auto bus = fleet::connect_nats(std::move(options), 1);
  if (!bus) return bus.error();
  bus_ = *std::move(bus);
  standing_.emplace(
      *bus_, f.key.empty() ? "fleet.urls, and fleet.key and fleet.ca where the servers ask for "
                             "keys and TLS"
                           : "fleet.urls, fleet.key, fleet.ca, fleet.region and site.name (a key "
                             "is of one name and region)");
  agent_ = std::make_unique<fleet::Agent>(
      *bus_, clock_, agent_config(file_, service_),
      [this](fleet::SiteReport& report) { describe(report); },
      [this](const fleet::DesiredSite& desired) { apply(desired); });
  if (auto started = agent_->start(); !started) return started;
  while (agent_->status().state == fleet::AgentState::listening) {
    clock_.sleep_until_ns(clock_.now_ns() + static_cast<std::int64_t>(fast_s * 1e9));
    agent_->step();
  }
  const fleet::AgentStatus status = agent_->status();
  if (status.state == fleet::AgentState::refused) return Error{status.refusal};
  if (!f.models_folder.empty()) {
    fetcher_ = std::make_unique<fleet::Fetcher>(*bus_, f.models_folder);
  }
  fast_ = std::make_unique<fleet::Runner>("fleet", fast_s, [this] { agent_->step(); });
  read_desired_ =
      std::make_unique<fleet::Runner>("fleet-desired", slow_s, [this] { agent_->step_desired(); });
  slow_ = std::make_unique<fleet::Runner>("fleet-slow", slow_s, [this] { step_slow(); });
  return {};
}

Result<void> FleetMember::move_contexts(const std::string& folder) {
  MoverCalls calls;
  calls.last_turn = [this](std::string_view session) {
    return service_.gateway->last_turn(session);
  };
  calls.content_of = [this](int tcp_port) {
    const std::string path = service_.engines->model_path_at(tcp_port);
    const std::lock_guard lock(mutex_);
    const auto file = std::ranges::find_if(files_, [&](const File& f) { return f.path == path; });
    return file == files_.end() ? std::string() : file->file.content_hash;
  };
  mover_ = std::make_unique<ContextMover>(*bus_, clock_,
                                          MoverConfig{.region = file_.fleet->region,
                                                      .site = file_.site.name,
                                                      .folder = folder,
                                                      .seed = chance()},
                                          std::move(calls));
  if (auto started = mover_->start(); !started) return started;
  const std::lock_guard lock(service_.contexts->mutex);
  service_.contexts->fetch = [this](auto wanted, auto tell) {
    mover_->fetch(std::move(wanted), std::move(tell));
  };
  return {};
}

FleetMember::~FleetMember() {
  {
    const std::lock_guard lock(service_.contexts->mutex);
    service_.contexts->fetch = nullptr;
  }
  mover_.reset();
  fast_.reset();
  slow_.reset();
  fetcher_.reset();
  if (agent_) agent_->leave();
}

void FleetMember::describe(fleet::SiteReport& report) {
  gateway::SiteState& site = report.site;
  site.lease_share = std::clamp(share_(), 0.0, 1.0);
  share_slow_ = share_kept * share_slow_ + (1 - share_kept) * site.lease_share;
  // The radio's load of the next seconds is taken as that of the last ones, and never as less than
  // now's.
  site.lease_share_forecast = std::min(site.lease_share, share_slow_);
  const std::vector<Engines::Running> running = service_.engines->running();
  const std::lock_guard lock(mutex_);
  report.fault = fault_;
  if (fetcher_) {
    const fleet::FetchStatus fetching = fetcher_->status();
    report.fetching = fetching.model;
    report.fetched_percent = fetching.percent;
    if (report.fault.empty()) report.fault = fetching.fault;
  }
  for (const Engines::Running& one : running) {
    if (!one.ready) {
      if (report.fault.empty() && !one.error.empty()) report.fault = one.error;
      continue;
    }
    gateway::ModelAtSite& model = site.models.emplace_back();
    model.name = one.model.name;
    model.places = one.places;
    const auto file =
        std::ranges::find_if(files_, [&](const File& f) { return f.path == one.model.path; });
    if (file != files_.end()) model.content_hash = file->file.content_hash;
    const gateway::Gateway::ModelNow now =
        service_.gateway->model_now(model.name, model.places, site.lease_share);
    model.requests_in_flight = now.requests_in_flight;
    model.requests_queued = now.requests_queued;
    model.prompt_tokens_per_s = now.speeds.prompt_tokens_per_s;
    model.tokens_per_s = now.speeds.tokens_per_s;
    model.service_s_mean = now.speeds.service_s_mean;
  }
  site.ready = !site.models.empty();
  report.fault = report.fault.substr(0, 200);
}

void FleetMember::apply(const fleet::DesiredSite& desired) {
  const std::lock_guard lock(mutex_);
  to_run_ = desired;
}

void FleetMember::know_file(const fleet::ModelFile& file, const std::string& path) {
  auto shared = fleet::share_file(*bus_, file_.site.name, path, file.content_hash);
  const std::lock_guard lock(mutex_);
  files_.push_back({file, path});
  if (shared) {
    shared_.push_back(*std::move(shared));
  } else {
    fault_ = shared.error().message;
  }
}

void FleetMember::tell_files() {
  std::error_code error;
  const std::filesystem::space_info space =
      fetcher_ ? std::filesystem::space(file_.fleet->models_folder, error)
               : std::filesystem::space_info{};
  std::vector<fleet::ModelFile> files;
  {
    const std::lock_guard lock(mutex_);
    for (const File& f : files_) files.push_back(f.file);
  }
  agent_->set_files(std::move(files), configured_, error ? 0 : space.available);
}

// Once; large files take a second each gigabyte.
void FleetMember::hash_files() {
  std::vector<ModelToRun> models;
  const site::AiSection::Engine& engine = file_.ai->engine;
  if (engine.url.empty() && !engine.model_path.empty()) {
    const std::string name = engine.model_name.empty()
                                 ? std::filesystem::path(engine.model_path).stem().string()
                                 : engine.model_name;
    models.push_back({name, engine.model_path});
    configured_.push_back(name);
  }
  for (const auto& model : file_.fleet->models) models.push_back({model.name, model.path});
  if (fetcher_) {  // what was sent in an earlier life
    std::error_code error;
    std::filesystem::create_directories(file_.fleet->models_folder, error);
    for (const auto& entry :
         std::filesystem::directory_iterator(file_.fleet->models_folder, error)) {
      const auto file = fleet::parse_fetched_name(entry.path().filename().string());
      if (file) models.push_back({file->name, entry.path().string()});
    }
  }
  for (const ModelToRun& model : models) {
    const Result<std::string> hash = fleet::file_hash(model.path);
    if (hash) {
      know_file({model.name, *hash, engine_memory_bytes(model.path)}, model.path);
      continue;
    }
    const std::lock_guard lock(mutex_);
    fault_ = hash.error().message;
  }
  tell_files();
}

// Files that came: told to the fleet, and run if they still shall be.
void FleetMember::take_fetched() {
  if (!fetcher_) return;
  const std::vector<fleet::Fetched> came = fetcher_->take();
  if (came.empty()) return;
  for (const fleet::Fetched& one : came) {
    know_file({one.file.name, one.file.content_hash, engine_memory_bytes(one.path)}, one.path);
  }
  tell_files();
  const std::lock_guard lock(mutex_);
  if (!to_run_) to_run_ = desired_;
}

void FleetMember::run_desired() {
  std::optional<fleet::DesiredSite> desired;
  std::vector<ModelToRun> models;
  std::vector<fleet::ModelFile> missing;
  std::string fault;
  {
    const std::lock_guard lock(mutex_);
    desired = std::exchange(to_run_, std::nullopt);
    if (!desired) return;
    desired_ = *desired;
    for (const fleet::ModelFile& wanted : desired->models) {
      const File* other = nullptr;
      const File* found = nullptr;
      for (const File& f : files_) {
        if (f.file.name != wanted.name) continue;
        (f.file.content_hash == wanted.content_hash ? found : other) = &f;
      }
      if (found != nullptr) {
        models.push_back({wanted.name, found->path});
        continue;
      }
      if (other == nullptr && fetcher_) {
        missing.push_back(wanted);
        continue;
      }
      fault += (fault.empty() ? "" : "; ") + std::string("model '") + wanted.name +
               "' is wanted with content " + wanted.content_hash.substr(0, 12) + "..., " +
               (other == nullptr ? "and there is no file of it here"
                                 : "and " + other->path + " has " +
                                       other->file.content_hash.substr(0, 12) + "...");
    }
  }
  if (fetcher_) fetcher_->want(std::move(missing));
  const std::string faults = service_.engines->run(models, clock_.now_ns());
  if (!faults.empty()) fault += (fault.empty() ? "" : "; ") + faults;
  const std::lock_guard lock(mutex_);
  fault_ = fault;
}

void FleetMember::step_slow() {
  if (!hashed_) {
    hashed_ = true;
    hash_files();
  }
  take_fetched();
  run_desired();
  service_.engines->end_retired(service_.router, clock_.now_ns());
  agent_->step_slow();
}

std::string FleetMember::trouble() const {
  const std::string refusal = agent_->status().refusal;
  return refusal.empty() ? bus_->trouble() : refusal;
}

std::string FleetMember::warning() {
  if (std::string news = standing_->news(); !news.empty()) return news;
  const fleet::AgentStatus status = agent_->status();
  const std::lock_guard lock(mutex_);
  if (std::exchange(refused_, !status.refusal.empty()) && !refused_) {
    warned_.clear();
    return "fleet: the name is this site's again, it is in the fleet";
  }
  const std::string& text = status.refusal.empty() ? fault_ : status.refusal;
  if (text == warned_) return {};
  warned_ = text;
  return text;
}

}  // namespace noroshi::live
