#include "radio/sigmf.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <utility>

#include "radio/sigmf_meta.h"

namespace noroshi::radio {
namespace {

static_assert(std::endian::native == std::endian::little, "samples are stored as memory has them");

constexpr std::int64_t chunk_bytes = 1 << 20;

std::string with_ending(const std::filesystem::path& base, const char* ending) {
  return base.string() + ending;
}

std::filesystem::path data_path_of(const std::filesystem::path& meta_path, const SigmfMeta& meta) {
  if (!meta.dataset.empty()) return meta_path.parent_path() / meta.dataset;
  std::filesystem::path path = meta_path;
  return path.replace_extension(".sigmf-data");
}

Result<SigmfMeta> read_meta(const std::filesystem::path& path) {
  const auto fault = [&path](const std::string& what) {
    return Error{"SigMF " + path.string() + ": " + what};
  };
  std::error_code error;
  const std::uintmax_t bytes = std::filesystem::file_size(path, error);
  if (error) return fault(error.message());
  if (bytes > sigmf_meta_bytes_max) return fault("metadata of more than 64 MiB");
  std::ifstream file(path, std::ios::binary);
  if (!file) return fault(std::strerror(errno));
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  Result<SigmfMeta> meta = parse_sigmf_meta(text);
  if (!meta) return fault(meta.error().message);

  const std::filesystem::path data = data_path_of(path, *meta);
  const std::uintmax_t data_bytes = std::filesystem::file_size(data, error);
  if (error) return fault("its samples, " + data.string() + ": " + error.message());
  const auto each = static_cast<std::uintmax_t>(meta->bytes_per_sample());
  if (data_bytes < each || data_bytes % each != 0) {
    return fault("its samples, " + data.string() + ", are cut off: " + std::to_string(data_bytes) +
                 " bytes are not a whole number of samples of " + std::to_string(each) +
                 " bytes (" + std::to_string(meta->info.channels) +
                 " channels); record or copy it again");
  }
  meta->info.samples = static_cast<std::int64_t>(data_bytes / each);
  if (meta->samples_written && meta->info.samples < *meta->samples_written) {
    return fault("its samples, " + data.string() +
                 ", are cut off: " + std::to_string(meta->info.samples) + " of the " +
                 std::to_string(*meta->samples_written) + " recorded; copy it again");
  }
  return meta;
}

}  // namespace

Result<SigmfInfo> read_sigmf_info(const std::filesystem::path& meta) {
  Result<SigmfMeta> read = read_meta(meta);
  if (!read) return read.error();
  return std::move(read->info);
}

struct SigmfReader::State {
  SigmfMeta meta;
  std::filesystem::path path;
  std::ifstream data;
  std::int64_t position = 0;
  std::vector<char> chunk;
};

SigmfReader::SigmfReader() : state_(std::make_unique<State>()) {}
SigmfReader::SigmfReader(SigmfReader&&) noexcept = default;
SigmfReader& SigmfReader::operator=(SigmfReader&&) noexcept = default;
SigmfReader::~SigmfReader() = default;

Result<SigmfReader> SigmfReader::open(const std::filesystem::path& meta) {
  Result<SigmfMeta> read = read_meta(meta);
  if (!read) return read.error();
  SigmfReader reader;
  State& s = *reader.state_;
  s.meta = std::move(*read);
  s.path = data_path_of(meta, s.meta);
  s.data.open(s.path, std::ios::binary);
  if (!s.data) return Error{"SigMF " + s.path.string() + ": " + std::strerror(errno)};
  return reader;
}

const SigmfInfo& SigmfReader::info() const { return state_->meta.info; }

Result<std::int64_t> SigmfReader::read(View<cf32, 2> samples) {
  State& s = *state_;
  const auto channels = static_cast<std::size_t>(s.meta.info.channels);
  assert(samples.extent(0) == channels);
  const std::int64_t each = s.meta.bytes_per_sample();
  const std::int64_t wanted = std::min<std::int64_t>(static_cast<std::int64_t>(samples.extent(1)),
                                                     s.meta.info.samples - s.position);
  for (std::int64_t done = 0; done < wanted;) {
    const std::int64_t count =
        std::min(wanted - done, std::max<std::int64_t>(1, chunk_bytes / each));
    s.chunk.resize(static_cast<std::size_t>(count * each));
    s.data.read(s.chunk.data(), static_cast<std::streamsize>(s.chunk.size()));
    if (s.data.gcount() != static_cast<std::streamsize>(s.chunk.size())) {
      return Error{"SigMF " + s.path.string() + ": cannot read sample " +
                   std::to_string(s.position) + "; the file changed while it was read"};
    }
    const char* in = s.chunk.data();
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::size_t channel = 0; channel < channels; ++channel) {
        cf32 value;
        if (s.meta.int16) {
          std::int16_t parts[2];
          std::memcpy(parts, in, sizeof parts);
          value = {static_cast<float>(parts[0]) * 0x1p-15f,
                   static_cast<float>(parts[1]) * 0x1p-15f};
          in += sizeof parts;
        } else {
          std::memcpy(&value, in, sizeof value);
          in += sizeof value;
          if (!std::isfinite(value.real()) || !std::isfinite(value.imag())) {
            return Error{"SigMF " + s.path.string() + ": sample " + std::to_string(s.position + i) +
                         " of channel " + std::to_string(channel) +
                         " is not a number: the file is corrupt"};
          }
        }
        samples(channel, static_cast<std::size_t>(done + i)) = value;
      }
    }
    done += count;
    s.position += count;
  }
  return wanted;
}

