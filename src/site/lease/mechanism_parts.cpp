#include "site/lease/mechanism_parts.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fstream>

namespace noroshi::site {

cpu_set_t set_of(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int processor : processors) CPU_SET(processor, &set);
  return set;
}

std::string list_of(const std::vector<int>& processors) {
  std::string list;
  for (const int processor : processors)
    list += (list.empty() ? "" : ",") + std::to_string(processor);
  return list;
}

std::vector<int> place_of(const std::vector<int>& home, const std::vector<int>& allowed) {
  std::vector<int> place;
  for (const int processor : home) {
    if (std::ranges::find(allowed, processor) != allowed.end()) place.push_back(processor);
  }
  return place.empty() ? allowed : place;
}

bool write_text(const std::filesystem::path& file, const std::string& text) {
  const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool written = write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int error = errno;
  close(fd);
  errno = error;
  return written;
}

std::string read_first_line(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  return line;
}

std::string new_group_name() {
  static std::atomic<int> count{0};
  return "noroshi-" + std::to_string(getpid()) + "-" + std::to_string(count++);
}

void Standstill::adopt(const std::vector<HeldProcess>& processes) {
  processes_.clear();
  for (const HeldProcess& held : processes) processes_.push_back(held.process);
  if (stopped_) signal_all(SIGSTOP);
}

void Standstill::set(bool stopped) {
  if (stopped == stopped_) return;
  stopped_ = stopped;
  signal_all(stopped ? SIGSTOP : SIGCONT);
}

void Standstill::signal_all(int number) const {
  for (const pid_t process : processes_) {
    if (process > 1 && kill(-process, number) != 0) kill(process, number);
  }
}

}  // namespace noroshi::site
