#include "live/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

namespace noroshi::live {
namespace {

constexpr int look_ms = 100;       // for the end of our life
constexpr int patience_ms = 2000;  // with a client that says nothing
constexpr int answer_ms = 10'000;  // a cell that stops finishes its tick

Error failed(const std::string& path, const char* what) {
  return Error{"control socket " + path + ": " + what + ": " + std::strerror(errno)};
}

// Empty: the path does not fit.
std::optional<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return std::nullopt;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

const sockaddr* generic(const sockaddr_un& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

// A connected socket, or -1.
int connect_to(const sockaddr_un& address) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, generic(address), sizeof address) == 0) return fd;
  const int error = errno;
  if (fd >= 0) close(fd);
  errno = error;
  return -1;
}

// Up to a line's end, the other's end, or size_max bytes. Nothing: it took too long.
std::optional<std::string> read_line(int fd, std::size_t size_max, int timeout_ms) {
  std::string line;
  while (line.size() <= size_max) {
    pollfd poll_fd = {fd, POLLIN, 0};
    if (poll(&poll_fd, 1, timeout_ms) <= 0) return std::nullopt;
    char bytes[512];
    const ssize_t count = recv(fd, bytes, sizeof bytes, 0);
    if (count <= 0) break;
    line.append(bytes, static_cast<std::size_t>(count));
    if (const std::size_t end = line.find('\n'); end != std::string::npos) {
      line.resize(end);
      break;
    }
  }
  return line;
}

void send_line(int fd, const std::string& line) {
  const std::string text = line + "\n";
  static_cast<void>(!send(fd, text.data(), text.size(), MSG_NOSIGNAL));  // a client that has left
}

}  // namespace

Result<ControlCommand> parse_control(std::string_view line) {
  if (line.size() > control_line_max)
    return Error{"a line of more than " + std::to_string(control_line_max) + " bytes"};
  const auto next_word = [&line] {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    const std::string_view word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size());
    return word;
  };
  const std::string_view noun = next_word();
  const std::string_view verb = next_word();
  ControlCommand command;
  command.cell = next_word();
  const bool whole = next_word().empty();
  if (noun == "cell" && whole) {
    if (verb == "list" && command.cell.empty()) return command;
    command.verb = verb == "start" ? ControlCommand::Verb::start : ControlCommand::Verb::stop;
    if ((verb == "start" || verb == "stop") && !command.cell.empty()) return command;
  }
  return Error{"not a command (allowed: cell list, cell start NAME, cell stop NAME)"};
}

std::string answer_control(site::Site& site, const std::vector<std::string>& cell_names,
                           std::string_view line) {
  const auto command = parse_control(line);
  if (!command) return "error: " + command.error().message;
  if (command->verb == ControlCommand::Verb::list) {
    boost::json::array cells;
    for (std::size_t i = 0; i < site.cells(); ++i) {
      cells.push_back(boost::json::object{{"name", cell_names[i]},
                                          {"runs", site.runs(i)},
                                          {"slots", site.counters(i).slots.load()}});
    }
    return boost::json::serialize(cells);
  }
  const Result<void> done = command->verb == ControlCommand::Verb::start
                                ? site.start_cell(command->cell)
                                : site.stop_cell(command->cell);
  return done ? "ok" : "error: " + done.error().message;
}

Result<std::unique_ptr<ControlSocket>> ControlSocket::open(const std::string& path, Answer answer) {
  const auto address = address_of(path);
  if (!address) return Error{"control socket " + path + ": 1 to 107 bytes are allowed"};
  if (const int other = connect_to(*address); other >= 0) {
    close(other);
    return Error{"control socket " + path + ": another site listens there"};
  }
  struct stat status {};
  if (errno == ECONNREFUSED && lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode))
    unlink(path.c_str());
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (listener < 0) return failed(path, "socket");
  // Its permissions before anyone can connect.
  if (fchmod(listener, S_IRUSR | S_IWUSR) != 0 ||
      bind(listener, generic(*address), sizeof *address) != 0 ||
      chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0 || listen(listener, 8) != 0) {
    const Error error = failed(path, "bind");
    close(listener);
    return error;
  }
  return std::make_unique<ControlSocket>(listener, path, std::move(answer));
}

ControlSocket::ControlSocket(int listener, std::string path, Answer answer)
    : listener_(listener),
      path_(std::move(path)),
      answer_(std::move(answer)),
      thread_([this] { run(); }) {}

ControlSocket::~ControlSocket() {
  stopping_.store(true);
  thread_.join();
  close(listener_);
  unlink(path_.c_str());
}

void ControlSocket::run() {
  while (!stopping_.load()) {
    pollfd poll_fd = {listener_, POLLIN, 0};
    if (poll(&poll_fd, 1, look_ms) <= 0) continue;
    const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    if (const auto line = read_line(client, control_line_max, patience_ms))
      send_line(client, answer_(*line));
    close(client);
  }
}

Result<std::string> ask_site(const std::string& path, const std::string& line) {
  const auto address = address_of(path);
  if (!address) return Error{"control socket " + path + ": 1 to 107 bytes are allowed"};
  const int fd = connect_to(*address);
  if (fd < 0) return failed(path, "no site listens there");
  send_line(fd, line);
  constexpr std::size_t answer_max = 1 << 16;
  const auto answer = read_line(fd, answer_max, answer_ms);
  close(fd);
  if (!answer) return Error{"control socket " + path + ": no answer within 10 s"};
  return *answer;
}

int run_cell_command(const std::string& path, const std::string& line) {
  const auto answer = ask_site(path, line);
  const bool refused = answer && answer->starts_with("error: ");
  if (!answer || refused) {
    std::fprintf(stderr, "noroshi cell: %s\n",
                 answer ? answer->substr(7).c_str() : answer.error().message.c_str());
    return 1;
  }
  std::printf("%s\n", answer->c_str());
  return 0;
}

}  // namespace noroshi::live
