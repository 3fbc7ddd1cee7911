#include "meter/spool/spool.h"

#include <algorithm>

#include "gateway/thread.h"
#include "meter/spool/spool_state.h"

namespace noroshi::meter {

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

}  // namespace noroshi::meter
