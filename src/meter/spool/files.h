#pragma once

// The disk under the spool, swappable: tests put one in its place that tears writes, fills up and
// fails, and that loses what was not synced.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::meter {

class File {
 public:
  virtual ~File() = default;
  // All of the bytes, or an error after which any part of them may be there.
  virtual Result<void> write_at(std::uint64_t offset, std::string_view bytes) = 0;
  // Fewer bytes than asked for at the end of the file.
  virtual Result<std::string> read_at(std::uint64_t offset, std::size_t size) = 0;
  // What was written before is on the disk when this returns without error.
  virtual Result<void> sync() = 0;
  virtual Result<void> truncate(std::uint64_t size) = 0;
  virtual std::uint64_t size() = 0;
};

class Files {
 public:
  virtual ~Files() = default;
  // Makes the directory where there is none and claims it for this process. Errors: another process
  // holds it; no permission.
  virtual Result<void> claim(const std::string& directory) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;  // names
  // A new file of zeros whose blocks the disk has set aside: writing into it cannot find the disk
  // full. Replaces what has the name.
  virtual Result<std::unique_ptr<File>> create(const std::string& path, std::uint64_t size) = 0;
  virtual Result<std::unique_ptr<File>> open(const std::string& path) = 0;
  virtual Result<void> rename(const std::string& from, const std::string& to) = 0;
  virtual Result<void> remove(const std::string& path) = 0;
  // Names made, renamed and removed before stay so after a loss of power.
  virtual Result<void> sync_directory(const std::string& directory) = 0;
};

// The real one.
std::unique_ptr<Files> disk_files();

}  // namespace noroshi::meter