struct SigmfWriter::State {
  SigmfMeta meta;
  std::filesystem::path base;
  int fd = -1;
  std::int64_t samples = 0;
  std::vector<cf32> chunk;

  ~State() {
    if (fd >= 0) ::close(fd);
  }
  Result<void> write_meta() const;
};

// Into a new file first: whatever happens, there is one that reads.
Result<void> SigmfWriter::State::write_meta() const {
  const std::string path = with_ending(base, ".sigmf-meta");
  const std::string partial = path + ".partial";
  std::ofstream file(partial, std::ios::binary | std::ios::trunc);
  file << sigmf_meta_text(meta) << std::flush;
  if (!file) return Error{"SigMF " + path + ": cannot be written: " + std::strerror(errno)};
  file.close();
  if (std::rename(partial.c_str(), path.c_str()) != 0) {
    return Error{"SigMF " + path + ": cannot be written: " + std::strerror(errno)};
  }
  return {};
}

SigmfWriter::SigmfWriter() : state_(std::make_unique<State>()) {}
SigmfWriter::SigmfWriter(SigmfWriter&&) noexcept = default;

SigmfWriter& SigmfWriter::operator=(SigmfWriter&& other) noexcept {
  std::swap(state_, other.state_);  // other closes what was ours
  return *this;
}

SigmfWriter::~SigmfWriter() {
  if (state_) static_cast<void>(close());  // who wants the error calls close()
}

Result<SigmfWriter> SigmfWriter::create(const std::filesystem::path& base, const SigmfInfo& info) {
  assert(info.channels >= 1 && info.channels <= sigmf_channels_max);
  SigmfWriter writer;
  State& s = *writer.state_;
  s.meta.info = info;
  s.base = base;
  const std::string path = with_ending(base, ".sigmf-data");
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return Error{"SigMF " + path + ": cannot be made: " + std::strerror(errno)};
  s.fd = fd;
  const Result<void> written = s.write_meta();
  if (!written) return written.error();
  return writer;
}

Result<void> SigmfWriter::write(View<const cf32, 2> samples) {
  State& s = *state_;
  const auto channels = static_cast<std::size_t>(s.meta.info.channels);
  assert(s.fd >= 0 && "write() after close()");
  assert(samples.extent(0) == channels);
  const std::int64_t each = s.meta.bytes_per_sample();
  const auto chunk = static_cast<std::size_t>(std::max<std::int64_t>(1, chunk_bytes / each));
  for (std::size_t first = 0; first < samples.extent(1); first += chunk) {
    const std::size_t count = std::min(chunk, samples.extent(1) - first);
    s.chunk.clear();
    for (std::size_t i = first; i < first + count; ++i) {
      for (std::size_t channel = 0; channel < channels; ++channel) {
        s.chunk.push_back(samples(channel, i));
      }
    }
    const char* bytes = reinterpret_cast<const char*>(s.chunk.data());
    const std::size_t size = s.chunk.size() * sizeof(cf32);
    for (std::size_t done = 0; done < size;) {
      const ssize_t n = ::write(s.fd, bytes + done, size - done);
      if (n > 0) {
        done += static_cast<std::size_t>(n);
      } else if (errno != EINTR) {
        const std::string why = std::strerror(errno);
        // Half a sample would make the file unreadable.
        if (ftruncate(s.fd, s.samples * each) != 0) {
          return Error{"SigMF " + s.base.string() + ": cannot be written nor cut: " + why};
        }
        return Error{"SigMF " + with_ending(s.base, ".sigmf-data") + ": after " +
                     std::to_string(s.samples) + " samples: " + why};
      }
    }
    s.samples += static_cast<std::int64_t>(count);
  }
  return {};
}

void SigmfWriter::annotate(SigmfInfo::Annotation annotation) {
  state_->meta.info.annotations.push_back(std::move(annotation));
}

Result<void> SigmfWriter::close() {
  State& s = *state_;
  if (s.fd < 0) return {};
  const int fd = std::exchange(s.fd, -1);
  if (::close(fd) != 0) {
    return Error{"SigMF " + s.base.string() + ".sigmf-data: " + std::strerror(errno)};
  }
  s.meta.samples_written = s.samples;
  return s.write_meta();
}

}  // namespace noroshi::radio
