#include "gateway/sse.h"

#include <algorithm>

namespace noroshi::gateway {

void SseParser::feed(std::string_view bytes, const std::function<void(std::string_view)>& event) {
  while (!bytes.empty()) {
    if (after_return_ && bytes.front() == '\n') {
      after_return_ = false;
      bytes.remove_prefix(1);
      continue;
    }
    after_return_ = false;
    const std::size_t end = std::min(bytes.find_first_of("\r\n"), bytes.size());
    if (line_.size() + end > event_bytes_max) {
      skipping_line_ = true;
      line_.clear();
    }
    if (!skipping_line_) line_.append(bytes.substr(0, end));
    if (end == bytes.size()) return;
    after_return_ = bytes[end] == '\r';
    bytes.remove_prefix(end + 1);
    end_of_line(event);
  }
}

void SseParser::end_of_line(const std::function<void(std::string_view)>& event) {
  if (skipping_line_) {
    too_long_ = true;
    has_data_ = true;
  } else if (line_.empty()) {
    if (has_data_ && !too_long_) event(data_);
    data_.clear();
    has_data_ = false;
    too_long_ = false;
  } else if (line_.starts_with("data")) {
    std::string_view value;
    bool is_data = line_.size() == 4;
    if (line_.size() > 4 && line_[4] == ':') {
      is_data = true;
      value = std::string_view(line_).substr(5);
      if (value.starts_with(' ')) value.remove_prefix(1);
    }
    if (is_data) {
      if (has_data_) data_ += '\n';
      has_data_ = true;
      if (data_.size() + value.size() > event_bytes_max) too_long_ = true;
      if (!too_long_) data_.append(value);
    }
  }
  skipping_line_ = false;
  line_.clear();
}

bool StreamMeter::feed(std::string_view bytes) {
  const bool had_content = content_chunks_ > 0;
  parser_.feed(bytes, [this](std::string_view data) {
    if (data == "[DONE]") {
      done_ = true;
      return;
    }
    const EngineJson event = read_engine_json(data);
    if (event.content) ++content_chunks_;
    if (event.usage) reported_ = event.usage;
  });
  return !had_content && content_chunks_ > 0;
}

}  // namespace noroshi::gateway
