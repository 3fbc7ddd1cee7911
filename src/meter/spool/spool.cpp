#include "meter/spool/spool.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <deque>
#include <mutex>
#include <optional>
#include <thread>

#include "gateway/thread.h"
#include "meter/spool/segment.h"

namespace noroshi::meter {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

constexpr std::string_view segment_suffix = ".seg";
constexpr const char* spare_name = "spare";
constexpr const char* cursor_name = "cursor";
constexpr std::uint64_t cursor_bytes = 64;

std::string segment_name(std::uint64_t first_sequence) {
  char name[32];
  std::snprintf(name, sizeof name, "%016llx.seg", static_cast<unsigned long long>(first_sequence));
  return name;
}

// "0123456789abcdef.seg" as a number.
std::optional<std::uint64_t> sequence_of(const std::string& name) {
  if (name.size() != 16 + segment_suffix.size() || !name.ends_with(segment_suffix)) return {};
  std::uint64_t sequence = 0;
  for (const char c : name.substr(0, 16)) {
    const auto digit = std::string_view("0123456789abcdef").find(c);
    if (digit == std::string_view::npos) return {};
    sequence = sequence << 4 | digit;
  }
  return sequence;
}

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
  SteadyTime deadline;
};

}  // namespace

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

  Result<void> recover();
  Result<void> recover_segment(std::uint64_t first, std::uint64_t next_first);
  void read_cursor();
  void remove_shipped();
  Result<void> read_segment(const Segment& segment, std::uint64_t next_first, std::uint64_t after,
                            std::size_t records_max, std::vector<SpooledRecord>& records);

  void run();
  void keep_spare();
  Result<void> open_segment();
  Result<std::size_t> commit(const std::deque<Pending>& batch);
  void give_up(std::deque<Pending>& batch);
};

std::uint64_t Spool::State::bytes_now() const {
  std::uint64_t bytes = spare ? config.segment_bytes : 0;
  for (const Segment& segment : segments) bytes += segment.bytes;
  return bytes;
}

// What is set aside and not promised yet. The last frame of a segment may leave room unused.
std::uint64_t Spool::State::room() const {
  const std::uint64_t rest = config.segment_bytes - active_offset;
  std::uint64_t bytes = active_offset == 0 || rest < record_bytes_max ? 0 : rest - record_bytes_max;
  if (spare) bytes += config.segment_bytes - segment_header_bytes - record_bytes_max;
  return bytes - std::min(bytes, queue_bytes);
}

void Spool::State::failed(const Error& error) {
  const std::lock_guard lock(mutex);
  ++count.errors;
  trouble = error.message;
}

// --- start -------------------------------------------------------------------------------------

Result<void> Spool::State::recover_segment(std::uint64_t first, std::uint64_t next_first) {
  const std::string name = segment_name(first);
  auto file = files->open(path(name));
  if (!file) return file.error();
  const std::uint64_t size = (*file)->size();
  const auto bytes = (*file)->read_at(0, size);
  if (!bytes) return bytes.error();
  const auto header = read_segment_header(*bytes);
  if (!header || *header != first) {
    // Kept for a person to look at: it may hold records, but nothing says which.
    ++count.errors;
    count.missing += next_first == ~std::uint64_t{0} ? 1 : next_first - first;
    durable = first + config.segment_bytes / frame_header_bytes;  // none of its sequences again
    trouble = path(name) + " " + (header ? "has another's header" : header.error().message);
    return files->rename(path(name), path(name + ".damaged"));
  }
  const SegmentScan scan = scan_frames(*bytes, segment_header_bytes, first, next_first);
  count.missing += scan.missing;
  if (scan.torn) ++count.torn;
  if (scan.end < size) {
    if (auto cut = (*file)->truncate(scan.end); !cut) return cut;
    if (auto synced = (*file)->sync(); !synced) return synced;
  }
  for (const Frame& frame : scan.frames) {
    if (frame.sequence > cursor) ++count.recovered;
    durable = std::max(durable, frame.sequence);
  }
  segments.push_back({first, scan.end, scan.end, scan.frames.size(), ++last_number});
  return {};
}

// The cursor only saves work: without it everything is shipped again, and known by its id.
void Spool::State::read_cursor() {
  auto file = files->open(path(cursor_name));
  if (!file) return;
  const auto bytes = (*file)->read_at(0, cursor_bytes);
  if (!bytes) return;
  const auto sequence = read_segment_header(*bytes);
  if (sequence) cursor = *sequence;
}

