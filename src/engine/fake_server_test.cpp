// The server that the engine's tests start (no test of its own).

#include "engine/fake_server_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <string_view>

namespace noroshi::engine {
namespace {

std::string argument_after(int argc, char** argv, std::string_view flag) {
  for (int i = 1; i + 1 < argc; ++i) {
    if (argv[i] == flag) return argv[i + 1];
  }
  return {};
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream(path) << text << std::flush;
}

[[noreturn]] void sleep_for_ever() {
  while (true) pause();
}

int listen_on(int tcp_port) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const int yes = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(tcp_port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 || listen(fd, 16) != 0) {
    std::perror("fake server: bind");
    std::_Exit(3);
  }
  return fd;
}

std::string response(int status, const std::string& body) {
  return "HTTP/1.1 " + std::to_string(status) +
         " X\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
         "\r\nConnection: close\r\n\r\n" + body;
}

}  // namespace

void serve_if_asked(int argc, char** argv) {
  const std::string mode = argument_after(argc, argv, "--fake-mode");
  if (mode.empty()) return;
  const std::string state = argument_after(argc, argv, "--fake-state");
  const std::string key = argument_after(argc, argv, "--fake-key");
  const bool first_time = !state.empty() && !std::ifstream(state).good();

  if (mode == "exit_at_once" || (mode == "exit_once" && first_time)) {
    if (!state.empty()) write_file(state, "1");
    std::fputs("fake server: I do not feel well\n", stderr);
    std::_Exit(2);
  }
  if (mode == "no_sigterm") signal(SIGTERM, SIG_IGN);
  if (mode == "child") {
    const pid_t child = fork();
    if (child == 0) sleep_for_ever();
    write_file(state, std::to_string(child));
  }
  const int listener = listen_on(std::atoi(argument_after(argc, argv, "--port").c_str()));
  std::printf("fake server %s listens\n", mode.c_str());
  std::fflush(stdout);
  for (int answers = 0;; ++answers) {
    if (answers >= 2 && mode == "crash") std::abort();
    if (answers >= 2 && mode == "hang_once" && first_time) {
      write_file(state, "1");
      sleep_for_ever();
    }
    const int fd = accept(listener, nullptr, nullptr);
    if (fd < 0) continue;
    std::string request;
    char chunk[2048];
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t n = recv(fd, chunk, sizeof chunk, 0);
      if (n <= 0) break;
      request.append(chunk, static_cast<std::size_t>(n));
    }
    std::string answer;
    if (!key.empty() &&
        request.find("Authorization: Bearer " + key + "\r\n") == std::string::npos) {
      answer = response(401, R"({"error":{"message":"no"}})");
    } else if (request.starts_with("GET /v1/models ")) {
      answer = response(200, R"({"object":"list","data":[{"id":"fake","object":"model"}]})");
    } else if (mode == "never_ready" || (mode == "loading" && answers < 3)) {
      answer = response(503, R"({"error":{"message":"Loading model","code":503}})");
    } else {
      answer = response(200, R"({"status":"ok"})");
    }
    if (send(fd, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) std::perror("fake server: send");
    shutdown(fd, SHUT_WR);
    while (recv(fd, chunk, sizeof chunk, 0) > 0) {
    }
    close(fd);
  }
}

}  // namespace noroshi::engine
