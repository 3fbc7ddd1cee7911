// Catches a command that is taken for another, a client that blocks the site, a socket that is left
// behind or that two sites share, and a site that does not obey.

#include "live/control.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cstring>
#include <filesystem>

#include "live/colocate_loads.h"

namespace noroshi::live {
namespace {

std::string socket_path(const char* name) {
  return std::filesystem::temp_directory_path() /
         ("noroshi_" + std::string(name) + "_" + std::to_string(getpid()));
}

TEST(Control, TakesItsCommandsAndNothingElse) {
  using Verb = ControlCommand::Verb;
  EXPECT_EQ(parse_control("cell list")->verb, Verb::list);
  EXPECT_EQ(parse_control("cell start a")->verb, Verb::start);
  EXPECT_EQ(parse_control("  cell  stop  roof-2 ")->cell, "roof-2");
  EXPECT_EQ(parse_control("cell stop a")->verb, Verb::stop);
  for (const char* wrong : {"", "cell", "cell start", "cell stop ", "cell list a", "cell start a b",
                            "cells list", "cell Start a", "cell\tlist", "start a"}) {
    EXPECT_FALSE(parse_control(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_control("cell start " + std::string(300, 'x')));
}

TEST(Control, OneLineInAndOneLineBack) {
  const std::string path = socket_path("control");
  std::vector<std::string> asked;
  auto control = ControlSocket::open(path, [&](std::string_view line) {
    asked.emplace_back(line);
    return "heard " + std::string(line);
  });
  ASSERT_TRUE(control) << control.error().message;
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  const auto answer = ask_site(path, "cell list");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(*answer, "heard cell list");

  const auto second = ControlSocket::open(path, [](std::string_view) { return std::string(); });
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find("another site"), std::string::npos);
  // One that leaves before it has said a line, and one that says far too much.
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  const int mute = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(connect(mute, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(mute);
  EXPECT_TRUE(ask_site(path, std::string(100'000, 'x')).ok());
  EXPECT_LT(asked.back().size(), 2 * control_line_max + 512);

  control->reset();
  EXPECT_FALSE(std::filesystem::exists(path));
  EXPECT_FALSE(ask_site(path, "cell list"));
}

TEST(Control, ReplacesWhatADeadSiteLeftAndNothingElse) {
  const std::string path = socket_path("stale");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  const int dead = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(bind(dead, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  close(dead);
  const auto answer = [](std::string_view) { return std::string("here"); };
  {
    auto control = ControlSocket::open(path, answer);
    ASSERT_TRUE(control) << control.error().message;
    EXPECT_EQ(*ask_site(path, "x"), "here");
  }
  {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "w"),
                                                               std::fclose);
  }
  EXPECT_FALSE(ControlSocket::open(path, answer));
  EXPECT_TRUE(std::filesystem::exists(path));  // somebody's file
  std::filesystem::remove(path);
  EXPECT_FALSE(ControlSocket::open("/no/such/folder/x", answer));
  EXPECT_FALSE(ControlSocket::open(std::string(200, 'x'), answer));
}

TEST(Control, ASiteObeys) {
  auto config = colocate_site("low", 1);
  ASSERT_TRUE(config);
  config->realtime_priority = 0;
  config->cells.push_back(config->cells[0]);
  config->cells[1].name = "cell1";
  config->cells[1].starts = false;
  config->radio_processors = config->air_processors = {0};
  auto site = site::Site::make(*config, {});
  ASSERT_TRUE(site) << site.error().message;
  const std::vector<std::string> names = {"cell0", "cell1"};
  const auto ask = [&](const char* line) { return answer_control(*site, names, line); };
  std::thread run([&] { EXPECT_TRUE(site->run()); });
  while (site->counters(0).slots.load() == 0) std::this_thread::yield();
  EXPECT_EQ(ask("cell start cell1"), "ok");
  while (site->counters(1).slots.load() == 0) std::this_thread::yield();
  EXPECT_EQ(ask("cell stop cell0"), "ok");
  EXPECT_TRUE(ask("cell stop cell0").starts_with("error: cell cell0 does not run"));
  EXPECT_TRUE(ask("cell start cell9").starts_with("error: no cell cell9"));
  EXPECT_TRUE(ask("cell dance").starts_with("error: not a command"));
  const auto list = boost::json::parse(ask("cell list")).as_array();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].at("name").as_string(), "cell0");
  EXPECT_FALSE(list[0].at("runs").as_bool());
  EXPECT_TRUE(list[1].at("runs").as_bool());
  site->stop();
  run.join();
}

}  // namespace
}  // namespace noroshi::live