Result<void> Spool::State::recover() {
  if (auto claimed = files->claim(config.directory); !claimed) return claimed;
  read_cursor();
  auto names = files->list(config.directory);
  if (!names) return names.error();
  std::vector<std::uint64_t> firsts;
  for (const std::string& name : *names) {
    if (const auto first = sequence_of(name)) firsts.push_back(*first);
  }
  std::ranges::sort(firsts);
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    const std::uint64_t next = i + 1 < firsts.size() ? firsts[i + 1] : ~std::uint64_t{0};
    if (auto recovered = recover_segment(firsts[i], next); !recovered) return recovered;
  }
  durable = std::max(durable, cursor);
  if (auto removed = files->remove(path(spare_name)); !removed) return removed;
  auto file = files->create(path(cursor_name), cursor_bytes);
  if (file) {
    cursor_file = std::move(*file);
    if (auto kept = cursor_file->write_at(0, segment_header(cursor)); !kept) return kept;
  } else {
    ++count.errors;  // a full disk: shipping makes room
    trouble = file.error().message;
  }
  remove_shipped();
  return {};
}

// --- committing --------------------------------------------------------------------------------

void Spool::State::keep_spare() {
  {
    const std::lock_guard lock(mutex);
    if (spare) return;
    if (bytes_now() + config.segment_bytes > config.bytes_max) {
      no_room = "the spool " + config.directory + " has reached its limit of " +
                std::to_string(config.bytes_max) + " bytes: its records are not shipped";
      return;
    }
  }
  auto file = files->create(path(spare_name), config.segment_bytes);
  const std::lock_guard lock(mutex);
  if (!file) {
    ++count.errors;
    no_room = file.error().message;
    return;
  }
  spare_file = std::move(*file);
  spare = true;
  no_room.clear();
}

// The spare becomes the segment of the records after `durable`.
Result<void> Spool::State::open_segment() {
  keep_spare();
  std::uint64_t first = 0;
  {
    const std::lock_guard lock(mutex);
    if (!spare) return Error{no_room};
    first = durable + 1;
  }
  if (auto written = spare_file->write_at(0, segment_header(first)); !written) return written;
  if (auto synced = spare_file->sync(); !synced) return synced;
  if (auto named = files->rename(path(spare_name), path(segment_name(first))); !named) return named;
  {
    const std::lock_guard lock(mutex);
    // An empty one of the same name was there when a batch was given up: rename() replaced it.
    if (!segments.empty() && segments.back().first == first) segments.pop_back();
    segments.push_back({first, segment_header_bytes, config.segment_bytes, 0, ++last_number});
    spare = false;
    active_offset = segment_header_bytes;
  }
  active = std::move(spare_file);
  if (auto synced = files->sync_directory(config.directory); !synced) return synced;
  keep_spare();
  return {};
}

// Writes what fits into the segment and syncs it. Returns how many records that are.
Result<std::size_t> Spool::State::commit(const std::deque<Pending>& batch) {
  const auto fits = [this](const Pending& next, std::size_t before) {
    return active_offset + before + frame_header_bytes + next.record.size() <= config.segment_bytes;
  };
  if (!active || !fits(batch.front(), 0)) {
    active.reset();
    if (auto opened = open_segment(); !opened) return opened.error();
  }
  std::string bytes;
  std::size_t records = 0;
  std::uint64_t sequence = durable;
  while (records < batch.size() && fits(batch[records], bytes.size())) {
    append_frame(bytes, ++sequence, batch[records++].record);
  }
  if (auto written = active->write_at(active_offset, bytes); !written) return written.error();
  if (auto synced = active->sync(); !synced) return synced.error();
  const std::lock_guard lock(mutex);
  active_offset += bytes.size();
  segments.back().end = active_offset;
  segments.back().frames += records;
  durable = sequence;
  count.appended += records;
  ++count.syncs;
  trouble.clear();
  committed.notify_all();
  return records;
}

