#pragma once

// One YAML file describes a site; configs/demo.yaml explains it key by key. Unknown keys, wrong
// types and values out of range are refused with file, line and column.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "site/config_fleet.h"
#include "site/site.h"

namespace noroshi::site {

// The file's section `ai`, with the fields and units of engine/engine.h and gateway/gateway.h: the
// site itself knows neither.
struct AiSection {
  struct Engine {
    std::string name = "llama";
    std::string url, api_key;
    std::string executable, model_path, model_name;
    int threads = 0;
    int context_tokens = 4096;
    int parallel = 4;
    bool embeddings = true;
    bool split = true;
    std::vector<std::string> arguments;
    std::vector<int> processors;
    bool idle_class = true;
    int memory_mib = 0;
    double start_timeout_s = 120;
    double health_interval_s = 1;
    double health_timeout_s = 10;
    double backoff_first_s = 0.5;
    double backoff_max_s = 30;
  };
  struct Gateway {
    std::string address = "127.0.0.1";
    int port = 8080;
    int threads = 1;
    bool open = false;  // beyond the loopback without keys
    // HTTPS. The file may say "auto": with a certificate, or in a fleet beyond the loopback.
    bool tls = false;
    std::string tls_certificate;  // PEM files; without them a key drawn at the start
    std::string tls_key;
    std::vector<std::string> api_keys;
    std::string tenants;  // a file (gateway/tenants.h)
    int body_bytes_max = 4 << 20;
    double requests_per_second = 0;
    int burst = 20;
    int requests_in_flight_max = 256;
    double queue_wait_max_s = 10;
    double upstream_timeout_s = 120;
    double header_timeout_s = 10;
    double measure_idle_s = 60;  // gateway/measure.h; of a site in a fleet
  };
  // Requests that the site sends to its own gateway, to have something to serve.
  struct Load {
    int concurrency = 0;  // 0: none
    int prompt_tokens = 128;
    int max_tokens = 64;
  };
  Engine engine;
  Gateway gateway;
  Load load;
};

struct SiteFile {
  SiteConfig site;
  std::string control_path;           // of the socket for `noroshi cell`; empty: none
  std::optional<AiSection> ai;        // absent: a radio site only
  std::optional<FleetSection> fleet;  // absent: a site of its own
};

// Errors: the file cannot be read, is not YAML, or says what is not allowed. Traffic files that it
// names are read too; their paths start at the working directory.
Result<SiteFile> load(const std::string& path);

// The same from memory; name stands for the file in errors. read_files = false leaves the arrivals
// of replayed traffic empty.
Result<SiteFile> parse(std::string_view text, const std::string& name, bool read_files);

}  // namespace noroshi::site
