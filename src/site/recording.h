#pragma once

// Uplink samples to and from SigMF. A recording holds the slots that carried PUSCH, one after
// another; an annotation "slot N" names each, counted from the start of the run. The slot path
// touches rings only; drain() and fill() do the disk's work on a thread without deadlines (or
// between slots, at free pace).

#include <string>
#include <vector>

#include "base/ring.h"
#include "base/slot.h"
#include "nr/carrier.h"
#include "radio/sigmf.h"

namespace noroshi::site {

struct RecordedSlot {
  SlotCount slot = -1;        // -1: the recording does not say
  std::vector<cf32> samples;  // [antenna, sample]
};

class Recorder {
 public:
  // Errors: as radio::SigmfWriter::create.
  static Result<Recorder> create(const std::string& base, const nr::Carrier& carrier, int antennas,
                                 const std::string& cell);

  // From the slot: false when the ring is full.
  bool offer(SlotCount slot, View<const cf32, 1> samples);
  // Writes what has been offered. Errors (disk full) come once; afterwards it records nothing.
  Result<void> drain();
  Result<void> close();

 private:
  Recorder(radio::SigmfWriter writer, int antennas, int slot_samples);
  radio::SigmfWriter writer_;
  std::unique_ptr<Ring<RecordedSlot>> ring_;
  int antennas_, slot_samples_;
  std::int64_t written_ = 0;  // samples a channel
  bool failed_ = false;
};

class Replay {
 public:
  // Errors: as radio::SigmfReader::open; a sample rate or a number of channels that is not the
  // cell's; annotations that do not lie on whole slots.
  static Result<Replay> open(const std::string& meta, const nr::Carrier& carrier, int antennas);

  // From the slot: copies this slot's samples, or returns false when the recording has none, or
  // fill() was too slow.
  bool take(SlotCount slot, View<cf32, 1> samples);
  // Reads ahead. Errors come once; afterwards the recording is at its end.
  Result<void> fill();
  bool at_end() const { return ended_; }

 private:
  Replay(radio::SigmfReader reader, int antennas, int slot_samples);
  radio::SigmfReader reader_;
  std::unique_ptr<Ring<RecordedSlot>> ring_;
  std::vector<SlotCount> slots_;  // of the annotations; empty: slots follow as they are asked for
  int antennas_, slot_samples_;
  std::size_t next_ = 0;
  bool ended_ = false;
};

}  // namespace noroshi::site
