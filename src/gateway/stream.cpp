#include "gateway/stream.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cassert>

#include "gateway/json_fields.h"

namespace noroshi::gateway {
namespace {

constexpr std::size_t npos = std::string_view::npos;

// Where the line that starts here ends and the next one starts; npos when that is not known yet: a
// return may have a newline behind it.
struct Line {
  std::size_t end = npos;
  std::size_t next = npos;
};
Line line_at(std::string_view bytes, std::size_t from) {
  const std::size_t end = bytes.find_first_of("\r\n", from);
  if (end == npos) return {};
  if (bytes[end] == '\n') return {end, end + 1};
  if (end + 1 == bytes.size()) return {end, npos};
  return {end, bytes[end + 1] == '\n' ? end + 2 : end + 1};
}

}  // namespace

std::size_t event_end(std::string_view bytes) {
  // Nearly every server ends lines by newlines alone.
  if (bytes.find('\r') == npos) {
    if (bytes.starts_with('\n')) return 1;
    const std::size_t at = bytes.find("\n\n");
    return at == npos ? npos : at + 2;
  }
  for (std::size_t from = 0; from < bytes.size();) {
    const Line line = line_at(bytes, from);
    if (line.next == npos) return npos;
    if (line.end == from) return line.next;
    from = line.next;
  }
  return npos;
}

std::optional<std::string_view> event_data(std::string_view event, std::string& joined) {
  std::optional<std::string_view> data;
  for (std::size_t from = 0; from < event.size();) {
    const Line found = line_at(event, from);
    const std::string_view line = event.substr(from, found.end - from);
    from = found.next == npos ? event.size() : found.next;
    if (!line.starts_with("data")) continue;
    std::string_view value;
    if (line.size() > 4) {
      if (line[4] != ':') continue;
      value = line.substr(5);
      if (value.starts_with(' ')) value.remove_prefix(1);
    }
    if (!data) {
      data = value;
      continue;
    }
    if (data->data() != joined.data()) joined = *data;
    joined += '\n';
    joined += value;
    data = joined;
  }
  return data;
}

std::string_view Stream::feed(std::string_view bytes) {
  if (!failure_.empty()) return {};
  if (!held_.empty()) {
    held_ += bytes;
    bytes = held_;
  }
  std::size_t used = 0;         // whole events
  std::size_t as_they_are = 0;  // of them, from the beginning, that go on unchanged
  bool changed = false;
  for (;;) {
    const std::size_t size = event_end(bytes.substr(used));
    if (size == npos) break;
    const std::string_view event = bytes.substr(used, size);
    const bool goes_on = read_event(event);
    if (!failure_.empty()) break;
    if (!goes_on && !changed) {
      changed = true;
      out_.assign(bytes.substr(0, used));
    }
    used += size;
    if (changed) {
      out_ += goes_on ? event : std::string_view(rewritten_);
    } else {
      as_they_are = used;
    }
  }
  if (failure_.empty() && bytes.size() - used > event_bytes_max) {
    failure_ = "an event of more than 16 MiB";
  }
  const std::string_view rest = bytes.substr(used);
  if (held_.empty()) {
    held_ = rest;
    return changed ? std::string_view(out_) : bytes.substr(0, as_they_are);
  }
  // The bytes lie in held_ itself.
  if (!changed) out_.assign(bytes.substr(0, as_they_are));
  held_.erase(0, used);
  return out_;
}

bool Stream::read_event(std::string_view event) {
  const std::optional<std::string_view> data = event_data(event, joined_);
  if (!data) return true;
  if (*data == "[DONE]") {
    done_ = true;
    return true;
  }
  const std::size_t text_before = text_.size();
  const EngineJson read = read_engine_json(*data, &text_);
  if (text_.size() > text_bytes_max) text_.resize(std::max(text_before, text_bytes_max + 1));
  if (!read.json) return true;
  if (read.error) {
    failure_ = data->substr(0, 2000);
    return false;
  }
  if (read.content && is_echo(text_before)) {
    text_.resize(text_before);
    rewritten_.clear();
    return false;
  }
  if (first_.empty()) first_ = data->substr(0, 64 << 10);
  if (read.content) ++events_with_content_;
  other_content_ = other_content_ || read.other_content;
  finished_ = finished_ || read.finish;
  if (read.prompt_time) prompt_time_ = read.prompt_time;
  if (read.usage) {
    reported_ = read.usage;
    prompt_tokens_there_ = read.usage->prompt_tokens;
    if (resumed_ > 0) {
      // What was sent before was part of this site's prompt.
      reported_->prompt_tokens -= std::min(reported_->prompt_tokens, tokens_before_);
      reported_->cached_tokens = std::min(reported_->cached_tokens, reported_->prompt_tokens);
      reported_->completion_tokens += tokens_before_;
    }
  }
  rewritten_.clear();
  if (read.usage_only && !usage_asked_) return false;
  usage_said_ = usage_said_ || read.usage_only;
  if (resumed_ == 0) return true;
  if (read.content || read.finish || read.usage) rewrite(*data);  // else it says the role again
  return false;
}

// The event's text is all that was sent before, which were several tokens: no engine says so many
// at once by itself. Of a single token it could not be told.
bool Stream::is_echo(std::size_t text_before) {
  if (!echo_may_come_) return false;
  echo_may_come_ = false;
  return tokens_before_ > 1 && std::string_view(text_).substr(text_before) ==
                                   std::string_view(text_).substr(0, text_before);
}

void Stream::rewrite(std::string_view data) {
  boost::system::error_code failure;
  json::value event = json::parse(data, failure);
  const json::value first = json::parse(first_, failure);
  json::object& fields = event.as_object();
  if (const json::object* like = first.if_object()) {
    for (const std::string_view field : {"id", "created", "model", "system_fingerprint"}) {
      if (const json::value* value = like->if_contains(field)) fields[field] = *value;
    }
  }
  fields.erase("timings");  // of one site's part
  if (json::value* usage = fields.if_contains("usage"); usage && usage->is_object() && reported_) {
    json::object& counts = usage->get_object();
    counts["prompt_tokens"] = reported_->prompt_tokens;
    counts["completion_tokens"] = reported_->completion_tokens;
    counts["total_tokens"] = reported_->prompt_tokens + reported_->completion_tokens;
    if (json::value* details = counts.if_contains("prompt_tokens_details");
        details != nullptr && details->is_object()) {
      details->get_object()["cached_tokens"] = reported_->cached_tokens;
    }
  }
  rewritten_ = "data: " + json::serialize(event) + "\n\n";
}

std::string_view Stream::not_resumable() const {
  if (other_content_) return "it holds more than text";
  if (text_.size() > text_bytes_max) return "it is longer than 4 MiB";
  return {};
}

void Stream::resume() {
  assert(not_resumable().empty());
  held_.clear();
  failure_.clear();
  reported_.reset();
  prompt_time_.reset();
  tokens_before_ = events_with_content_;
  echo_may_come_ = true;
  ++resumed_;
}

std::string Stream::closing_events() {
  boost::system::error_code failure;
  json::value event = json::parse(first_, failure);
  if (failure || !event.is_object()) event = json::object();
  json::object& fields = event.as_object();
  fields.erase("usage");
  fields.erase("timings");
  std::string events;
  if (!finished_) {
    json::object choice = {{"index", 0}, {"finish_reason", "length"}};
    if (text_at(fields, "object").starts_with("text_completion")) {
      choice["text"] = "";
    } else {
      choice["delta"] = json::object();
    }
    fields["choices"] = json::array{choice};
    events += "data: " + json::serialize(event) + "\n\n";
  }
  if (usage_asked_ && !usage_said_) {
    const Usage sum = usage();
    fields["choices"] = json::array();
    fields["usage"] = {{"prompt_tokens", sum.prompt_tokens},
                       {"completion_tokens", sum.completion_tokens},
                       {"total_tokens", sum.prompt_tokens + sum.completion_tokens}};
    events += "data: " + json::serialize(event) + "\n\n";
  }
  finished_ = true;
  done_ = true;
  return events + "data: [DONE]\n\n";
}

Usage Stream::usage() const { return reported_.value_or(Usage{0, events_with_content_, 0}); }

Result<std::string> continuation_body(Endpoint endpoint, std::string_view body,
                                      std::string_view text, std::uint64_t tokens_sent) {
  json::parse_options options;
  options.max_depth = 64;
  boost::system::error_code failure;
  json::value value = json::parse(body, failure, {}, options);
  assert(!failure && value.is_object());
  json::object& fields = value.get_object();
  for (const std::string_view field : {"max_tokens", "max_completion_tokens", "n_predict"}) {
    json::value* most = fields.if_contains(field);
    if (most == nullptr || !most->is_number() || most->to_number<double>() < 0) continue;
    const double left = most->to_number<double>() - static_cast<double>(tokens_sent);
    if (left < 1) return Error{"no token is left to answer with"};
    *most = static_cast<std::int64_t>(left);
  }
  if (endpoint == Endpoint::completions) {
    fields["prompt"].as_string().append(json::string_view(text.data(), text.size()));
    return json::serialize(value);
  }
  json::array& messages = fields["messages"].as_array();
  json::object& last = messages.back().as_object();
  if (text_at(last, "role") == "assistant" && last["content"].is_string()) {
    last["content"].as_string().append(json::string_view(text.data(), text.size()));
  } else {
    messages.push_back(
        {{"role", "assistant"}, {"content", json::string_view(text.data(), text.size())}});
  }
  fields["add_generation_prompt"] = false;
  fields["continue_final_message"] = true;
  return json::serialize(value);
}

std::string body_with_usage(std::string_view body, bool has_stream_options) {
  if (!has_stream_options) {
    const std::size_t open = body.find('{');
    assert(open != npos);
    std::string asking(body.substr(0, open + 1));
    asking += R"("stream_options":{"include_usage":true},)";
    return asking.append(body.substr(open + 1));
  }
  json::parse_options options;
  options.max_depth = 64;
  boost::system::error_code failure;
  json::value value = json::parse(body, failure, {}, options);
  assert(!failure && value.is_object());
  json::value& asked = value.get_object()["stream_options"];
  if (!asked.is_object()) asked = json::object();
  asked.get_object()["include_usage"] = true;
  return json::serialize(value);
}

}  // namespace noroshi::gateway
