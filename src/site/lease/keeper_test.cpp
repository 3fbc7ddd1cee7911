// Catches engines that stay where the radio took their processor, come back by themselves, are
// never let back, or stay stopped. Real processes and threads; nothing is timed.

#include "site/lease/keeper.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <mutex>
#include <thread>

#include "site/realtime.h"

namespace noroshi::site {
namespace {

// A shell with a child that both spin, in a group of their own, as an engine has.
class Spinner {
 public:
  Spinner() {
    int ends[2];
    if (pipe(ends) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) {
      setpgid(0, 0);
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      close(ends[1]);
      execl("/bin/sh", "sh", "-c", "(while :; do :; done) & echo; while :; do :; done", nullptr);
      _exit(127);
    }
    setpgid(pid_, pid_);
    close(ends[1]);
    char newline = 0;  // both are there
    EXPECT_EQ(read(ends[0], &newline, 1), 1);
    close(ends[0]);
  }
  ~Spinner() {
    kill(-pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  std::vector<pid_t> threads() const { return threads_of(pid_); }

 private:
  pid_t pid_ = 0;
};

std::vector<int> processors_of(pid_t thread) {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_EQ(sched_getaffinity(thread, sizeof set, &set), 0);
  std::vector<int> list;
  for (int p = 0; p < CPU_SETSIZE; ++p) {
    if (CPU_ISSET(p, &set)) list.push_back(p);
  }
  return list;
}

char state_of(pid_t process) {
  std::ifstream file("/proc/" + std::to_string(process) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return text.at(text.rfind(')') + 2);
}

void hold_and_let_go(Mechanism& mechanism) {
  const std::vector<int> all = usable_processors();
  if (all.size() < 2) GTEST_SKIP() << "one processor: nothing to move between";
  const Spinner spinner;
  ASSERT_GE(spinner.threads().size(), 2u);
  const auto adopted = mechanism.adopt({{spinner.pid(), {}}, {0, {}}});
  ASSERT_TRUE(adopted) << adopted.error().message;
  const auto confined = mechanism.confine({all.front()});
  ASSERT_TRUE(confined) << confined.error().message;
  for (const pid_t thread : spinner.threads())
    EXPECT_EQ(processors_of(thread), std::vector<int>{all.front()});

  ASSERT_TRUE(mechanism.confine({}));  // none left: it stands still
  for (const pid_t thread : spinner.threads()) {
    while (state_of(thread) != 'T') sched_yield();
  }
  ASSERT_TRUE(mechanism.confine(all));
  for (const pid_t thread : spinner.threads()) {
    EXPECT_EQ(processors_of(thread), all);
    while (state_of(thread) == 'T') sched_yield();
  }
}

TEST(Mechanism, AffinityHoldsAProcessTree) {
  const auto mechanism = make_affinity_mechanism();
  hold_and_let_go(*mechanism);
}

TEST(Mechanism, CpusetHoldsAProcessTree) {
  auto mechanism = make_cpuset_mechanism("/sys/fs/cgroup");
  if (!mechanism) GTEST_SKIP() << mechanism.error().message;
  hold_and_let_go(**mechanism);
}

// Away while it is not allowed there, and back home afterwards.
void go_home(Mechanism& mechanism) {
  const std::vector<int> all = usable_processors();
  if (all.size() < 2) GTEST_SKIP() << "one processor: nothing to move between";
  const Spinner spinner;
  ASSERT_TRUE(mechanism.confine(all));
  ASSERT_TRUE(mechanism.adopt({{spinner.pid(), {all.back()}}}));
  const auto all_on = [&](int processor) {
    for (const pid_t thread : spinner.threads())
      EXPECT_EQ(processors_of(thread), std::vector<int>{processor});
  };
  all_on(all.back());
  ASSERT_TRUE(mechanism.confine({all.front()}));
  all_on(all.front());
  ASSERT_TRUE(mechanism.confine(all));
  ASSERT_TRUE(mechanism.adopt({{spinner.pid(), {all.back()}}}));  // before Linux 6.2: only then
  all_on(all.back());
}

TEST(Mechanism, AffinityKnowsAHome) {
  const auto mechanism = make_affinity_mechanism();
  go_home(*mechanism);
}

TEST(Mechanism, CpusetKnowsAHome) {
  auto mechanism = make_cpuset_mechanism("/sys/fs/cgroup");
  if (!mechanism) GTEST_SKIP() << mechanism.error().message;
  go_home(**mechanism);
}

TEST(Mechanism, AnEngineThatMovesItselfIsFoundAndPutBack) {
  const std::vector<int> all = usable_processors();
  if (all.size() < 2) GTEST_SKIP() << "one processor: nowhere to escape to";
  const Spinner spinner;
  const auto mechanism = make_affinity_mechanism();
  ASSERT_TRUE(mechanism->adopt({{spinner.pid(), {}}}));
  ASSERT_TRUE(mechanism->confine({all.front()}));
  cpu_set_t everywhere;
  CPU_ZERO(&everywhere);
  for (const int p : all) CPU_SET(p, &everywhere);
  ASSERT_EQ(sched_setaffinity(spinner.pid(), sizeof everywhere, &everywhere), 0);
  const auto strays = mechanism->adopt({{spinner.pid(), {}}});
  ASSERT_TRUE(strays);
  EXPECT_EQ(*strays, 1);
  EXPECT_EQ(processors_of(spinner.pid()), std::vector<int>{all.front()});
}

TEST(Mechanism, WhatCannotBeSaysWhy) {
  const auto nowhere = make_cpuset_mechanism("/nonexistent");
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("/nonexistent"), std::string::npos);
  const auto unknown = make_mechanism("magic", "/sys/fs/cgroup");
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().message.find("'magic'"), std::string::npos);
  const auto automatic = make_mechanism("auto", "/nonexistent");
  ASSERT_TRUE(automatic);
  EXPECT_EQ((*automatic)->name(), "affinity");
}

// Records what it is told; each confine() is one count of a semaphore for the test.
class FakeMechanism : public Mechanism {
 public:
  std::string name() const override { return "fake"; }
  Result<int> adopt(const std::vector<HeldProcess>&) override { return 3; }
  Result<void> confine(const std::vector<int>& processors) override {
    const std::lock_guard lock(mutex);
    told.push_back(processors);
    told_count.store(told.size());
    told_count.notify_all();
    if (refuse) return Error{"not today"};
    return {};
  }
  void wait_for(std::size_t count) const {
    for (std::size_t seen = told_count; seen < count; seen = told_count) told_count.wait(seen);
  }
  mutable std::mutex mutex;
  std::vector<std::vector<int>> told;
  std::atomic<std::size_t> told_count{0};
  bool refuse = false;
};

TEST(LeaseKeeper, CarriesOutEachDecisionAndGivesAllBackAtTheEnd) {
  auto owned = std::make_unique<FakeMechanism>();
  FakeMechanism& fake = *owned;
  LeaseCounters counters;
  MonotonicClock clock;
  std::vector<std::vector<int>> told;
  {
    LeaseKeeper keeper(
        {.radio_processors = {2, 3},
         .engine_processors = {0, 1, 2, 3},
         .own_processors = {},
         .fifo_priority = 0},
        std::move(owned), [] { return std::vector<HeldProcess>{}; }, counters, clock,
        [](const std::string&) {});
    fake.wait_for(1);
    keeper.decide(0b01);
    fake.wait_for(2);
    keeper.decide(0b01);  // no change, nobody is woken
    keeper.decide(0b11);
    fake.wait_for(3);
    keeper.decide(0);
    fake.wait_for(4);
    while (counters.strays.load() == 0) std::this_thread::yield();  // who looks around has begun
    const std::lock_guard lock(fake.mutex);
    told = fake.told;
  }
  const std::vector<std::vector<int>> expected = {{0, 1, 2, 3}, {0, 1, 3}, {0, 1}, {0, 1, 2, 3}};
  EXPECT_EQ(told, expected);
  EXPECT_EQ(counters.takes, 2u);
  EXPECT_EQ(counters.gives, 1u);
  EXPECT_EQ(counters.freed_ns.count(), 2u);
  EXPECT_GE(counters.strays, 3u);
}

// Reading /proc takes milliseconds, the time that a processor has to be freed in is a fraction.
TEST(LeaseKeeper, ADecisionDoesNotWaitForWhoLooksAround) {
  class SlowToAdopt final : public FakeMechanism {
   public:
    Result<int> adopt(const std::vector<HeldProcess>&) override {
      wait_for(2);
      return 0;
    }
  };
  auto owned = std::make_unique<SlowToAdopt>();
  FakeMechanism& fake = *owned;
  LeaseCounters counters;
  MonotonicClock clock;
  LeaseKeeper keeper(
      {.radio_processors = {1},
       .engine_processors = {0, 1},
       .own_processors = {},
       .fifo_priority = 0},
      std::move(owned), [] { return std::vector<HeldProcess>{}; }, counters, clock,
      [](const std::string&) {});
  fake.wait_for(1);
  keeper.decide(1);
  fake.wait_for(2);
  const std::lock_guard lock(fake.mutex);
  EXPECT_EQ(fake.told.back(), std::vector<int>{0});
}

// The system's list of processors, as a file that the test writes.
TEST(LeaseKeeper, KeepsEnginesOffAProcessorThatIsTakenOfflineAndSaysSo) {
  const std::filesystem::path online =
      std::filesystem::temp_directory_path() / ("noroshi_online_" + std::to_string(getpid()));
  const auto write = [&](const char* text) {  // at once, as the kernel does
    const std::filesystem::path part = online.string() + ".part";
    std::ofstream(part) << text;
    std::filesystem::rename(part, online);
  };
  write("0-3\n");
  auto owned = std::make_unique<FakeMechanism>();
  FakeMechanism& fake = *owned;
  LeaseCounters counters;
  MonotonicClock clock;
  std::vector<std::string> warnings;
  {
    LeaseKeeper keeper(
        {.radio_processors = {3},
         .engine_processors = {0, 1, 2, 3},
         .own_processors = {},
         .fifo_priority = 0,
         .online_path = online},
        std::move(owned), [] { return std::vector<HeldProcess>{}; }, counters, clock,
        [&](const std::string& text) {
          if (!text.empty()) warnings.push_back(text);
        });
    fake.wait_for(1);
    write("0,2-3\n");
    fake.wait_for(2);
    write("0,2\n");
    fake.wait_for(3);
    write("not a list\n");  // the last that was understood stands
    while (counters.failures.load() == 0) std::this_thread::yield();
    write("0-3\n");
    fake.wait_for(4);
    const std::lock_guard lock(fake.mutex);
    const std::vector<std::vector<int>> expected = {{0, 1, 2, 3}, {0, 2, 3}, {0, 2}, {0, 1, 2, 3}};
    EXPECT_EQ(fake.told, expected);
  }
  std::filesystem::remove(online);
  EXPECT_EQ(counters.offline, 2u);
  ASSERT_EQ(warnings.size(), 3u);
  EXPECT_EQ(warnings[0], "processor 1 was taken offline; engines use the others");
  EXPECT_NE(warnings[1].find("processor 3 was taken offline; the radio worker"), std::string::npos);
  EXPECT_NE(warnings[2].find("no list of processors"), std::string::npos);
}

TEST(Mechanism, AProcessorThatIsNotThereIsRefusedByName) {
  const Spinner spinner;
  const auto mechanism = make_affinity_mechanism();
  ASSERT_TRUE(mechanism->adopt({{spinner.pid(), {}}}));
  const auto refused = mechanism->confine({CPU_SETSIZE - 1});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("sched_setaffinity"), std::string::npos);
  ASSERT_TRUE(mechanism->confine(usable_processors()));
}

// Engines that make children all the time: each is found, or born where its parent is.
TEST(Mechanism, AnEngineThatForksIsHeldWithItsChildren) {
  const std::vector<int> all = usable_processors();
  if (all.size() < 2) GTEST_SKIP() << "one processor: nothing to move between";
  const pid_t forker = fork();
  if (forker == 0) {
    setpgid(0, 0);
    for (int i = 0;; ++i) {
      const pid_t child = fork();
      if (child == 0) {
        if (i % 2 == 0) _exit(0);
        pause();
      }
      if (i % 2 == 0) {
        waitpid(child, nullptr, 0);
      } else {
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
      }
    }
  }
  setpgid(forker, forker);
  for (const bool by_cpuset : {false, true}) {
    auto cpuset = make_cpuset_mechanism("/sys/fs/cgroup");
    if (by_cpuset && !cpuset) break;  // not allowed here
    const auto mechanism = by_cpuset ? *std::move(cpuset) : make_affinity_mechanism();
    for (int i = 0; i < 50; ++i) {
      const auto adopted = mechanism->adopt({{forker, {}}});
      EXPECT_TRUE(adopted) << adopted.error().message;
      const auto confined = mechanism->confine({all[static_cast<std::size_t>(i) % all.size()]});
      EXPECT_TRUE(confined) << confined.error().message;
    }
    for (const pid_t thread : threads_of(forker)) {
      cpu_set_t set;
      if (sched_getaffinity(thread, sizeof set, &set) == 0) {
        EXPECT_EQ(CPU_COUNT(&set), 1);
      }
    }
  }
  kill(-forker, SIGKILL);
  waitpid(forker, nullptr, 0);
}

// Somebody may look at control groups but make none. (A folder: root may write to any file.)
TEST(Mechanism, WithoutTheRightToMakeAGroupItSaysHowToGetIt) {
  const std::filesystem::path root =
      std::filesystem::temp_directory_path() / ("noroshi_groups_" + std::to_string(getpid()));
  std::filesystem::create_directories(root / "cgroup.subtree_control");
  std::ofstream(root / "cgroup.controllers") << "cpu cpuset memory\n";
  const auto refused = make_cpuset_mechanism(root);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("subtree_control"), std::string::npos);
  EXPECT_NE(refused.error().message.find("Delegate=cpuset"), std::string::npos);
  const auto fallback = make_mechanism("auto", root);
  ASSERT_TRUE(fallback);
  EXPECT_EQ((*fallback)->name(), "affinity");
  std::filesystem::remove_all(root);
}

TEST(LeaseKeeper, ARefusalIsAWarningOnceAndACount) {
  auto owned = std::make_unique<FakeMechanism>();
  owned->refuse = true;
  FakeMechanism& fake = *owned;
  LeaseCounters counters;
  MonotonicClock clock;
  std::vector<std::string> warnings;
  {
    LeaseKeeper keeper(
        {.radio_processors = {0},
         .engine_processors = {0},
         .own_processors = {},
         .fifo_priority = 0},
        std::move(owned), [] { return std::vector<HeldProcess>{}; }, counters, clock,
        [&](const std::string& text) {
          if (!text.empty()) warnings.push_back(text);
        });
    keeper.decide(1);
    fake.wait_for(2);
  }
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("not today"), std::string::npos);
  EXPECT_GE(counters.failures, 2u);
}

}  // namespace
}  // namespace noroshi::site
