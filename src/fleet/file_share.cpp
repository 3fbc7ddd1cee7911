#include "fleet/file_share.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "fleet/desired.h"
#include "fleet/json_fields.h"

namespace noroshi::fleet {
namespace {

constexpr std::size_t header_bytes_max = 1024;

class OpenFile {
 public:
  OpenFile(const std::string& path, int flags) : fd_(open(path.c_str(), flags | O_CLOEXEC, 0644)) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd_ >= 0) close(fd_);
  }
  int fd() const { return fd_; }
  std::uint64_t size() const { return static_cast<std::uint64_t>(info().st_size); }
  // On the disk, with what was set aside beyond the end.
  std::uint64_t allocated() const { return 512 * static_cast<std::uint64_t>(info().st_blocks); }

 private:
  struct stat info() const {
    struct stat out {};
    if (fstat(fd_, &out) != 0) return {};
    return out;
  }
  int fd_;
};

FileChunk read_chunk(const OpenFile& file, const std::string& site, std::string_view request) {
  FileChunk chunk{.site = site, .bytes = file.size()};
  const Result<std::uint64_t> offset = parse_chunk_request(request);
  if (!offset || *offset > chunk.bytes) {
    chunk.error = offset ? "offset " + std::to_string(*offset) + " is beyond the file's " +
                               std::to_string(chunk.bytes) + " bytes"
                         : offset.error().message;
    return chunk;
  }
  chunk.offset = *offset;
  chunk.data.resize(std::min<std::uint64_t>(chunk_bytes_max, chunk.bytes - *offset));
  const ssize_t got =
      pread(file.fd(), chunk.data.data(), chunk.data.size(), static_cast<off_t>(*offset));
  if (got != static_cast<ssize_t>(chunk.data.size())) {
    chunk.data.clear();
    chunk.error = std::string("the file cannot be read: ") + std::strerror(errno);
  }
  return chunk;
}

// Keeps the room for all of it, where the file system can; its size stays what has come. Asked
// first: a file system that tries what it has no room for takes everybody's for a moment.
Result<void> set_aside(const OpenFile& part, const std::string& path, std::uint64_t bytes) {
  std::error_code error;
  const auto space = std::filesystem::space(std::filesystem::path(path).parent_path(), error);
  const bool fits = error || space.available + part.allocated() >= bytes;
  if (fits && fallocate(part.fd(), FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(bytes)) == 0)
    return {};
  if (!fits) errno = ENOSPC;
  if (fits && (errno == EOPNOTSUPP || errno == ENOSYS)) return {};
  return Error{path + ": no place for " + std::to_string(bytes) +
               " bytes: " + std::strerror(errno)};
}

// One chunk, asked for and checked against what was said before. A file that is shorter than
// what is here already is for the caller to judge.
Result<FileChunk> ask_chunk(Bus& bus, const FetchConfig& config, std::uint64_t here,
                            std::uint64_t bytes) {
  const auto answer =
      bus.request(file_subject(config.content_hash), chunk_request_text(here), config.timeout_s);
  if (!answer) return answer.error();
  Result<FileChunk> chunk = parse_chunk(*answer);
  if (!chunk) return chunk.error();
  const std::string who = "site '" + chunk->site + "' ";
  if (bytes == 0 && chunk->bytes < here) return chunk;
  if (!chunk->error.empty()) return Error{who + "says: " + chunk->error};
  if (bytes != 0 && chunk->bytes != bytes) {
    return Error{who + "says that the file has " + std::to_string(chunk->bytes) + " bytes, and " +
                 std::to_string(bytes) + " were said before"};
  }
  if (chunk->offset != here || chunk->data.size() > chunk->bytes - here ||
      (chunk->data.empty() && here < chunk->bytes)) {
    return Error{who + "sent " + std::to_string(chunk->data.size()) + " bytes at " +
                 std::to_string(chunk->offset) + " of " + std::to_string(chunk->bytes) +
                 " where those at " + std::to_string(here) + " were asked for"};
  }
  return chunk;
}

}  // namespace

std::string file_subject(std::string_view content_hash) {
  return "noroshi.file." + std::string(content_hash);
}

std::string chunk_text(const FileChunk& chunk) {
  boost::json::object header{
      {"v", 1}, {"site", chunk.site}, {"bytes", chunk.bytes}, {"offset", chunk.offset}};
  if (!chunk.error.empty()) header["error"] = chunk.error.substr(0, text_bytes_max);
  return boost::json::serialize(header) + "\n" + chunk.data;
}

