// The shipping side: reading what waits, giving up what is safe elsewhere.

#include <algorithm>
#include <cassert>

#include "meter/spool/spool_state.h"

namespace noroshi::meter {

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
