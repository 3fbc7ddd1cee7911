#pragma once

// How a running site is told to start and stop a cell: a UNIX socket, one line a connection and one
// line back.
//
//   cell list          [{"name":"cell0","runs":true,"slots":1200}, ...]
//   cell start NAME    ok
//   cell stop NAME     ok
//
// Anything else, and what the site refuses, comes back as "error: ...". Only the user whom the site
// runs as can open the socket.

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/result.h"
#include "site/site.h"

namespace noroshi::live {

inline constexpr std::size_t control_line_max = 256;

struct ControlCommand {
  enum class Verb : std::uint8_t { list, start, stop } verb = Verb::list;
  std::string cell;  // empty for list
};

// Without the line's end. Errors: other words, with what is allowed.
Result<ControlCommand> parse_control(std::string_view line);

// What the site answers to a line, without the line's end. cell_names: as in its configuration.
std::string answer_control(site::Site& site, const std::vector<std::string>& cell_names,
                           std::string_view line);

// Listens from a thread of its own until the end of its life.
class ControlSocket {
 public:
  using Answer = std::function<std::string(std::string_view line)>;

  // Errors: a path that is too long, or that somebody listens at, or that cannot be made. A socket
  // that a dead site left behind is replaced.
  static Result<std::unique_ptr<ControlSocket>> open(const std::string& path, Answer answer);
  ControlSocket(int listener, std::string path, Answer answer);  // open() is the way in
  ~ControlSocket();
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

 private:
  void run();

  int listener_;
  std::string path_;
  Answer answer_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// The other end: sends the line and returns the answer. Errors: nobody listens there.
Result<std::string> ask_site(const std::string& path, const std::string& line);

// `noroshi cell`: prints the answer. Returns the exit code: 0, or 1 for any error.
int run_cell_command(const std::string& path, const std::string& line);

}  // namespace noroshi::live
