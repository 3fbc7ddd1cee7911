#include "meter/spool/files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace noroshi::meter {
namespace {

Error failed(const std::string& what, const std::string& path, int error = errno) {
  return Error{"cannot " + what + " " + path + ": " + std::strerror(error)};
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }

 private:
  int fd_;
};

class DiskFile final : public File {
 public:
  DiskFile(Descriptor fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<void> write_at(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return failed("write to", path_, written == 0 ? ENOSPC : errno);
      bytes.remove_prefix(static_cast<std::size_t>(written));
      offset += static_cast<std::uint64_t>(written);
    }
    return {};
  }

  Result<std::string> read_at(std::uint64_t offset, std::size_t size) override {
    std::string bytes(size, '\0');
    std::size_t have = 0;
    while (have < size) {
      const ssize_t got =
          ::pread(fd_.get(), bytes.data() + have, size - have, static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return failed("read", path_);
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    bytes.resize(have);
    return bytes;
  }

  Result<void> sync() override {
    if (::fdatasync(fd_.get()) != 0) return failed("sync", path_);
    return {};
  }

  Result<void> truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return failed("shorten", path_);
    return {};
  }

  std::uint64_t size() override {
    struct stat status = {};
    return ::fstat(fd_.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
  }

 private:
  Descriptor fd_;
  std::string path_;
};

class DiskFiles final : public Files {
 public:
  Result<void> claim(const std::string& directory) override {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return Error{"cannot make the folder " + directory + ": " + error.message()};
    const std::string path = directory + "/lock";
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (fd.get() < 0) return failed("open", path);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno == EWOULDBLOCK) {
        return Error{directory + " is in use by another process: give each gateway its own folder"};
      }
      return failed("lock", path);
    }
    locks_.push_back(std::move(fd));
    return {};
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    std::vector<std::string> names;
    std::error_code error;
    std::filesystem::directory_iterator at(directory, error);
    for (; !error && at != std::filesystem::directory_iterator(); at.increment(error)) {
      names.push_back(at->path().filename().string());
    }
    if (error) return Error{"cannot list " + directory + ": " + error.message()};
    return names;
  }

  Result<std::unique_ptr<File>> create(const std::string& path, std::uint64_t size) override {
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (fd.get() < 0) return failed("make", path);
    // Unlike fallocate it returns the error, and writes zeros where the file system cannot reserve.
    const int error = ::posix_fallocate(fd.get(), 0, static_cast<off_t>(size));
    if (error != 0) {
      ::unlink(path.c_str());
      return failed("set aside " + std::to_string(size) + " bytes for", path, error);
    }
    return std::unique_ptr<File>(std::make_unique<DiskFile>(std::move(fd), path));
  }

  Result<std::unique_ptr<File>> open(const std::string& path) override {
    Descriptor fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (fd.get() < 0) return failed("open", path);
    return std::unique_ptr<File>(std::make_unique<DiskFile>(std::move(fd), path));
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0)
      return failed("rename to " + to + " the file", from);
    return {};
  }

  Result<void> remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("remove", path);
    return {};
  }

  Result<void> sync_directory(const std::string& directory) override {
    const Descriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (fd.get() < 0) return failed("open", directory);
    if (::fsync(fd.get()) != 0) return failed("sync", directory);
    return {};
  }

 private:
  std::vector<Descriptor> locks_;
};

}  // namespace

std::unique_ptr<Files> disk_files() { return std::make_unique<DiskFiles>(); }

}  // namespace noroshi::meter
