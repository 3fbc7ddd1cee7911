#pragma once

// A disk in memory that behaves as badly as real ones may: what was not synced survives a crash in
// part, page by page; names that were not synced survive in part, in order; it fills up, fails and
// dies at a chosen operation.

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "base/prng.h"
#include "meter/spool/files.h"

namespace noroshi::meter {

class FaultDisk {
 public:
  static constexpr std::size_t page = 512;  // what a disk writes whole

  explicit FaultDisk(std::uint64_t seed) : prng_(seed) {}

  // The disk dies at the operation after so many; -1: never.
  void die_after(std::int64_t operations) {
    const std::lock_guard lock(mutex_);
    operations_left_ = operations;
  }
  void set_capacity(std::uint64_t bytes) {
    const std::lock_guard lock(mutex_);
    capacity_ = bytes;
  }
  // So many of the next syncs fail and lose what they should have kept, as Linux does.
  void fail_syncs(int syncs) {
    const std::lock_guard lock(mutex_);
    failing_syncs_ = syncs;
  }

  // Power off and on: what was synced is there; of the rest, chance decides.
  void crash() {
    const std::lock_guard lock(mutex_);
    for (auto& [id, data] : data_) {
      data.now.resize(data.size_synced > 0 ? data.size_synced : data.now.size());
      data.synced.resize(data.now.size(), '\0');
      for (const std::size_t at : data.dirty) {
        if (at * page >= data.now.size() || prng_.below(2) == 0) continue;
        const std::size_t size = std::min(page, data.now.size() - at * page);
        data.synced.replace(at * page, size, data.now, at * page, size);
      }
      data.now = data.synced;
      data.dirty.clear();
    }
    const std::size_t kept = prng_.below(unsynced_names_.size() + 1);
    names_ = synced_names_;
    for (std::size_t i = 0; i < kept; ++i) unsynced_names_[i](names_);
    unsynced_names_.clear();
    synced_names_ = names_;
    operations_left_ = -1;
  }

  std::map<std::string, std::string> contents() {
    const std::lock_guard lock(mutex_);
    std::map<std::string, std::string> all;
    for (const auto& [name, id] : names_) all[name] = data_[id].now;
    return all;
  }
  void overwrite(const std::string& name, std::size_t offset, std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    Data& data = data_[names_.at(name)];
    data.now.replace(offset, bytes.size(), bytes);
    data.synced = data.now;
  }

  // The disk as a process sees it; one that outlives the crash is an old process's.
  std::unique_ptr<Files> files() { return std::make_unique<View>(*this); }

 private:
  using Names = std::map<std::string, int>;
  struct Data {
    std::string now, synced;
    std::size_t size_synced = 0;
    std::set<std::size_t> dirty;  // pages
  };

  Result<void> operate(const char* what) {
    if (operations_left_ == 0) return Error{std::string("the disk is dead: cannot ") + what};
    if (operations_left_ > 0) --operations_left_;
    return {};
  }
  std::uint64_t used() const {
    std::uint64_t bytes = 0;
    for (const auto& [name, id] : names_) bytes += data_.at(id).now.size();
    return bytes;
  }
  void rename_later(const std::function<void(Names&)>& change) {
    change(names_);
    unsynced_names_.push_back(change);
  }

  class Handle final : public File {
   public:
    Handle(FaultDisk& disk, int id) : disk_(disk), id_(id) {}

