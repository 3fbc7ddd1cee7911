// What is found at the start.

#include <algorithm>
#include <cstdio>
#include <optional>

#include "meter/spool/spool_state.h"

namespace noroshi::meter {
namespace {

constexpr std::string_view segment_suffix = ".seg";

// A segment's name as a number.
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

}  // namespace

std::string segment_name(std::uint64_t first_sequence) {
  char name[32];
  std::snprintf(name, sizeof name, "%016llx.seg", static_cast<unsigned long long>(first_sequence));
  return name;
}

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

}  // namespace noroshi::meter
