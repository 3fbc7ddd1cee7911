#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

#include "engine/gguf.h"
#include "engine/model_make.h"

namespace noroshi::engine {

Result<void> model_check(const std::filesystem::path& path) {
  const auto fault = [&path](const std::string& what) {
    return Error{"model " + path.string() + ": " + what};
  };
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return fault("it is a folder, not a GGUF file");
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"),
                                                             &std::fclose);
  if (!file) {
    return fault(std::string(std::strerror(errno)) +
                 "; `noroshi model make --preset tiny --out FILE.gguf` makes a load model");
  }
  const std::uint64_t file_bytes = std::filesystem::file_size(path, error);
  if (error) return fault(error.message());

  // Headers are kilobytes (ours) to some 10 MB (a large vocabulary); data is never read.
  constexpr std::uint64_t window_first = 1 << 20;
  constexpr std::uint64_t window_max = 256 << 20;
  std::vector<std::uint8_t> start;
  for (std::uint64_t window = window_first;; window *= 8) {
    const std::uint64_t have = start.size();
    start.resize(std::min({window, window_max, file_bytes}));
    if (std::fread(start.data() + have, 1, start.size() - have, file.get()) !=
        start.size() - have) {
      return fault("it cannot be read, or changed while it was read");
    }
    GgufCheck check = gguf_check(start, file_bytes);
    if (check.error.empty()) return {};
    if (!check.needs_more) return fault(check.error);
    if (window >= window_max) return fault("its header is larger than 256 MiB");
  }
}

}  // namespace noroshi::engine
