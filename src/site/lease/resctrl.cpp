#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>

#include "site/lease/mechanism_parts.h"

namespace noroshi::site {
namespace {

namespace fs = std::filesystem;

bool append_text(const fs::path& file, const std::string& text) {
  const int fd = open(file.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

Result<unsigned> read_number(const fs::path& file, int base) {
  const std::string text = read_first_line(file);
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size())
    return Error{file.string() + ": '" + text.substr(0, 60) + "' is no number"};
  return value;
}

// The domains of a resource as the default group's schemata names them: "L3:0=fff;1=fff".
std::vector<std::string> domains_of(const fs::path& root, const std::string& resource) {
  std::vector<std::string> domains;
  std::ifstream schemata(root / "schemata");
  for (std::string line; std::getline(schemata, line);) {
    line.erase(0, std::min(line.find_first_not_of(' '), line.size()));
    if (!line.starts_with(resource + ":")) continue;
    for (std::size_t at = resource.size() + 1; at < line.size();) {
      const std::size_t end = std::min(line.find(';', at), line.size());
      const std::string domain = line.substr(at, line.find('=', at) - at);
      if (!domain.empty() &&
          std::ranges::all_of(domain, [](char c) { return '0' <= c && c <= '9'; }))
        domains.push_back(domain);
      at = end + 1;
    }
  }
  return domains;
}

std::string schemata_line(const std::string& resource, const std::vector<std::string>& domains,
                          const std::string& value) {
  std::string line = resource + ":";
  for (const std::string& domain : domains)
    line += (line.back() == ':' ? "" : ";") + domain + "=" + value;
  return line + "\n";
}

// The lowest ways of the cache, as many as the share says and the processor wants at least.
Result<std::string> cache_mask(const fs::path& info, double share) {
  const Result<unsigned> mask = read_number(info / "cbm_mask", 16);
  if (!mask) return mask.error();
  const Result<unsigned> least = read_number(info / "min_cbm_bits", 10);
  if (!least) return least.error();
  const int ways = std::popcount(*mask);
  if (ways == 0) return Error{(info / "cbm_mask").string() + ": no cache ways"};
  const int kept = std::clamp(static_cast<int>(std::lround(share * ways)),
                              std::min(ways, static_cast<int>(*least)), ways);
  char text[16];
  const auto end = std::to_chars(text, text + sizeof text, (std::uint64_t{1} << kept) - 1, 16).ptr;
  return std::string(text, end);
}

Result<std::string> bandwidth_percent(const fs::path& info, double share) {
  const Result<unsigned> least = read_number(info / "min_bandwidth", 10);
  if (!least) return least.error();
  const Result<unsigned> step = read_number(info / "bandwidth_gran", 10);
  if (!step) return step.error();
  const double steps = std::max(1U, *step);
  const double percent = std::round(share * 100 / steps) * steps;
  return std::to_string(std::clamp(static_cast<int>(percent), static_cast<int>(*least), 100));
}

class Resctrl final : public Mechanism {
 public:
  Resctrl(std::unique_ptr<Mechanism> inner, fs::path group, std::string what)
      : inner_(std::move(inner)), group_(std::move(group)), what_(std::move(what)) {}
  // Its tasks fall back to the default group.
  ~Resctrl() override { rmdir(group_.c_str()); }
  std::string name() const override { return inner_->name() + ", " + what_; }

  Result<int> adopt(const std::vector<HeldProcess>& processes) override {
    const Result<int> strays = inner_->adopt(processes);
    std::vector<pid_t> threads;
    for (const HeldProcess& held : processes) {
      if (held.process <= 0) continue;
      for (const pid_t thread : threads_of(held.process)) threads.push_back(thread);
    }
    std::ranges::sort(threads);
    for (const pid_t thread : threads) {
      // Threads and children are born in their parent's group; one that is known is there.
      if (std::ranges::binary_search(threads_, thread)) continue;
      if (!append_text(group_ / "tasks", std::to_string(thread) + "\n") && errno != ESRCH)
        return Error{(group_ / "tasks").string() + ": " + std::strerror(errno)};
    }
    threads_ = std::move(threads);
    return strays;
  }

  Result<void> confine(const std::vector<int>& processors) override {
    return inner_->confine(processors);
  }

 private:
  std::unique_ptr<Mechanism> inner_;
  fs::path group_;
  std::string what_;
  std::vector<pid_t> threads_;  // ascending
};

}  // namespace

Result<void> add_resctrl(std::unique_ptr<Mechanism>& mechanism, const ResctrlConfig& config) {
  if (config.cache_share >= 1 && config.bandwidth_share >= 1)
    return Error{"the configuration gives engines all of both"};
  const fs::path root(config.root);
  const std::string way_out = " (mount -t resctrl resctrl /sys/fs/resctrl, as root)";
  std::string lines, what;
  for (const char* resource : {"L3", "MB"}) {
    const bool is_cache = resource[0] == 'L';
    const double share = is_cache ? config.cache_share : config.bandwidth_share;
    const fs::path info = root / "info" / resource;
    if (share >= 1 || !fs::exists(info)) continue;
    const Result<std::string> value =
        is_cache ? cache_mask(info, share) : bandwidth_percent(info, share);
    if (!value) return value.error();
    const std::vector<std::string> domains = domains_of(root, resource);
    if (domains.empty())
      return Error{(root / "schemata").string() + ": names no domain of " + resource};
    lines += schemata_line(resource, domains, *value);
    what += std::string(what.empty() ? "" : " and ") +
            (is_cache ? "cache ways " + *value : "memory bandwidth " + *value + " %");
  }
  if (lines.empty())
    return Error{"no resctrl with a cache or bandwidth to divide under " + config.root + way_out};
  const fs::path group = root / new_group_name();
  std::error_code error;
  if (!fs::create_directory(group, error))
    return Error{"cannot make " + group.string() + ": " + error.message() + way_out};
  if (!append_text(group / "schemata", lines)) {
    const std::string why = std::strerror(errno);
    const std::string status = read_first_line(root / "info" / "last_cmd_status");
    rmdir(group.c_str());
    return Error{(group / "schemata").string() + ": " + why +
                 (status.empty() ? "" : "; " + status)};
  }
  mechanism = std::make_unique<Resctrl>(std::move(mechanism), group, what + " by resctrl");
  return {};
}

}  // namespace noroshi::site
