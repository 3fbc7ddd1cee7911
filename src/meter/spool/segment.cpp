#include "meter/spool/segment.h"

#include <algorithm>
#include <boost/crc.hpp>
#include <cassert>
#include <cstring>
#include <optional>

namespace noroshi::meter {
namespace {

constexpr std::string_view magic = "NSPOOL01";

// Castagnoli's polynomial, as iSCSI (RFC 3720, appendix B.4).
using Crc32c = boost::crc_optimal<32, 0x1edc6f41, 0xffffffff, 0xffffffff, true, true>;

template <class T>
void put(std::string& to, T value) {
  for (std::size_t i = 0; i < sizeof(T); ++i) to += static_cast<char>(value >> (8 * i));
}

template <class T>
T get(std::string_view from, std::size_t at) {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    value |= static_cast<T>(static_cast<std::uint8_t>(from[at + i])) << (8 * i);
  }
  return value;
}

std::uint32_t crc_of(std::uint32_t size, std::uint64_t sequence, std::string_view record) {
  std::string head;
  put(head, size);
  put(head, sequence);
  Crc32c crc;
  crc.process_bytes(head.data(), head.size());
  crc.process_bytes(record.data(), record.size());
  return crc.checksum();
}

// The whole frame at this offset, if one stands there whose sequence is in [first, end).
std::optional<Frame> frame_at(std::string_view bytes, std::size_t at, std::uint64_t first,
                              std::uint64_t end) {
  if (bytes.size() < at + frame_header_bytes) return {};
  const auto size = get<std::uint32_t>(bytes, at);
  if (size == 0 || size > record_bytes_max) return {};
  if (bytes.size() - at - frame_header_bytes < size) return {};
  const auto sequence = get<std::uint64_t>(bytes, at + 8);
  if (sequence < first || sequence >= end) return {};
  const std::string_view record = bytes.substr(at + frame_header_bytes, size);
  if (get<std::uint32_t>(bytes, at + 4) != crc_of(size, sequence, record)) return {};
  return Frame{sequence, record, at + frame_header_bytes + size};
}

}  // namespace

std::string segment_header(std::uint64_t first_sequence) {
  std::string header(magic);
  put(header, first_sequence);
  Crc32c crc;
  crc.process_bytes(header.data(), header.size());
  put(header, static_cast<std::uint32_t>(crc.checksum()));
  put(header, std::uint32_t{0});
  return header;
}

Result<std::uint64_t> read_segment_header(std::string_view bytes) {
  if (bytes.size() < segment_header_bytes) {
    return Error{"has " + std::to_string(bytes.size()) + " bytes, fewer than a segment's header"};
  }
  if (bytes.substr(0, magic.size()) != magic) return Error{"does not begin with NSPOOL01"};
  const auto first = get<std::uint64_t>(bytes, magic.size());
  if (bytes.substr(0, segment_header_bytes) != segment_header(first)) {
    return Error{"has a damaged header (its checksum is wrong)"};
  }
  return first;
}

void append_frame(std::string& to, std::uint64_t sequence, std::string_view record) {
  assert(!record.empty() && record.size() <= record_bytes_max);
  const auto size = static_cast<std::uint32_t>(record.size());
  put(to, size);
  put(to, crc_of(size, sequence, record));
  put(to, sequence);
  to.append(record);
}

SegmentScan scan_frames(std::string_view bytes, std::size_t offset, std::uint64_t next_sequence,
                        std::uint64_t sequence_end) {
  SegmentScan scan;
  scan.end = std::min(offset, bytes.size());
  std::size_t at = scan.end;
  while (at < bytes.size()) {
    // A jump over more frames than could have stood in between is not damage but chance.
    const std::uint64_t room = (at - scan.end) / (frame_header_bytes + 1);
    const std::uint64_t until = std::min(sequence_end, next_sequence + room + 1);
    const std::optional<Frame> frame = frame_at(bytes, at, next_sequence, until);
    if (!frame) {
      ++at;
      // Zeros cost no search: a frame never begins with more than three of them and a length.
      while (at < bytes.size() && bytes[at] == 0 && at + 4 < bytes.size() &&
             get<std::uint32_t>(bytes, at) == 0) {
        ++at;
      }
      continue;
    }
    scan.missing += frame->sequence - next_sequence;
    next_sequence = frame->sequence + 1;
    scan.end = frame->end;
    scan.frames.push_back(*frame);
    at = scan.end;
  }
  scan.torn = std::ranges::any_of(bytes.substr(scan.end), [](char byte) { return byte != 0; });
  return scan;
}

}  // namespace noroshi::meter
