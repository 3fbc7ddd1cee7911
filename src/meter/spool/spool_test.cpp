// Catches: a spool that loses a record of which it said that it is safe, gives one out twice or
// changed, hangs, or lets requests in whose records it could not keep.

#include "meter/spool/spool.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <future>
#include <set>

#include "meter/spool/fault_files_test.h"
#include "meter/spool/segment.h"

namespace noroshi::meter {
namespace {

std::uint64_t test_seed() {
  const char* text = std::getenv("NOROSHI_TEST_SEED");
  const std::uint64_t seed = text != nullptr ? std::strtoull(text, nullptr, 10) : 1;
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

SpoolConfig small(const std::string& directory = "d") {
  return {.directory = directory,
          .segment_bytes = 4 * record_bytes_max,
          .bytes_max = 1 << 20,
          .reserve_bytes = record_bytes_max,
          .retry_ms = 1,
          .commit_wait_max_ms = 0};
}

std::string record_of(std::uint64_t number, Prng& prng) {
  return std::to_string(number) + ":" +
         std::string(prng.below(900), static_cast<char>('a' + number % 26));
}
std::uint64_t number_of(const std::string& record) { return std::stoull(record); }

// Appends and waits for the outcome.
Result<void> append(Spool& spool, std::string record) {
  std::promise<Result<void>> outcome;
  spool.append(std::move(record), [&](const Result<void>& done) { outcome.set_value(done); });
  return outcome.get_future().get();
}

std::vector<std::string> everything(Spool& spool) {
  std::vector<std::string> all;
  std::uint64_t after = spool.trimmed_up_to();
  for (;;) {
    const auto some = spool.read(after, 7);
    if (!some) {
      ADD_FAILURE() << some.error().message;
      return all;
    }
    if (some->empty()) return all;
    for (const SpooledRecord& record : *some) {
      EXPECT_GT(record.sequence, after);
      after = record.sequence;
      all.push_back(record.record);
    }
  }
}

TEST(Segment, FramesComeBackAndDamageIsCounted) {
  std::string bytes = segment_header(40);
  std::vector<std::size_t> ends;
  for (std::uint64_t i = 0; i < 5; ++i) {
    append_frame(bytes, 40 + i, "record " + std::to_string(i));
    ends.push_back(bytes.size());
  }
  bytes.append(100, '\0');
  ASSERT_TRUE(read_segment_header(bytes));
  EXPECT_EQ(*read_segment_header(bytes), 40u);
  SegmentScan scan = scan_frames(bytes, segment_header_bytes, 40);
  ASSERT_EQ(scan.frames.size(), 5u);
  EXPECT_EQ(scan.frames[4].record, "record 4");
  EXPECT_EQ(scan.end, ends[4]);
  EXPECT_FALSE(scan.torn);
  EXPECT_EQ(scan.missing, 0u);

  // A bit in the middle: the one frame is missing, the others are found.
  std::string damaged = bytes;
  damaged[ends[1] + 20] ^= 1;
  scan = scan_frames(damaged, segment_header_bytes, 40);
  ASSERT_EQ(scan.frames.size(), 4u);
  EXPECT_EQ(scan.missing, 1u);
  EXPECT_EQ(scan.frames[2].sequence, 43u);
  EXPECT_FALSE(scan.torn);

  // A torn last one.
  std::string torn = bytes;
  torn[ends[4] - 1] = 0;
  scan = scan_frames(torn, segment_header_bytes, 40);
  EXPECT_EQ(scan.frames.size(), 4u);
  EXPECT_TRUE(scan.torn);
  EXPECT_EQ(scan.missing, 0u);
  EXPECT_EQ(scan.end, ends[3]);

  // What a later segment's sequences disown.
  EXPECT_EQ(scan_frames(bytes, segment_header_bytes, 40, 43).frames.size(), 3u);
}

TEST(Segment, HeaderErrorsSayWhatIsWrong) {
  std::string bytes = segment_header(7);
  EXPECT_NE(read_segment_header("").error().message.find("0 bytes"), std::string::npos);
  bytes[9] ^= 1;
  EXPECT_NE(read_segment_header(bytes).error().message.find("checksum"), std::string::npos);
  bytes[0] = 'X';
  EXPECT_NE(read_segment_header(bytes).error().message.find("NSPOOL01"), std::string::npos);
}

TEST(Spool, RecordsComeInOrderAcrossSegmentsAndRestarts) {
  FaultDisk disk(1);
  Prng prng(test_seed());
  std::vector<std::string> written;
  for (int start = 0; start < 3; ++start) {
    auto spool = Spool::open(small(), disk.files());
    ASSERT_TRUE(spool) << spool.error().message;
    EXPECT_EQ(everything(*spool), written);
    for (int i = 0; i < 60; ++i) {
      written.push_back(record_of(written.size(), prng));
      ASSERT_TRUE(append(*spool, written.back()));
    }
    EXPECT_EQ(everything(*spool), written);
    EXPECT_GE(spool->counters().bytes, 3u * small().segment_bytes);
  }
}

TEST(Spool, TrimmingRemovesSegmentsAndSurvivesARestart) {
  FaultDisk disk(1);
  Prng prng(test_seed());
  {
    auto spool = Spool::open(small(), disk.files());
    ASSERT_TRUE(spool);
    for (std::uint64_t i = 1; i <= 200; ++i) ASSERT_TRUE(append(*spool, record_of(i, prng)));
    const std::uint64_t before = spool->counters().bytes;
    ASSERT_TRUE(spool->trim(150));
    EXPECT_LT(spool->counters().bytes, before);
    EXPECT_EQ(spool->counters().waiting, 50u);
    EXPECT_EQ(number_of(everything(*spool).front()), 151u);
  }
  auto spool = Spool::open(small(), disk.files());
  ASSERT_TRUE(spool);
  EXPECT_EQ(spool->trimmed_up_to(), 150u);
  EXPECT_EQ(spool->counters().recovered, 50u);
  ASSERT_TRUE(spool->trim(200));
  ASSERT_TRUE(append(*spool, "201"));
  EXPECT_EQ(everything(*spool), std::vector<std::string>{"201"});
}

// One life of a process with a spool, until the disk dies under it or it has appended enough.
struct Lives {
  std::map<std::uint64_t, std::string> appended = {};
  std::set<std::uint64_t> safe = {};
  std::set<std::uint64_t> shipped = {};
  std::mutex mutex = {};

  void check_found(Spool& spool) {
    std::multiset<std::uint64_t> found;
    for (const std::string& record : everything(spool)) {
      ASSERT_EQ(record, appended.at(number_of(record)));
      found.insert(number_of(record));
    }
    for (const std::uint64_t n : safe) {
      // A shipped one may come again: the note of how far shipping went is not synced.
      ASSERT_LE(found.count(n), 1u) << "record " << n;
      ASSERT_GE(found.count(n) + shipped.count(n), 1u) << "record " << n;
    }
  }
  void ship_some(Spool& spool) {
    const auto some = spool.read(spool.trimmed_up_to(), 5);
    ASSERT_TRUE(some);
    for (const SpooledRecord& record : *some) shipped.insert(number_of(record.record));
    // An error leaves them there, perhaps: they may be shipped again.
    if (!some->empty()) static_cast<void>(spool.trim(some->back().sequence));
  }
  void append_some(Spool& spool, Prng& prng) {
    const std::uint64_t records = 20 + prng.below(60);
    for (std::uint64_t i = 0; i < records; ++i) {
      const std::uint64_t n = appended.size();
      appended[n] = record_of(n, prng);
      const auto done = [this, n](const Result<void>& outcome) {
        const std::lock_guard lock(mutex);
        if (outcome) safe.insert(n);
      };
      if (prng.below(3) == 0) {
        done(append(spool, appended[n]));
      } else {
        spool.append(appended[n], done);
      }
      if (prng.below(20) == 0) ship_some(spool);
    }
  }
};

// The property: whatever dies when, a record that was said to be safe is there, once, as it was
// written; and nothing is there that nobody appended.
TEST(Spool, LosesNothingWhereverTheDiskDies) {
  const std::uint64_t seed = test_seed();
  std::size_t safe = 0;
  std::size_t unsafe = 0;
  for (std::uint64_t round = 0; round < 150; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Prng prng(seed, round);
    FaultDisk disk(prng());
    Lives lives;
    for (int life = 0; life < 4; ++life) {
      {
        auto spool = Spool::open(small(), disk.files());
        ASSERT_TRUE(spool) << spool.error().message;
        lives.check_found(*spool);
        if (HasFatalFailure()) return;
        disk.die_after(static_cast<std::int64_t>(5 + prng.below(60)));
        lives.append_some(*spool, prng);
      }
      disk.crash();
    }
    safe += lives.safe.size();
    unsafe += lives.appended.size() - lives.safe.size();
  }
  EXPECT_GT(safe, 5000u);
  EXPECT_GT(unsafe, 500u);
}

// The same with a real disk and a real process that is killed: the child writes down in a pipe what
// is safe, the parent kills it in the middle.
TEST(Spool, LosesNothingWhenTheProcessIsKilled) {
  Prng prng(test_seed());
  const std::string directory =
      (std::filesystem::temp_directory_path() / ("spool-" + std::to_string(getpid()))).string();
  std::filesystem::remove_all(directory);
  std::set<std::uint64_t> safe;
  std::uint64_t number = 0;
  for (int life = 0; life < 6; ++life) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    const pid_t child = fork();
    if (child == 0) {
      close(pipe_fds[0]);
      SpoolConfig config = small(directory);
      config.bytes_max = 1 << 28;
      auto spool = Spool::open(config);
      if (!spool) _exit(1);
      for (std::uint64_t n = number;; ++n) {
        const auto done = [n, fd = pipe_fds[1]](const Result<void>& outcome) {
          if (outcome && write(fd, &n, sizeof n) != sizeof n) _exit(2);
        };
        const std::string record = record_of(n, prng);
        if (n % 50 == 0) {
          done(append(*spool, record));
        } else {
          spool->append(record, done);
        }
      }
    }
    close(pipe_fds[1]);
    const std::uint64_t enough = safe.size() + 100 + prng.below(2000);
    std::uint64_t n = 0;
    while (read(pipe_fds[0], &n, sizeof n) == sizeof n) {
      safe.insert(n);
      if (safe.size() == enough) kill(child, SIGKILL);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    close(pipe_fds[0]);

    SpoolConfig config = small(directory);
    config.bytes_max = 1 << 28;
    auto spool = Spool::open(config);
    ASSERT_TRUE(spool) << spool.error().message;
    EXPECT_EQ(spool->counters().missing, 0u);
    std::multiset<std::uint64_t> found;
    for (const std::string& record : everything(*spool)) found.insert(number_of(record));
    for (const std::uint64_t one : safe) ASSERT_EQ(found.count(one), 1u) << one;
    number = *found.rbegin() + 1;
  }
  std::filesystem::remove_all(directory);
}

TEST(Spool, RefusesBeforeTheDiskIsFullAndLosesNothing) {
  FaultDisk disk(1);
  Prng prng(test_seed());
  disk.set_capacity(6 * small().segment_bytes);
  auto spool = Spool::open(small(), disk.files());
  ASSERT_TRUE(spool);
  std::vector<std::string> written;
  while (spool->accepts()) {
    written.push_back(record_of(written.size(), prng));
    ASSERT_TRUE(append(*spool, written.back()));
  }
  EXPECT_NE(spool->why_not().find("No space left"), std::string::npos) << spool->why_not();
  EXPECT_GT(spool->counters().errors, 0u);
  // The records of those that were let in before still have their place.
  for (std::uint64_t bytes = 0; bytes + 1000 < small().reserve_bytes; bytes += 1000) {
    written.push_back(record_of(written.size(), prng));
    ASSERT_TRUE(append(*spool, written.back()));
  }
  EXPECT_EQ(spool->counters().refused, 0u);
  EXPECT_EQ(everything(*spool), written);
  // Beyond it an error says so, and room makes it go on.
  while (append(*spool, std::string(4000, 'x'))) {
  }
  EXPECT_FALSE(spool->accepts());
  const auto refused = append(*spool, std::string(4000, 'x'));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("No space left"), std::string::npos);
  disk.set_capacity(100 * small().segment_bytes);
  ASSERT_TRUE(append(*spool, "room again"));
  EXPECT_TRUE(spool->accepts());
  EXPECT_TRUE(spool->why_not().empty());
  EXPECT_EQ(everything(*spool).back(), "room again");
}

TEST(Spool, ItsOwnLimitAlsoTurnsRequestsAwayUntilRecordsAreShipped) {
  FaultDisk disk(1);
  SpoolConfig config = small();
  config.bytes_max = 3 * config.segment_bytes;
  auto spool = Spool::open(config, disk.files());
  ASSERT_TRUE(spool);
  std::uint64_t records = 0;
  while (spool->accepts()) {
    ASSERT_TRUE(append(*spool, std::string(1000, 'x')));
    ++records;
  }
  EXPECT_NE(spool->why_not().find("limit of 49152 bytes"), std::string::npos) << spool->why_not();
  ASSERT_TRUE(spool->trim(records));
  while (!spool->accepts()) static_cast<void>(append(*spool, "y"));
}

TEST(Spool, ASyncThatFailsIsDoneAgain) {
  FaultDisk disk(1);
  {
    SpoolConfig patient = small();
    patient.commit_wait_max_ms = 60'000;
    auto spool = Spool::open(patient, disk.files());
    ASSERT_TRUE(spool);
    ASSERT_TRUE(append(*spool, "before"));
    disk.fail_syncs(3);
    ASSERT_TRUE(append(*spool, "after"));
    EXPECT_EQ(spool->counters().errors, 3u);
    disk.die_after(0);
  }
  disk.crash();
  auto spool = Spool::open(small(), disk.files());
  ASSERT_TRUE(spool);
  EXPECT_EQ(everything(*spool), (std::vector<std::string>{"before", "after"}));
}

TEST(Spool, ARecordThatWasGivenUpDoesNotComeBackAfterOthers) {
  FaultDisk disk(1);
  {
    auto spool = Spool::open(small(), disk.files());
    ASSERT_TRUE(spool);
    ASSERT_TRUE(append(*spool, "one"));
    disk.fail_syncs(1);
    ASSERT_FALSE(append(*spool, "given up"));
    ASSERT_TRUE(append(*spool, "two"));
    EXPECT_EQ(spool->counters().refused, 1u);
    EXPECT_EQ(everything(*spool), (std::vector<std::string>{"one", "two"}));
  }
  auto spool = Spool::open(small(), disk.files());
  ASSERT_TRUE(spool);
  EXPECT_EQ(everything(*spool), (std::vector<std::string>{"one", "two"}));
}

TEST(Spool, DamageIsCountedAndTheRestIsThere) {
  FaultDisk disk(1);
  {
    auto spool = Spool::open(small(), disk.files());
    ASSERT_TRUE(spool);
    for (int i = 0; i < 60; ++i) ASSERT_TRUE(append(*spool, std::string(600, 'a')));
  }
  auto names = disk.contents();
  disk.overwrite("d/0000000000000001.seg", segment_header_bytes + 5 * 616 + 100, "garbage");
  disk.overwrite(std::next(names.find("d/0000000000000001.seg"))->first, 9, "garbage");
  auto spool = Spool::open(small(), disk.files());
  ASSERT_TRUE(spool) << spool.error().message;
  EXPECT_EQ(spool->counters().errors, 1u);  // the segment whose header is gone, set aside
  EXPECT_EQ(everything(*spool).size(), 60u - 1u - 26u);
  EXPECT_GE(spool->counters().missing, 2u);
  bool kept = false;
  for (const auto& [name, bytes] : disk.contents()) kept = kept || name.ends_with(".damaged");
  EXPECT_TRUE(kept);
}

TEST(Spool, RefusesWhatItCannotBeAsked) {
  FaultDisk disk(1);
  auto spool = Spool::open(small(), disk.files());
  ASSERT_TRUE(spool);
  EXPECT_NE(append(*spool, "").error().message.find("empty"), std::string::npos);
  EXPECT_NE(append(*spool, std::string(record_bytes_max + 1, 'x')).error().message.find("4097"),
            std::string::npos);
  SpoolConfig config = small();
  config.segment_bytes = 100;
  EXPECT_NE(Spool::open(config, disk.files()).error().message.find("segment_bytes 100"),
            std::string::npos);
  EXPECT_FALSE(Spool::open({}, disk.files()));
  const auto denied = Spool::open(small("/proc/no/such"));
  ASSERT_FALSE(denied);
  EXPECT_NE(denied.error().message.find("/proc/no/such"), std::string::npos);
}

TEST(Spool, OneProcessAtATime) {
  const std::string directory =
      (std::filesystem::temp_directory_path() / ("lock-" + std::to_string(getpid()))).string();
  {
    auto first = Spool::open(small(directory));
    ASSERT_TRUE(first) << first.error().message;
    const auto second = Spool::open(small(directory));
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("in use by another process"), std::string::npos);
  }
  EXPECT_TRUE(Spool::open(small(directory)));
  std::filesystem::remove_all(directory);
}

TEST(Spool, ManyWaitersShareASync) {
  FaultDisk disk(1);
  SpoolConfig config = small();
  config.segment_bytes = 1 << 20;
  config.bytes_max = 1 << 22;
  auto spool = Spool::open(config, disk.files());
  ASSERT_TRUE(spool);
  std::atomic<int> done = 0;
  {
    // The first one's sync waits for us: the others gather meanwhile.
    std::promise<void> gathered;
    spool->append("first", [&](const Result<void>&) {
      gathered.get_future().wait();
      ++done;
    });
    for (int i = 0; i < 1000; ++i) {
      spool->append("more", [&](const Result<void>& outcome) { done += outcome.ok(); });
    }
    gathered.set_value();
    ASSERT_TRUE(append(*spool, "last"));
  }
  EXPECT_EQ(done, 1001);
  EXPECT_LE(spool->counters().syncs, 3u);
}

}  // namespace
}  // namespace noroshi::meter
