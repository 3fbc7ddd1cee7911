#pragma once

// Records that must not be lost, on this machine's disk, until somebody else has them for good.
//
// append() hands a record over; its `done` is called when the record is on the disk (written and
// fdatasync returned). One thread commits whatever has gathered in one write and one sync, so a
// thousand waiting answers cost one sync (group commit); nobody waits for a timer.
//
// Segments (segment.h) are files of a fixed size, set aside on the disk before they are needed: one
// being written and one spare. accepts() turns false while what is set aside could not hold
// `reserve_bytes` more. A gateway that refuses new requests then never loses a record of those that
// it had let in: the disk cannot become full under them.
//
// When the disk fails all the same, records wait in memory and are tried again every `retry_ms`;
// after commit_wait_max_ms their `done` gets the error. Such a record may still be found after a
// restart; one whose `done` got no error always is, once.
//
// After a start everything that is there is read from the lowest sequence that was not trimmed;
// torn tails are cut, damage is counted. New records go into a new segment.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "meter/spool/files.h"

namespace noroshi::meter {

struct SpoolConfig {
  std::string directory = {};
  std::uint64_t segment_bytes = 8 << 20;
  std::uint64_t bytes_max = std::uint64_t{1} << 30;  // of all segments; above: accepts() is false
  std::uint64_t reserve_bytes = 4 << 20;  // room for the records of all requests in flight
  int queue_max = 65'536;                 // records not on the disk yet; above: an error at once
  int retry_ms = 100;
  int commit_wait_max_ms = 5000;
};

struct SpoolCounters {
  std::uint64_t appended = 0;   // on the disk
  std::uint64_t refused = 0;    // done() got an error
  std::uint64_t trimmed = 0;    // shipped and given up here, since the start
  std::uint64_t syncs = 0;      // group commits
  std::uint64_t errors = 0;     // writes, syncs, reservations that failed
  std::uint64_t recovered = 0;  // found at the start and not shipped yet
  std::uint64_t torn = 0;       // segments whose tail was cut at the start
  std::uint64_t missing = 0;    // records that damage took, found at the start
  std::uint64_t waiting = 0;    // on the disk and not shipped
  std::uint64_t bytes = 0;      // of all segments
};

struct SpooledRecord {
  std::uint64_t sequence = 0;
  std::string record = {};
};

class Spool {
 public:
  using Done = std::function<void(const Result<void>&)>;

  // Errors: a folder that cannot be made, written or that another process holds; sizes that make no
  // sense. Segments that cannot be read are set aside under the name NAME.damaged and counted.
  static Result<Spool> open(SpoolConfig config, std::unique_ptr<Files> files = disk_files());
  Spool(Spool&&) noexcept;
  Spool& operator=(Spool&&) noexcept;
  ~Spool();  // commits what was appended, or tells it that it failed

  // From any thread. done: once, from the spool's thread, or from here when the record is refused
  // at once (empty, longer than record_bytes_max, queue full).
  void append(std::string record, Done done);

  // Whether a request may be let in whose record would come later; and if not, why.
  bool accepts() const;
  std::string why_not() const;

  // Records on the disk after this sequence (0: from the oldest), in order, at most `records_max`.
  // One thread only. Errors: the disk's.
  Result<std::vector<SpooledRecord>> read(std::uint64_t after, std::size_t records_max);
  // Waits until a record after this sequence is on the disk, for at most so long. False: none.
  bool wait(std::uint64_t after, int timeout_ms);
  // The record and all before it are safe elsewhere: their segments are removed.
  Result<void> trim(std::uint64_t up_to);
  std::uint64_t trimmed_up_to() const;

  SpoolCounters counters() const;

 private:
  Spool();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::meter
