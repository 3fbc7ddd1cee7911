#pragma once

// Model files on their way from a site that has one to a site that was placed the model and has it
// not, over the bus, in chunks that the asker asks for:
//
//   asker   -> noroshi.file.HASH   {"v":1,"offset":N}              any one that has it answers
//   answer  <- {"v":1,"site":"e1","bytes":TOTAL,"offset":N}\n and at most chunk_bytes from N on
//              or {"v":1,"site":"e1","error":"..."}
//
// What has come lies in FOLDER/HASH.part, whose blocks are set aside before the first byte: a disk
// without the room is found at once. A transfer that breaks off goes on from there, with the same
// site or another. Whole, its SHA-256 must be HASH, else it is thrown away: nobody can give a site
// a file that was not placed. docs/decisions/0036-model-files.md.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fleet/bus.h"

namespace noroshi::fleet {

inline constexpr std::size_t chunk_bytes_max = 512 << 10;
inline constexpr std::uint64_t model_bytes_max = std::uint64_t{1} << 42;

std::string file_subject(std::string_view content_hash);

struct FileChunk {
  std::string site = {};    // that answers
  std::uint64_t bytes = 0;  // of the whole file
  std::uint64_t offset = 0;
  std::string data = {};
  std::string error = {};  // why there are none
};
std::string chunk_text(const FileChunk& chunk);
Result<FileChunk> parse_chunk(std::string_view bytes);
std::string chunk_request_text(std::uint64_t offset);
Result<std::uint64_t> parse_chunk_request(std::string_view bytes);

// Answers for the file as long as it is held. Errors: the file cannot be read.
Result<std::unique_ptr<Subscription>> share_file(Bus& bus, const std::string& site,
                                                 const std::string& path,
                                                 const std::string& content_hash);

struct FetchConfig {
  std::string content_hash = {};  // 64 hexadecimal digits
  std::string folder = {};        // made when it is not there
  std::string name = {};          // of the whole file in it
  double timeout_s = 5;           // of one chunk
};
// Returns the path of the whole file. go_on: asked after each chunk, with the bytes that are here
// and all; false ends it. Errors: nobody has it, no answer in time (call again: what came stays),
// no room on the disk, answers that make no sense, another content than was asked for.
Result<std::string> fetch_file(
    Bus& bus, const FetchConfig& config,
    const std::function<bool(std::uint64_t here, std::uint64_t bytes)>& go_on);

}  // namespace noroshi::fleet