// The records whose time is up. What was written of them may be on the disk: the segment ends here,
// so that the next one's sequences say that it does not count.
void Spool::State::give_up(std::deque<Pending>& batch) {
  active.reset();
  const Result<void> error = Error{"the record is not safe on the disk: " + trouble};
  std::size_t given_up = 0;
  const auto now = std::chrono::steady_clock::now();
  while (!batch.empty() && batch.front().deadline <= now) {
    batch.front().done(error);
    batch.pop_front();
    ++given_up;
  }
  const std::lock_guard lock(mutex);
  active_offset = 0;
  count.refused += given_up;
}

void Spool::State::run() {
  std::deque<Pending> batch;
  const auto retry = std::chrono::milliseconds(config.retry_ms);
  for (;;) {
    bool last = false;
    {
      std::unique_lock lock(mutex);
      const auto something = [this] { return stopping || !queue.empty(); };
      if (!batch.empty()) {
        work.wait_for(lock, retry, [this] { return stopping; });
      } else if (spare) {
        work.wait(lock, something);
      } else {
        work.wait_for(lock, retry, something);
      }
      last = stopping;
      std::ranges::move(queue, std::back_inserter(batch));
      queue.clear();
    }
    keep_spare();
    while (!batch.empty()) {
      const auto done = commit(batch);
      if (!done) {
        failed(done.error());
        if (last) {
          for (Pending& pending : batch) pending.deadline = {};
        }
        give_up(batch);
        break;
      }
      std::uint64_t bytes = 0;
      for (std::size_t i = 0; i < *done; ++i) {
        bytes += batch.front().record.size() + frame_header_bytes;
        batch.front().done({});
        batch.pop_front();
      }
      const std::lock_guard lock(mutex);
      queue_bytes -= std::min(queue_bytes, bytes);
    }
    if (last && batch.empty()) return;
  }
}

// --- the caller's side -------------------------------------------------------------------------

Spool::Spool() = default;
Spool::Spool(Spool&&) noexcept = default;
Spool& Spool::operator=(Spool&&) noexcept = default;
Spool::~Spool() = default;

Result<Spool> Spool::open(SpoolConfig config, std::unique_ptr<Files> files) {
  if (config.directory.empty()) return Error{"spool: name a folder"};
  const auto wrong = [](const char* field, std::uint64_t value, const char* must) {
    return Error{std::string("spool: ") + field + " " + std::to_string(value) + " must be " + must};
  };
  if (config.segment_bytes < 4 * record_bytes_max) {
    return wrong("segment_bytes", config.segment_bytes, "16384 or more");
  }
  if (config.bytes_max < 2 * config.segment_bytes) {
    return wrong("bytes_max", config.bytes_max, "two segments or more");
  }
  if (config.reserve_bytes > config.segment_bytes - 2 * record_bytes_max) {
    return wrong("reserve_bytes", config.reserve_bytes, "less than a segment by 8192 bytes");
  }
  Spool spool;
  spool.state_ = std::make_unique<State>();
  State& state = *spool.state_;
  state.config = std::move(config);
  state.files = std::move(files);
  if (auto recovered = state.recover(); !recovered) {
    return Error{"spool: " + recovered.error().message};
  }
  state.keep_spare();
  state.thread = gateway::ordinary_thread("spool", [&state] { state.run(); });
  return spool;
}

void Spool::append(std::string record, Done done) {
  const std::size_t size = record.size();
  std::string wrong;
  if (size == 0) wrong = "the record is empty";
  if (size > record_bytes_max) {
    wrong = "the record has " + std::to_string(size) + " bytes, more than " +
            std::to_string(record_bytes_max);
  }
  if (wrong.empty()) {
    const auto deadline = std::chrono::steady_clock::now() +
                          std::chrono::milliseconds(state_->config.commit_wait_max_ms);
    const std::lock_guard lock(state_->mutex);
    if (state_->queue.size() < static_cast<std::size_t>(state_->config.queue_max)) {
      state_->queue.push_back({std::move(record), std::move(done), deadline});
      state_->queue_bytes += size + frame_header_bytes;
      state_->work.notify_one();
      return;
    }
    wrong = "queue_max " + std::to_string(state_->config.queue_max) +
            " records wait for the disk: " + state_->trouble;
  }
  {
    const std::lock_guard lock(state_->mutex);
    ++state_->count.refused;
  }
  done(Error{"spool: " + wrong});
}

bool Spool::accepts() const {
  const std::lock_guard lock(state_->mutex);
  return state_->room() >= state_->config.reserve_bytes;
}

