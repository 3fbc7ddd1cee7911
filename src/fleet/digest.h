#pragma once

// What a region tells the others of its sites, once a second, on noroshi.digest.REGION: every site
// that is alive there. Compact, for there may be thousands:
//
//   "NRD" 1 | region | origin u64 | sequence | part | parts | models: n x (name, content hash)
//   | sites: n x (name, instance u64, host, tcp_port, flags u8, its key's pin (16 bytes; flag 4),
//                 age_ms, share u8, forecast u8,
//                 models: n x (index, places, in flight, queued, prompt/s f32, tokens/s f32,
//                              service s f32, cache tokens))
//
// Whole numbers are LEB128, texts their length and bytes, fixed widths little-endian. A region is
// cut into parts of at most digest_sites_max sites; part i of every sequence covers whoever is
// i-th, so a lost part is mended a second later.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "gateway/route/route.h"

namespace noroshi::fleet {

inline constexpr std::size_t digest_sites_max = 1000;  // of a part
inline constexpr std::size_t digest_parts_max = 1000;  // of a region
inline constexpr std::size_t digest_bytes_max = 768 << 10;

struct DigestSite {
  gateway::SiteState site = {};
  int age_ms = 0;  // since its last heartbeat, when the digest was made
};

struct Digest {
  std::string region = {};
  std::uint64_t origin = 0;    // instance of the process that made it
  std::uint64_t sequence = 0;  // grows from digest to digest of an origin
  int part = 0;
  int parts = 1;
  std::vector<DigestSite> sites = {};
};

std::string digest_subject(std::string_view region);

// Precondition: at most digest_sites_max sites, all of the digest's region.
std::string digest_bytes(const Digest& digest);

// A region's sites in parts that each fit into a message.
std::vector<std::string> digest_messages(const std::string& region, std::uint64_t origin,
                                         std::uint64_t sequence,
                                         const std::vector<DigestSite>& sites);

// Errors name subject, field and place: cut off, another version, a count, name or number out of
// range, a region that is not the subject's.
Result<Digest> parse_digest(std::string_view subject, std::string_view bytes);

}  // namespace noroshi::fleet