    Result<void> write_at(std::uint64_t offset, std::string_view bytes) override {
      const std::lock_guard lock(disk_.mutex_);
      Data& data = disk_.data_[id_];
      const auto alive = disk_.operate("write");
      // A process may die in the middle of a write.
      if (!alive) bytes = bytes.substr(0, disk_.tear_ ? disk_.prng_.below(bytes.size() + 1) : 0);
      if (!alive) disk_.tear_ = false;
      if (data.now.size() < offset + bytes.size()) data.now.resize(offset + bytes.size());
      data.now.replace(offset, bytes.size(), bytes);
      for (std::size_t at = offset / page; at * page < offset + bytes.size(); ++at) {
        data.dirty.insert(at);
      }
      return alive;
    }
    Result<std::string> read_at(std::uint64_t offset, std::size_t size) override {
      const std::lock_guard lock(disk_.mutex_);
      const std::string& now = disk_.data_[id_].now;
      return offset >= now.size() ? std::string() : now.substr(offset, size);
    }
    Result<void> sync() override {
      const std::lock_guard lock(disk_.mutex_);
      if (auto alive = disk_.operate("sync"); !alive) return alive;
      Data& data = disk_.data_[id_];
      if (disk_.failing_syncs_ > 0) {
        --disk_.failing_syncs_;
        data.dirty.clear();
        return Error{"Input/output error"};
      }
      data.synced.resize(data.now.size());
      for (const std::size_t at : data.dirty) {
        if (at * page >= data.now.size()) continue;
        data.synced.replace(at * page, page, data.now, at * page, page);
      }
      data.dirty.clear();
      data.size_synced = data.now.size();
      return {};
    }
    Result<void> truncate(std::uint64_t size) override {
      const std::lock_guard lock(disk_.mutex_);
      if (auto alive = disk_.operate("truncate"); !alive) return alive;
      disk_.data_[id_].now.resize(size);
      return {};
    }
    std::uint64_t size() override {
      const std::lock_guard lock(disk_.mutex_);
      return disk_.data_[id_].now.size();
    }

   private:
    FaultDisk& disk_;
    int id_;
  };

  class View final : public Files {
   public:
    explicit View(FaultDisk& disk) : disk_(disk) {}
    Result<void> claim(const std::string&) override { return {}; }
    Result<std::vector<std::string>> list(const std::string& directory) override {
      const std::lock_guard lock(disk_.mutex_);
      std::vector<std::string> names;
      for (const auto& [name, id] : disk_.names_)
        names.push_back(name.substr(directory.size() + 1));
      return names;
    }
    Result<std::unique_ptr<File>> create(const std::string& path, std::uint64_t size) override {
      const std::lock_guard lock(disk_.mutex_);
      if (auto alive = disk_.operate("create"); !alive) return alive.error();
      if (disk_.used() + size > disk_.capacity_) return Error{"No space left on device"};
      const int id = ++disk_.last_id_;
      Data& data = disk_.data_[id];
      data.now.assign(size, '\0');
      data.synced = data.now;
      disk_.rename_later([path, id](Names& names) { names[path] = id; });
      return std::unique_ptr<File>(std::make_unique<Handle>(disk_, id));
    }
    Result<std::unique_ptr<File>> open(const std::string& path) override {
      const std::lock_guard lock(disk_.mutex_);
      const auto found = disk_.names_.find(path);
      if (found == disk_.names_.end()) return Error{"No such file " + path};
      return std::unique_ptr<File>(std::make_unique<Handle>(disk_, found->second));
    }
    Result<void> rename(const std::string& from, const std::string& to) override {
      const std::lock_guard lock(disk_.mutex_);
      if (auto alive = disk_.operate("rename"); !alive) return alive;
      disk_.rename_later([from, to](Names& names) {
        const auto found = names.find(from);
        if (found == names.end()) return;
        names[to] = found->second;
        names.erase(from);
      });
      return {};
    }
    Result<void> remove(const std::string& path) override {
      const std::lock_guard lock(disk_.mutex_);
      if (auto alive = disk_.operate("remove"); !alive) return alive;
      disk_.rename_later([path](Names& names) { names.erase(path); });
      return {};
    }
    Result<void> sync_directory(const std::string&) override {
      const std::lock_guard lock(disk_.mutex_);
      if (auto alive = disk_.operate("sync the folder"); !alive) return alive;
      disk_.synced_names_ = disk_.names_;
      disk_.unsynced_names_.clear();
      return {};
    }

   private:
    FaultDisk& disk_;
  };

  std::mutex mutex_;
  Prng prng_;
  std::int64_t operations_left_ = -1;
  std::uint64_t capacity_ = ~std::uint64_t{0};
  int failing_syncs_ = 0;
  bool tear_ = true;
  int last_id_ = 0;
  std::map<int, Data> data_;
  Names names_, synced_names_;
  std::vector<std::function<void(Names&)>> unsynced_names_;
};

}  // namespace noroshi::meter
