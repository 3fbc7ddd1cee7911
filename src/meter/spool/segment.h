#pragma once

// One file of the spool, as bytes. Little-endian:
//
//   segment  "NSPOOL01", u64 sequence of its first frame, u32 CRC32C of both, u32 zero; frames
//   frame    u32 bytes n of the record (1 .. record_bytes_max), u32 CRC32C of (n, sequence,
//   record),
//            u64 sequence, the record
//
// Sequences rise by one. The end is where zeros follow or the file ends. A frame that is not whole
// where whole ones follow is damage: the frames after it are found again by their checksums, and
// the sequences between are counted as missing. Where none follows it is a torn tail, which a
// process leaves that dies in the middle of a write: nobody was told that such a record is safe.
//
// Pure: no file, clock or state. Any bytes may be scanned.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace noroshi::meter {

inline constexpr std::size_t segment_header_bytes = 24;
inline constexpr std::size_t frame_header_bytes = 16;
inline constexpr std::size_t record_bytes_max = 4096;

std::string segment_header(std::uint64_t first_sequence);
// Errors: too short, not a spool's segment, a damaged header.
Result<std::uint64_t> read_segment_header(std::string_view bytes);

// Precondition: 1 <= record.size() <= record_bytes_max.
void append_frame(std::string& to, std::uint64_t sequence, std::string_view record);

struct Frame {
  std::uint64_t sequence = 0;
  std::string_view record = {};  // into the scanned bytes
  std::size_t end = 0;           // offset after it
};

struct SegmentScan {
  std::vector<Frame> frames = {};
  std::size_t end = 0;        // after the last whole frame
  bool torn = false;          // bytes that are not zero follow the end
  std::uint64_t missing = 0;  // sequences between whole frames that are not there
};

// bytes: the segment from `offset` on, where the frame `next_sequence` should stand (after the
// header: segment_header_bytes and the header's sequence). Frames of sequence_end and above belong
// to a later segment: here they are what is left of a write that was given up.
SegmentScan scan_frames(std::string_view bytes, std::size_t offset, std::uint64_t next_sequence,
                        std::uint64_t sequence_end = ~std::uint64_t{0});

}  // namespace noroshi::meter
