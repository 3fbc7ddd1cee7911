// Catches: a server that is not started, not watched, not restarted, not stopped; a child that
// outlives its engine; an error that says nothing.

#include "engine/engine.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "engine/fake_server_test.h"
#include "engine/http_get.h"
#include "engine/model_make.h"
#include "engine/process.h"

// Starts an engine, prints the pid of its server and waits to be killed.
[[noreturn]] static void host_an_engine(const char* model) {
  noroshi::engine::EngineConfig config;
  config.executable = std::filesystem::read_symlink("/proc/self/exe");
  config.model_path = model;
  config.arguments = {"--fake-mode", "healthy"};
  noroshi::engine::Engine engine(config);
  const bool ok = engine.start().ok() && engine.wait_ready(60).ok();
  std::printf("%d\n", ok ? engine.status().pid : 0);
  std::fflush(stdout);
  while (true) pause();
}

int main(int argc, char** argv) {
  noroshi::engine::serve_if_asked(argc, argv);
  if (argc == 3 && std::string(argv[1]) == "--host-an-engine") host_an_engine(argv[2]);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}

namespace noroshi::engine {
namespace {

constexpr double patience_s = 60;  // an end to a test that fails, never a measure

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder = std::filesystem::temp_directory_path() /
             ("noroshi_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    config.executable = std::filesystem::read_symlink("/proc/self/exe");
    config.model_path = folder / "tiny.gguf";
    config.health_interval_s = 0.01;
    config.backoff_first_s = 0.01;
    config.backoff_max_s = 0.05;
    const auto made = model_make(*model_preset("tiny"), 1, config.model_path, nullptr);
    ASSERT_TRUE(made.ok()) << made.error().message;
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void mode(const std::string& name) {
    config.arguments = {"--fake-mode", name, "--fake-state", folder / "state"};
  }

  std::filesystem::path folder;
  EngineConfig config;
};

bool alive(pid_t pid) { return kill(pid, 0) == 0 || errno != ESRCH; }

TEST_F(EngineTest, StartsAnswersAndStops) {
  mode("healthy");
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  const auto ready = engine.wait_ready(patience_s);
  ASSERT_TRUE(ready.ok()) << ready.error().message;
  const EngineStatus status = engine.status();
  EXPECT_EQ(status.state, EngineState::ready);
  EXPECT_EQ(status.model_name, "tiny");
  EXPECT_EQ(status.restarts, 0);
  EXPECT_GT(status.pid, 0);
  EXPECT_EQ(getpgid(status.pid), status.pid);
  EXPECT_EQ(sched_getscheduler(status.pid), SCHED_IDLE);

  const auto endpoint = parse_url(status.url);
  ASSERT_TRUE(endpoint.ok()) << endpoint.error().message;
  EXPECT_EQ(http_get(*endpoint, "/health", "", patience_s, -1).status, 200);

  engine.stop();
  EXPECT_FALSE(alive(status.pid));
  EXPECT_EQ(engine.status().state, EngineState::stopped);
  EXPECT_EQ(engine.status().pid, 0);
  EXPECT_GT(engine.status().cpu_seconds, 0);
  engine.stop();  // again: nothing to do
  ASSERT_TRUE(engine.start().ok());
  EXPECT_TRUE(engine.wait_ready(patience_s).ok());
}

TEST_F(EngineTest, WaitsForAModelThatLoads) {
  mode("loading");
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  EXPECT_TRUE(engine.wait_ready(patience_s).ok());
}

TEST_F(EngineTest, RunsOnTheProcessorsGiven) {
  cpu_set_t ours;
  ASSERT_EQ(sched_getaffinity(0, sizeof ours, &ours), 0);
  int last = 0;
  for (int p = 0; p < CPU_SETSIZE; ++p) {
    if (CPU_ISSET(p, &ours)) last = p;
  }
  mode("healthy");
  config.processors = {last};
  config.idle_class = false;
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  ASSERT_TRUE(engine.wait_ready(patience_s).ok());
  cpu_set_t theirs;
  ASSERT_EQ(sched_getaffinity(engine.status().pid, sizeof theirs, &theirs), 0);
  EXPECT_EQ(CPU_COUNT(&theirs), 1);
  EXPECT_TRUE(CPU_ISSET(last, &theirs));
  EXPECT_EQ(sched_getscheduler(engine.status().pid), SCHED_OTHER);
}

TEST_F(EngineTest, RestartsAServerThatCrashes) {
  mode("crash");
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  EXPECT_TRUE(engine.wait_until([](const EngineStatus& s) { return s.restarts >= 2; }, patience_s));
  const EngineStatus status = engine.status();
  EXPECT_NE(status.last_error.find("signal 6"), std::string::npos) << status.last_error;
  EXPECT_TRUE(engine.wait_ready(patience_s).ok() || engine.status().restarts >= 3);
}

TEST_F(EngineTest, RestartsAServerThatIsKilled) {
  mode("healthy");
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  ASSERT_TRUE(engine.wait_ready(patience_s).ok());
  const pid_t first = engine.status().pid;
  kill(first, SIGKILL);
  EXPECT_TRUE(engine.wait_until(
      [](const EngineStatus& s) { return s.restarts == 1 && s.state == EngineState::ready; },
      patience_s));
  EXPECT_NE(engine.status().pid, first);
  EXPECT_FALSE(alive(first));
}

TEST_F(EngineTest, ReplacesAServerThatHangs) {
  mode("hang_once");
  config.health_timeout_s = 1;
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  EXPECT_TRUE(engine.wait_until(
      [](const EngineStatus& s) { return s.restarts >= 1 && s.state == EngineState::ready; },
      patience_s));
  EXPECT_NE(engine.status().last_error.find("hangs"), std::string::npos)
      << engine.status().last_error;
}

TEST_F(EngineTest, BacksOffFromAServerThatEndsAtOnceAndSaysWhatItSaid) {
  mode("exit_at_once");
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  const auto ready = engine.wait_ready(patience_s);
  ASSERT_FALSE(ready.ok());
  EXPECT_NE(ready.error().message.find("exited with status 2"), std::string::npos)
      << ready.error().message;
  EXPECT_NE(ready.error().message.find("I do not feel well"), std::string::npos)
      << ready.error().message;
}

TEST_F(EngineTest, ComesUpAfterAFailedStart) {
  mode("exit_once");
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  EXPECT_TRUE(engine.wait_ready(patience_s).ok());
  EXPECT_EQ(engine.status().restarts, 1);
}

TEST_F(EngineTest, ReplacesAServerThatIsNeverReady) {
  mode("never_ready");
  config.start_timeout_s = 0.3;
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  EXPECT_TRUE(engine.wait_until([](const EngineStatus& s) { return s.restarts >= 1; }, patience_s));
  EXPECT_NE(engine.status().last_error.find("not ready"), std::string::npos)
      << engine.status().last_error;
}

TEST_F(EngineTest, KillsAServerThatIgnoresSigterm) {
  mode("no_sigterm");
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  ASSERT_TRUE(engine.wait_ready(patience_s).ok());
  const pid_t pid = engine.status().pid;
  engine.stop();
  EXPECT_FALSE(alive(pid));
}

TEST_F(EngineTest, LeavesNoGrandchildBehind) {
  mode("child");
  pid_t child = 0;
  {
    Engine engine(config);
    ASSERT_TRUE(engine.start().ok());
    ASSERT_TRUE(engine.wait_ready(patience_s).ok());
    std::ifstream(folder / "state") >> child;
    ASSERT_GT(child, 0);
    ASSERT_TRUE(alive(child));
  }
  // It was sent SIGKILL: it dies when it next gets a processor, and whoever inherits orphans here
  // may collect it late. A child that was not killed would live on until ctest's time limit.
  const auto still_lives = [child] {
    std::ifstream stat("/proc/" + std::to_string(child) + "/stat");
    std::string number, name, run_state;
    stat >> number >> name >> run_state;
    return !run_state.empty() && run_state != "Z" && run_state != "X";
  };
  while (still_lives()) sched_yield();
}

TEST_F(EngineTest, AllocatesNoMoreThanItMay) {
  SpawnOptions options;
  // A shell whose variable doubles: it ends when it gets no memory, or reaches 64 MiB and says so.
  options.arguments = {
      "/bin/sh", "-c",
      "x=aaaaaaaaaaaaaaaa; while [ ${#x} -lt 67108864 ]; do x=$x$x; done; exit 42"};
  auto log = OutputLog::open("");
  ASSERT_TRUE(log.ok());
  options.output_fd = log->fd();
  const auto ends = [&] {
    const auto pid = spawn(options);
    EXPECT_TRUE(pid.ok()) << pid.error().message;
    siginfo_t info{};
    EXPECT_EQ(waitid(P_PID, static_cast<id_t>(*pid), &info, WEXITED | WNOWAIT), 0);
    return reap(*pid).text;
  };
  options.memory_bytes_max = 48 << 20;
  EXPECT_NE(ends(), "exited with status 42");
  options.memory_bytes_max = 0;
  EXPECT_EQ(ends(), "exited with status 42");
}

TEST_F(EngineTest, DiesWithUsWhenWeAreKilled) {
  int output[2];
  ASSERT_EQ(pipe(output), 0);
  SpawnOptions options;
  options.arguments = {config.executable, "--host-an-engine", config.model_path};
  options.output_fd = output[1];
  const auto host = spawn(options);
  ASSERT_TRUE(host.ok()) << host.error().message;
  close(output[1]);
  char text[32] = {};
  ASSERT_GT(read(output[0], text, sizeof text - 1), 0);
  close(output[0]);
  const pid_t server = std::atoi(text);
  ASSERT_GT(server, 0);
  const int server_fd = static_cast<int>(syscall(SYS_pidfd_open, server, 0));
  ASSERT_GE(server_fd, 0);
  EXPECT_EQ(reap(*host).text.find("was killed by signal 9"), 0u);
  pollfd ended = {server_fd, POLLIN, 0};
  EXPECT_EQ(poll(&ended, 1, static_cast<int>(patience_s * 1e3)), 1);
  close(server_fd);
}

TEST_F(EngineTest, WritesTheServersOutputToTheLog) {
  mode("healthy");
  config.log_path = folder / "engine.log";
  Engine engine(config);
  ASSERT_TRUE(engine.start().ok());
  ASSERT_TRUE(engine.wait_ready(patience_s).ok());
  engine.stop();
  std::ifstream log(config.log_path);
  std::string line;
  ASSERT_TRUE(std::getline(log, line));
  EXPECT_EQ(line, "fake server healthy listens");
}

TEST_F(EngineTest, RefusesWhatCanNeverRun) {
  const auto error_of = [](const EngineConfig& c) {
    Engine engine(c);
    const auto started = engine.start();
    return started.ok() ? std::string("it started") : started.error().message;
  };
  EngineConfig c = config;
  c.executable = folder / "no_such_server";
  EXPECT_NE(error_of(c).find("no_such_server: No such file"), std::string::npos) << error_of(c);
  c = config;
  c.executable = config.model_path;
  EXPECT_NE(error_of(c).find("Permission denied"), std::string::npos) << error_of(c);
  c = config;
  c.model_path = folder / "none.gguf";
  EXPECT_NE(error_of(c).find("none.gguf: No such file"), std::string::npos) << error_of(c);
  c.model_path.clear();
  EXPECT_NE(error_of(c).find("neither a model"), std::string::npos) << error_of(c);
  c = config;
  std::filesystem::resize_file(c.model_path, 100'000);
  EXPECT_NE(error_of(c).find("cut off"), std::string::npos) << error_of(c);
  c.url = "https://example.org";
  EXPECT_NE(error_of(c).find("https"), std::string::npos) << error_of(c);
  c = config;
  std::filesystem::remove(c.model_path);
  ASSERT_TRUE(model_make(*model_preset("tiny"), 1, c.model_path, nullptr).ok());
  c.processors = {100'000};
  EXPECT_NE(error_of(c).find("processor 100000"), std::string::npos) << error_of(c);
  c.processors.clear();
  c.log_path = folder / "no_folder" / "log";
  EXPECT_NE(error_of(c).find("no_folder"), std::string::npos) << error_of(c);
}

TEST_F(EngineTest, WatchesAServerThatSomebodyElseRuns) {
  mode("healthy");
  config.arguments.insert(config.arguments.end(), {"--fake-key", "sesame"});
  Engine theirs(config);  // its own /health wants the key too, so it never counts as ready
  ASSERT_TRUE(theirs.start().ok());
  EngineConfig watching;
  watching.url = theirs.status().url + "/v1";
  watching.api_key = "sesame";
  watching.health_interval_s = 0.01;
  Engine engine(watching);
  ASSERT_TRUE(engine.start().ok());
  const auto ready = engine.wait_ready(patience_s);
  ASSERT_TRUE(ready.ok()) << ready.error().message;
  EXPECT_EQ(engine.status().model_name, "fake");
  EXPECT_EQ(engine.status().url, theirs.status().url);

  watching.api_key = "wrong";
  Engine refused(watching);
  ASSERT_TRUE(refused.start().ok());
  EXPECT_TRUE(refused.wait_until(
      [](const EngineStatus& s) {
        return s.last_error.find("refuses the API key") != std::string::npos;
      },
      patience_s));
  theirs.stop();
  EXPECT_TRUE(engine.wait_until([](const EngineStatus& s) { return s.state != EngineState::ready; },
                                patience_s));
}

TEST(Url, IsTakenApart) {
  const auto endpoint = parse_url("http://127.0.0.1:8000/v1");
  ASSERT_TRUE(endpoint.ok());
  EXPECT_EQ(endpoint->host, "127.0.0.1");
  EXPECT_EQ(endpoint->tcp_port, 8000);
  EXPECT_EQ(parse_url("http://[::1]:81")->host, "::1");
  EXPECT_EQ(parse_url("http://[::1]:81")->tcp_port, 81);
  EXPECT_EQ(parse_url("http://gpu")->tcp_port, 80);
  for (const char* bad :
       {"", "gpu:80", "ftp://gpu", "http://", "http://gpu:", "http://gpu:0", "http://gpu:99999",
        "http://gpu:8x", "http://gpu/other/path", "http://:80", "http://a b", "http://user@gpu"}) {
    EXPECT_FALSE(parse_url(bad).ok()) << bad;
  }
}

TEST_F(EngineTest, FindsAServerOnPathFirstAndThenInThePrefix) {
  for (const char* place : {"path", "prefix/bin"}) {
    std::filesystem::create_directories(folder / place);
    std::ofstream(folder / place / "llama-server") << "#!/bin/sh\n";
    std::filesystem::permissions(folder / place / "llama-server",
                                 std::filesystem::perms::owner_all);
  }
  const std::string path = "/nowhere::" + (folder / "path").string();
  EXPECT_EQ(*find_llama_server(path, {folder / "prefix"}), folder / "path" / "llama-server");
  EXPECT_EQ(*find_llama_server("/nowhere", {folder / "prefix"}),
            folder / "prefix" / "bin" / "llama-server");
  const auto none = find_llama_server("", {folder});
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("get_llama.sh"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::engine
