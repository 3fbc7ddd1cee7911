#include "fleet/fetcher.h"

#include <algorithm>
#include <chrono>
#include <string_view>

#include "fleet/file_share.h"

namespace noroshi::fleet {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t hash_letters = 64;
constexpr std::string_view suffix = ".gguf";

int hex_digit(char letter) {
  const auto at = std::string_view("0123456789abcdef").find(letter);
  if (at != std::string_view::npos) return static_cast<int>(at);
  return letter >= 'A' && letter <= 'F' ? letter - 'A' + 10 : -1;
}

// What key_word() made a word of; empty: it made no such word.
std::string model_of(std::string_view word) {
  std::string out;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] != '=') {
      out += word[i];
      continue;
    }
    if (i + 2 >= word.size() || hex_digit(word[i + 1]) < 0 || hex_digit(word[i + 2]) < 0) return {};
    out += static_cast<char>(16 * hex_digit(word[i + 1]) + hex_digit(word[i + 2]));
    i += 2;
  }
  return out;
}

}  // namespace

std::string fetched_name(const ModelFile& file) {
  return key_word(file.name) + "." + file.content_hash + std::string(suffix);
}

std::optional<ModelFile> parse_fetched_name(const std::string& name) {
  const std::size_t rest = hash_letters + 1 + suffix.size();
  if (name.size() <= rest || !name.ends_with(suffix) || name[name.size() - rest] != '.') return {};
  ModelFile file{.name = model_of(std::string_view(name).substr(0, name.size() - rest)),
                 .content_hash = name.substr(name.size() - rest + 1, hash_letters)};
  if (file.name.empty() ||
      !std::ranges::all_of(file.content_hash, [](char c) { return hex_digit(c) >= 0; })) {
    return {};
  }
  return file;
}

Fetcher::Fetcher(Bus& bus, std::string folder) : bus_(bus), folder_(std::move(folder)) {
  thread_ = std::thread([this] { run(); });
}

Fetcher::~Fetcher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  thread_.join();
}

bool Fetcher::wanted(const ModelFile& file) const {
  return std::ranges::any_of(
      wanted_, [&](const ModelFile& w) { return w.content_hash == file.content_hash; });
}

void Fetcher::want(std::vector<ModelFile> files) {
  const std::lock_guard lock(mutex_);
  wanted_ = std::move(files);
  std::erase_if(failures_,
                [this](const auto& failure) { return !wanted({.content_hash = failure.first}); });
  status_.fault = failures_.empty() ? "" : failures_.begin()->second.why;
  changed_.notify_all();
}

FetchStatus Fetcher::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

std::vector<Fetched> Fetcher::take() {
  const std::lock_guard lock(mutex_);
  return std::exchange(came_, {});
}

std::optional<ModelFile> Fetcher::next_one() const {
  for (const ModelFile& file : wanted_) {
    const auto failure = failures_.find(file.content_hash);
    if (failure != failures_.end() && Clock::now() < failure->second.not_before) continue;
    if (std::ranges::any_of(came_, [&](const Fetched& f) { return f.file == file; })) continue;
    return file;
  }
  return {};
}

void Fetcher::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    const std::optional<ModelFile> file = next_one();
    if (!file) {
      changed_.wait_for(lock, std::chrono::duration<double>(retry_first_s));
      continue;
    }
    status_.model = file->name;
    status_.percent = 0;
    lock.unlock();
    const Result<std::string> path = fetch_file(
        bus_, {.content_hash = file->content_hash, .folder = folder_, .name = fetched_name(*file)},
        [&](std::uint64_t here, std::uint64_t bytes) {
          const std::lock_guard held(mutex_);
          status_.percent = bytes == 0 ? 100 : static_cast<int>(100.0 * here / bytes);
          return !stopping_ && wanted(*file);
        });
    lock.lock();
    status_.model.clear();
    if (path) {
      failures_.erase(file->content_hash);
      came_.push_back({*file, *path});
      std::erase(wanted_, *file);
    } else if (wanted(*file)) {
      Failure& failure = failures_[file->content_hash];
      failure.retry_s = std::clamp(2 * failure.retry_s, retry_first_s, retry_max_s);
      failure.not_before = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                              std::chrono::duration<double>(failure.retry_s));
      failure.why = "model '" + file->name + "': " + path.error().message;
    }
    status_.fault = failures_.empty() ? "" : failures_.begin()->second.why;
  }
}

}  // namespace noroshi::fleet
