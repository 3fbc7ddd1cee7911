#include "live/contexts/folder.h"

#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace noroshi::live {

namespace fs = std::filesystem;

Result<ContextFolder> ContextFolder::make(const std::string& in) {
  std::error_code error;
  const fs::path parent = in.empty() ? fs::temp_directory_path(error) : fs::path(in);
  if (!error && !in.empty()) fs::create_directories(parent, error);
  if (error) return Error{"fleet.contexts: " + in + ": " + error.message()};
  std::string name = (fs::absolute(parent) / "noroshi-contexts-XXXXXX").string();
  // Only we may read it: contexts are what users said.
  if (mkdtemp(name.data()) == nullptr) {
    return Error{"fleet.contexts: " + name + ": " + std::strerror(errno)};
  }
  ContextFolder folder;
  folder.path_ = name;
  return folder;
}

ContextFolder::~ContextFolder() {
  if (path_.empty()) return;
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

}  // namespace noroshi::live
