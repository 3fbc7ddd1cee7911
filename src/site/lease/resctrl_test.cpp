// Catches a share of the cache that is not what was asked for or not what a processor allows, tasks
// that are left out, and a system without resctrl that is taken for one with it. The kernels of
// these tests need none: a folder stands for /sys/fs/resctrl. What a folder cannot show is that the
// kernel takes what is written.

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "site/lease/mechanism.h"

namespace noroshi::site {
namespace {

namespace fs = std::filesystem;

class Resctrl : public testing::Test {
 protected:
  void SetUp() override {
    root = fs::temp_directory_path() / ("noroshi_resctrl_" + std::to_string(getpid()));
    fs::create_directories(root / "info" / "L3");
    fs::create_directories(root / "info" / "MB");
    write("info/L3/cbm_mask", "fff\n");
    write("info/L3/min_cbm_bits", "2\n");
    write("info/MB/min_bandwidth", "10\n");
    write("info/MB/bandwidth_gran", "20\n");
    write("schemata", "    MB:0=100;1=100\n    L3:0=fff;1=fff\n");
    config.root = root;
  }
  void TearDown() override { fs::remove_all(root); }
  void write(const char* file, const std::string& text) { std::ofstream(root / file) << text; }
  std::string error() {
    auto mechanism = make_affinity_mechanism();
    const Result<void> added = add_resctrl(mechanism, config);
    EXPECT_EQ(mechanism->name() == "affinity", !added.ok());
    return added ? "" : added.error().message;
  }
  fs::path group() const {
    for (const auto& entry : fs::directory_iterator(root)) {
      if (entry.path().filename().string().starts_with("noroshi-")) return entry.path();
    }
    return {};
  }
  std::string read(const fs::path& file) const {
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }
  fs::path root;
  ResctrlConfig config;
};

TEST_F(Resctrl, EnginesGetTheirShareAndTheirThreadsGoIn) {
  config.cache_share = 0.5;
  config.bandwidth_share = 0.55;
  auto mechanism = make_affinity_mechanism();
  ASSERT_TRUE(add_resctrl(mechanism, config));
  EXPECT_EQ(mechanism->name(), "affinity, cache ways 3f and memory bandwidth 60 % by resctrl");
  EXPECT_EQ(read(group() / "schemata"), "L3:0=3f;1=3f\nMB:0=60;1=60\n");

  const pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  // A sanitizer gives the child a thread of its own: how often the child is in, not what else.
  const auto times = [&] {
    std::istringstream tasks(read(group() / "tasks"));
    int count = 0;
    for (pid_t task = 0; tasks >> task;) count += task == child;
    return count;
  };
  ASSERT_TRUE(mechanism->adopt({{child, {}}}));
  EXPECT_EQ(times(), 1);
  ASSERT_TRUE(mechanism->adopt({{child, {}}}));
  EXPECT_EQ(times(), 1);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  ASSERT_TRUE(mechanism->adopt({{child, {}}}));
  ASSERT_TRUE(mechanism->confine({0}));

  // The kernel's folder vanishes with its files; this one only when it is empty.
  const fs::path folder = group();
  fs::remove(folder / "schemata");
  fs::remove(folder / "tasks");
  mechanism.reset();
  EXPECT_FALSE(fs::exists(folder));
}

TEST_F(Resctrl, NoLessThanTheProcessorAllows) {
  config.cache_share = 0.01;
  config.bandwidth_share = 0.01;
  EXPECT_EQ(error(), "");
  EXPECT_EQ(read(group() / "schemata"), "L3:0=3;1=3\nMB:0=10;1=10\n");
}

TEST_F(Resctrl, OneOfThemMayBeMissing) {
  fs::remove_all(root / "info" / "MB");
  EXPECT_EQ(error(), "");
  EXPECT_EQ(read(group() / "schemata"), "L3:0=3f;1=3f\n");
}

TEST_F(Resctrl, WhatIsNotThereOrNotUnderstoodSaysSo) {
  config.cache_share = 1;
  EXPECT_NE(error().find("all of both"), std::string::npos);
  config.cache_share = 0.5;
  write("info/L3/cbm_mask", "xyz\n");
  EXPECT_NE(error().find("cbm_mask: 'xyz'"), std::string::npos);
  write("info/L3/cbm_mask", "0\n");
  EXPECT_NE(error().find("no cache ways"), std::string::npos);
  write("info/L3/cbm_mask", "fff\n");
  write("schemata", "MB:0=100\nL3:garbage\n");
  EXPECT_NE(error().find("names no domain of L3"), std::string::npos);
  config.root = "/nonexistent";
  EXPECT_NE(error().find("mount -t resctrl"), std::string::npos);
  EXPECT_TRUE(group().empty());
}

}  // namespace
}  // namespace noroshi::site
