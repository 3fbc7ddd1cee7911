#pragma once

// Where a site's engines save contexts that leave, and find those that come: a folder of this
// process's alone, gone with it.

#include <string>

#include "base/result.h"

namespace noroshi::live {

class ContextFolder {
 public:
  // In this folder; empty: in the one for temporary files. Errors: it cannot be made, with why.
  static Result<ContextFolder> make(const std::string& in);
  ContextFolder() = default;
  ContextFolder(ContextFolder&& other) noexcept : path_(std::move(other.path_)) {
    other.path_.clear();
  }
  ContextFolder& operator=(ContextFolder&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  ~ContextFolder();

  const std::string& path() const { return path_; }  // empty: none

 private:
  std::string path_;
};

}  // namespace noroshi::live
