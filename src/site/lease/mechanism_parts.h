#pragma once

// What the mechanisms have in common.

#include <sched.h>

#include <filesystem>
#include <string>
#include <vector>

#include "site/lease/mechanism.h"

namespace noroshi::site {

cpu_set_t set_of(const std::vector<int>& processors);
std::string list_of(const std::vector<int>& processors);  // "0,2,3"

// Where a process of this home runs when these processors are allowed.
std::vector<int> place_of(const std::vector<int>& home, const std::vector<int>& allowed);

// Into a control file; errno says why not.
bool write_text(const std::filesystem::path& file, const std::string& text);
std::string read_first_line(const std::filesystem::path& file);

// A name that no other mechanism of this machine has.
std::string new_group_name();

// Stops and continues process groups; an engine leads its own (engine/process.h).
class Standstill {
 public:
  void adopt(const std::vector<HeldProcess>& processes);
  void set(bool stopped);

 private:
  void signal_all(int number) const;
  std::vector<pid_t> processes_;
  bool stopped_ = false;
};

}  // namespace noroshi::site
