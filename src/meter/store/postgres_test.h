#pragma once

// A PostgreSQL cluster for one test program: its own folder and socket, gone with it.

#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace noroshi::meter {

class PostgresCluster {
 public:
  // Null without PostgreSQL here, or without an unprivileged user to run it as.
  static std::unique_ptr<PostgresCluster> start() {
    std::string programs;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored)) {
      if (std::filesystem::exists(entry.path() / "bin/initdb")) programs = entry.path() / "bin/";
    }
    if (programs.empty()) return nullptr;
    auto cluster = std::unique_ptr<PostgresCluster>(new PostgresCluster);
    if (getuid() == 0) {
      const passwd* user = getpwnam("postgres");
      if (user == nullptr) user = getpwnam("nobody");
      if (user == nullptr) return nullptr;
      cluster->uid_ = user->pw_uid;
      cluster->gid_ = user->pw_gid;
    }
    std::string name = (std::filesystem::temp_directory_path() / "noroshi-pg-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) return nullptr;
    cluster->folder_ = name;
    if (chown(name.c_str(), cluster->uid_, cluster->gid_) != 0) return nullptr;
    const int made = cluster->wait(cluster->spawn({programs + "initdb", "-D", name + "/data", "-A",
                                                   "trust", "-U", "noroshi", "-N", "-E", "UTF8"}));
    if (made != 0) return nullptr;
    // No TCP: a socket in the folder.
    cluster->server_ = cluster->spawn(
        {programs + "postgres", "-D", name + "/data", "-k", name, "-c", "listen_addresses="});
    const std::string ready = programs + "pg_isready";
    for (int i = 0; i < 2000; ++i) {
      if (cluster->wait(cluster->spawn({ready, "-q", "-h", name})) == 0) return cluster;
    }
    return nullptr;
  }
  ~PostgresCluster() {
    if (server_ > 0) {
      kill(server_, SIGINT);
      wait(server_);
    }
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  PostgresCluster(const PostgresCluster&) = delete;
  PostgresCluster& operator=(const PostgresCluster&) = delete;

  std::string url() const { return "postgresql://noroshi@/postgres?host=" + folder_; }

 private:
  PostgresCluster() = default;

  pid_t spawn(std::vector<std::string> arguments) const {
    std::vector<char*> pointers;
    for (std::string& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const pid_t child = fork();
    if (child != 0) return child;
    prctl(PR_SET_PDEATHSIG, SIGINT);
    if (getuid() == 0) {
      if (setgroups(0, nullptr) != 0 || setgid(gid_) != 0 || setuid(uid_) != 0) _exit(126);
    }
    if (chdir("/") != 0) _exit(126);
    const int null = open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) dup2(null, fd);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  static int wait(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  }

  std::string folder_;
  uid_t uid_ = getuid();
  gid_t gid_ = getgid();
  pid_t server_ = 0;
};

}  // namespace noroshi::meter
