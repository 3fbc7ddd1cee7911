#pragma once

// Samples on disk as SigMF (sigmf.org, v1.0): NAME.sigmf-meta (JSON) beside NAME.sigmf-data
// (cf32_le, antennas as interleaved channels). The writer streams; a run that is cut off leaves a
// file that still reads. The slot path hands samples over through a ring; a thread of ours writes
// them.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "base/view.h"

namespace noroshi::radio {

struct SigmfInfo {
  double sample_rate_hz = 0;
  double frequency_hz = 0;
  int channels = 1;
  std::string description;
  std::string datetime;      // of the first sample, ISO 8601; empty: unknown
  std::int64_t samples = 0;  // a channel
  struct Annotation {
    std::int64_t sample_start = 0;
    std::int64_t sample_count = 0;
    std::string label;
  };
  std::vector<Annotation> annotations;
};

// Errors: a file that cannot be opened, metadata that is not SigMF (with the JSON position), a
// datatype other than cf32_le, ci16_le, data shorter than a whole sample.
Result<SigmfInfo> read_sigmf_info(const std::filesystem::path& meta);

class SigmfReader {
 public:
  static Result<SigmfReader> open(const std::filesystem::path& meta);
  SigmfReader(SigmfReader&&) noexcept;
  SigmfReader& operator=(SigmfReader&&) noexcept;
  ~SigmfReader();

  const SigmfInfo& info() const;
  // Reads up to samples.extent(1) samples of every channel into [channel, sample]; returns how
  // many; 0 at the end.
  Result<std::int64_t> read(View<cf32, 2> samples);

 private:
  SigmfReader();
  struct State;
  std::unique_ptr<State> state_;
};

class SigmfWriter {
 public:
  // base: path without ending. Errors: a file that cannot be made.
  static Result<SigmfWriter> create(const std::filesystem::path& base, const SigmfInfo& info);
  SigmfWriter(SigmfWriter&&) noexcept;
  SigmfWriter& operator=(SigmfWriter&&) noexcept;
  ~SigmfWriter();

  // Blocks on the disk: never from the slot path. samples: [channel, sample].
  Result<void> write(View<const cf32, 2> samples);
  void annotate(SigmfInfo::Annotation annotation);
  Result<void> close();

 private:
  SigmfWriter();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace noroshi::radio
