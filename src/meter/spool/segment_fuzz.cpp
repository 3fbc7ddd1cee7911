// Catches: a segment on the disk whose bytes make the scan read past it, loop, or hand out a record
// that nobody wrote.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "meter/spool/segment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::meter;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto first = read_segment_header(bytes);
  const std::uint64_t next = first ? *first : 1;
  const SegmentScan scan = scan_frames(bytes, segment_header_bytes, next);
  std::uint64_t expected = next;
  std::size_t before = 0;
  for (const Frame& frame : scan.frames) {
    // Rising, inside the bytes, one after the other, and written again they are the same bytes.
    if (frame.sequence < expected || frame.end > size || frame.end <= before) std::abort();
    std::string again;
    append_frame(again, frame.sequence, frame.record);
    if (bytes.substr(frame.end - again.size(), again.size()) != again) std::abort();
    expected = frame.sequence + 1;
    before = frame.end;
  }
  if (!scan.frames.empty() && scan.end != before) std::abort();
  if (scan.missing + scan.frames.size() != expected - next) std::abort();
  return 0;
}
