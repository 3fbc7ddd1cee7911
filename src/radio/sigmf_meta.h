#pragma once

// The metadata half of SigMF (sigmf.org, v1.0, "SigMF Metadata Format"): JSON with the objects
// global, captures and annotations; core: names.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "radio/sigmf.h"

namespace noroshi::radio {

struct SigmfMeta {
  SigmfInfo info;       // samples is 0: only the data file knows
  bool int16 = false;   // ci16_le; else cf32_le
  std::string dataset;  // core:dataset: the data file's name, when it is not NAME.sigmf-data
  std::optional<std::int64_t> samples_written;  // a channel, noted by our writer when it closed

  std::int64_t bytes_per_sample() const { return (int16 ? 4 : 8) * info.channels; }  // all channels
};

inline constexpr int sigmf_channels_max = 64;
inline constexpr std::size_t sigmf_meta_bytes_max = std::size_t{64} << 20;

// Errors name the key, or line and column where it is not JSON.
Result<SigmfMeta> parse_sigmf_meta(std::string_view text);

std::string sigmf_meta_text(const SigmfMeta& meta);

}  // namespace noroshi::radio