std::string Spool::why_not() const {
  const std::lock_guard lock(state_->mutex);
  if (state_->room() >= state_->config.reserve_bytes) return {};
  return state_->no_room.empty() ? "the spool's next segment is being set aside" : state_->no_room;
}

SpoolCounters Spool::counters() const {
  const std::lock_guard lock(state_->mutex);
  SpoolCounters counters = state_->count;
  counters.waiting = state_->durable - std::min(state_->durable, state_->cursor);
  counters.bytes = state_->bytes_now();
  return counters;
}

// --- the shipping side -------------------------------------------------------------------------

bool Spool::wait(std::uint64_t after, int timeout_ms) {
  std::unique_lock lock(state_->mutex);
  return state_->committed.wait_for(lock, std::chrono::milliseconds(timeout_ms), [&] {
    return state_->stopping || state_->durable > after;
  }) && state_->durable > after;
}

// Reads on where the last call ended, or from the segment's start.
Result<void> Spool::State::read_segment(const Segment& segment, std::uint64_t next_first,
                                        std::uint64_t after, std::size_t records_max,
                                        std::vector<SpooledRecord>& records) {
  if (!read_file || read_number != segment.number || read_next > after + 1) {
    auto file = files->open(path(segment_name(segment.first)));
    if (!file) return file.error();
    read_file = std::move(*file);
    read_number = segment.number;
    read_next = segment.first;
    read_offset = segment_header_bytes;
    read_frames = 0;
  }
  if (read_offset == segment.end) return {};
  const auto bytes = read_file->read_at(read_offset, segment.end - read_offset);
  if (!bytes) return bytes.error();
  const SegmentScan scan = scan_frames(*bytes, 0, read_next, next_first);
  for (const Frame& frame : scan.frames) {
    if (records.size() == records_max) break;
    read_offset += frame.end - (&frame == scan.frames.data() ? 0 : (&frame)[-1].end);
    read_next = frame.sequence + 1;
    ++read_frames;
    if (frame.sequence > after) records.push_back({frame.sequence, std::string(frame.record)});
  }
  if (records.size() == records_max) return {};
  read_offset = segment.end;
  if (read_frames < segment.frames) {
    const std::lock_guard lock(mutex);  // the disk has changed what it had kept
    count.missing += segment.frames - read_frames;
    read_frames = segment.frames;
  }
  return {};
}

Result<std::vector<SpooledRecord>> Spool::read(std::uint64_t after, std::size_t records_max) {
  State& state = *state_;
  std::vector<Segment> segments;
  {
    const std::lock_guard lock(state.mutex);
    segments.assign(state.segments.begin(), state.segments.end());
  }
  std::vector<SpooledRecord> records;
  for (std::size_t i = 0; i < segments.size() && records.size() < records_max; ++i) {
    const bool last = i + 1 == segments.size();
    const std::uint64_t next_first = last ? ~std::uint64_t{0} : segments[i + 1].first;
    if (next_first <= after + 1) continue;
    const auto read = state.read_segment(segments[i], next_first, after, records_max, records);
    if (!read) return Error{"spool: " + read.error().message};
  }
  return records;
}

void Spool::State::remove_shipped() {
  for (;;) {
    std::uint64_t first = 0;
    {
      const std::lock_guard lock(mutex);
      // The last one stays, all shipped or not: it says after a restart which sequences were used.
      if (segments.size() < 2 || segments[1].first > cursor + 1) return;
      first = segments.front().first;
      segments.pop_front();
    }
    if (auto removed = files->remove(path(segment_name(first))); !removed) failed(removed.error());
  }
}

Result<void> Spool::trim(std::uint64_t up_to) {
  {
    const std::lock_guard lock(state_->mutex);
    assert(up_to <= state_->durable);
    if (up_to <= state_->cursor) return {};
    state_->count.trimmed += up_to - state_->cursor;
    state_->cursor = up_to;
  }
  state_->remove_shipped();
  if (!state_->cursor_file) return {};
  if (auto kept = state_->cursor_file->write_at(0, segment_header(up_to)); !kept) return kept;
  return {};
}

std::uint64_t Spool::trimmed_up_to() const {
  const std::lock_guard lock(state_->mutex);
  return state_->cursor;
}

}  // namespace noroshi::meter