Result<FileChunk> parse_chunk(std::string_view bytes) {
  const std::size_t end = bytes.substr(0, header_bytes_max).find('\n');
  if (end == bytes.npos) {
    return Error{"chunk of a file: has no header: '" + shown(bytes) + "'"};
  }
  const auto header = parse_document(bytes.substr(0, end), header_bytes_max);
  if (!header) return Error{"chunk of a file: " + header.error().message};
  std::optional<Error> error;
  JsonFields fields(*header, "", error);
  FileChunk chunk;
  fields.require("site");
  fields.word("site", chunk.site);
  fields.natural("bytes", chunk.bytes);
  fields.natural("offset", chunk.offset);
  fields.text("error", chunk.error);
  chunk.data = bytes.substr(end + 1);
  if (!error && chunk.bytes > model_bytes_max) {
    fields.fail("bytes", "is " + std::to_string(chunk.bytes) + " (allowed: 0 to " +
                             std::to_string(model_bytes_max) + ")");
  }
  if (!error && chunk.offset > chunk.bytes) {
    fields.fail("offset", "is " + std::to_string(chunk.offset) + ", beyond the file's " +
                              std::to_string(chunk.bytes) + " bytes");
  }
  if (!error && chunk.data.size() > chunk_bytes_max) {
    error = Error{"has " + std::to_string(chunk.data.size()) +
                  " bytes (allowed: " + std::to_string(chunk_bytes_max) + ")"};
  }
  if (error) return Error{"chunk of a file: " + error->message};
  return chunk;
}

std::string chunk_request_text(std::uint64_t offset) {
  return boost::json::serialize(boost::json::object{{"v", 1}, {"offset", offset}});
}

Result<std::uint64_t> parse_chunk_request(std::string_view bytes) {
  const auto document = parse_document(bytes, header_bytes_max);
  if (!document) return Error{"request for a file: " + document.error().message};
  std::optional<Error> error;
  JsonFields fields(*document, "", error);
  std::uint64_t offset = 0;
  fields.require("offset");
  fields.natural("offset", offset);
  if (error) return Error{"request for a file: " + error->message};
  return offset;
}

Result<std::unique_ptr<Subscription>> share_file(Bus& bus, const std::string& site,
                                                 const std::string& path,
                                                 const std::string& content_hash) {
  auto file = std::make_shared<OpenFile>(path, O_RDONLY);
  if (file->fd() < 0) return Error{path + ": cannot be read: " + std::strerror(errno)};
  return bus.subscribe(file_subject(content_hash), "sites",
                       [&bus, site, file = std::move(file)](const Message& message) {
                         if (message.reply.empty()) return;
                         const auto told = bus.publish(
                             message.reply, chunk_text(read_chunk(*file, site, message.data)));
                         static_cast<void>(told);  // the asker's time limit tells him
                       });
}

Result<std::string> fetch_file(
    Bus& bus, const FetchConfig& config,
    const std::function<bool(std::uint64_t here, std::uint64_t bytes)>& go_on) {
  const std::string what = "file " + config.content_hash.substr(0, 12) + "...: ";
  const std::string part_path = config.folder + "/" + config.content_hash + ".part";
  const std::string path = config.folder + "/" + config.name;
  std::error_code fault;
  std::filesystem::create_directories(config.folder, fault);
  if (fault) return Error{what + config.folder + " cannot be made: " + fault.message()};
  {
    const OpenFile part(part_path, O_RDWR | O_CREAT);
    if (part.fd() < 0) return Error{what + part_path + ": " + std::strerror(errno)};
    std::uint64_t here = part.size();
    std::uint64_t bytes = 0;
    do {
      const Result<FileChunk> chunk = ask_chunk(bus, config, here, bytes);
      if (!chunk) {
        return Error{what + chunk.error().message + "; " + std::to_string(here) +
                     " bytes are here"};
      }
      if (chunk->bytes < here) {  // garbage of an earlier sender
        std::filesystem::remove(part_path, fault);
        return Error{what + std::to_string(here) + " bytes were here of a file of " +
                     std::to_string(chunk->bytes) + ", and were thrown away"};
      }
      if (bytes == 0) {
        bytes = chunk->bytes;
        if (const auto room = set_aside(part, part_path, bytes); !room) {
          std::filesystem::remove(part_path, fault);
          return Error{what + room.error().message};
        }
      }
      const ssize_t written =
          pwrite(part.fd(), chunk->data.data(), chunk->data.size(), static_cast<off_t>(here));
      if (written != static_cast<ssize_t>(chunk->data.size())) {
        const std::string why = std::strerror(written < 0 ? errno : ENOSPC);
        std::filesystem::remove(part_path, fault);
        return Error{what + part_path + " cannot be written: " + why};
      }
      here += chunk->data.size();
      if (!go_on(here, bytes))
        return Error{what + "given up; " + std::to_string(here) + " bytes are here"};
    } while (here < bytes);
    if (fsync(part.fd()) != 0) return Error{what + part_path + ": " + std::strerror(errno)};
  }
  const Result<std::string> hash = file_hash(part_path);
  if (!hash) return hash.error();
  if (*hash != config.content_hash) {
    std::filesystem::remove(part_path, fault);
    return Error{what + "what came has another content, " + hash->substr(0, 12) +
                 "..., and was thrown away"};
  }
  if (std::rename(part_path.c_str(), path.c_str()) != 0) {
    return Error{what + path + ": " + std::strerror(errno)};
  }
  return path;
}

}  // namespace noroshi::fleet
