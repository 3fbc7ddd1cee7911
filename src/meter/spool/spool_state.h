#pragma once

// What the spool keeps. Inside this folder only.

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "meter/spool/segment.h"
#include "meter/spool/spool.h"

namespace noroshi::meter {

inline constexpr const char* spare_name = "spare";
inline constexpr const char* cursor_name = "cursor";
inline constexpr std::uint64_t cursor_bytes = 64;

std::string segment_name(std::uint64_t first_sequence);  // "0123456789abcdef.seg"

struct Segment {
  std::uint64_t first = 0;
  std::uint64_t end = segment_header_bytes;  // offset after the last committed frame
  std::uint64_t bytes = 0;                   // on the disk
  std::uint64_t frames = 0;                  // committed
  std::uint64_t number = 0;                  // of the file: an empty one may be replaced
};

struct Pending {
  std::string record;
  Spool::Done done;
  std::chrono::steady_clock::time_point deadline;
};

struct Spool::State {
  SpoolConfig config;
  std::unique_ptr<Files> files;

  mutable std::mutex mutex;  // of all that follows up to the blank line
  std::condition_variable work, committed;
  std::deque<Pending> queue;
  std::uint64_t queue_bytes = 0;
  std::deque<Segment> segments;  // ascending; the last may be the active one
  std::uint64_t last_number = 0;
  std::uint64_t durable = 0;  // highest sequence on the disk
  std::uint64_t cursor = 0;   // highest sequence that was shipped
  bool spare = false;
  bool stopping = false;
  std::string trouble;  // why the last commit failed; empty when it went well
  std::string no_room;  // why there is no spare
  SpoolCounters count;

  // The committing thread's alone.
  std::unique_ptr<File> active;  // none: the next batch opens a segment
  std::uint64_t active_offset = 0;
  std::unique_ptr<File> spare_file;
  std::thread thread;

  // The reading thread's alone.
  std::unique_ptr<File> read_file;
  std::uint64_t read_number = 0;  // of the open segment
  std::uint64_t read_offset = 0;
  std::uint64_t read_next = 0;
  std::uint64_t read_frames = 0;
  std::unique_ptr<File> cursor_file;

  ~State() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
      work.notify_all();
      committed.notify_all();
    }
    if (thread.joinable()) thread.join();
  }

  std::string path(const std::string& name) const { return config.directory + "/" + name; }
  std::uint64_t bytes_now() const;
  std::uint64_t room() const;
  void failed(const Error& error);

  // spool_recover.cpp
  Result<void> recover();
  Result<void> recover_segment(std::uint64_t first, std::uint64_t next_first);
  void read_cursor();

  // spool_ship.cpp
  void remove_shipped();
  Result<void> read_segment(const Segment& segment, std::uint64_t next_first, std::uint64_t after,
                            std::size_t records_max, std::vector<SpooledRecord>& records);

  // spool.cpp
  void run();
  void keep_spare();
  Result<void> open_segment();
  Result<std::size_t> commit(const std::deque<Pending>& batch);
  void give_up(std::deque<Pending>& batch);
};

}  // namespace noroshi::meter
