// Any numbers and texts as news of sites, mixed with choices: refused or believed, and whatever is
// believed lets the router choose; never a fault.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "gateway/route/route.h"

namespace {

// The input as a source of values; zeros behind its end.
struct Source {
  const std::uint8_t* data;
  std::size_t left;

  template <class T>
  T take() {
    T value{};
    const std::size_t size = left < sizeof value ? left : sizeof value;
    if (size > 0) std::memcpy(&value, data, size);
    data += size;
    left -= size;
    return value;
  }
  std::string text() {
    std::string text;
    for (int i = take<std::uint8_t>() % 5; i > 0; --i) text.push_back(take<char>());
    return text;
  }
  // Mostly of a size that can be; any bits now and then.
  double number() {
    const auto kind = take<std::uint8_t>();
    if (kind % 8 == 0) return take<double>();
    return take<std::uint8_t>() / 255.0 * (kind % 3 == 0 ? 1 : 100);
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::gateway;
  Source source{data, size};
  Router router({.prefix_entries = 64, .sessions_max = 64, .sites_max = 8, .region = "a"}, 1);
  std::vector<Choice> open;
  std::int64_t now_ns = 0;
  for (int step = 0; step < 200 && source.left > 0; ++step) {
    now_ns += source.take<std::uint16_t>() * std::int64_t{1000};
    const auto what = source.take<std::uint8_t>() % 8;
    if (what < 3) {
      SiteState state;
      state.name = source.text();
      state.instance = source.take<std::uint8_t>() % 4;
      state.host = source.text();
      state.region = source.take<std::uint8_t>() % 2 == 0 ? "a" : source.text();
      state.tcp_port = source.take<std::int16_t>();
      state.ready = source.take<std::uint8_t>() % 4 != 0;
      state.draining = source.take<std::uint8_t>() % 8 == 0;
      state.lease_share = source.number();
      state.lease_share_forecast = source.number();
      state.rtt_ms = source.number();
      state.received_at_ns =
          source.take<std::uint8_t>() % 4 == 0 ? source.take<std::int64_t>() : now_ns;
      for (int i = source.take<std::uint8_t>() % 4; i > 0; --i) {
        ModelAtSite model;
        model.name = source.text();
        if (model.name.empty()) model.name = "m";
        model.content_hash = source.take<std::uint8_t>() % 2 == 0 ? "a" : "b";
        model.places = source.take<std::int8_t>();
        model.requests_in_flight = source.take<std::int8_t>();
        model.requests_queued = source.take<std::int8_t>();
        model.prompt_tokens_per_s = source.number();
        model.tokens_per_s = source.number();
        model.service_s_mean = source.number();
        model.cache_tokens = source.take<std::int16_t>();
        state.models.push_back(model);
      }
      const auto done = router.update(state);
      if (!done && done.error().message.empty()) std::abort();
    } else if (what == 3) {
      router.lost(source.text());
    } else if (what < 6) {
      const std::uint64_t blocks[2] = {source.take<std::uint8_t>(), source.take<std::uint8_t>()};
      Choice choice = router.choose({.model = "m",
                                     .prefix_blocks = blocks,
                                     .session = source.take<std::uint8_t>(),
                                     .prompt_tokens = source.take<std::uint16_t>(),
                                     .completion_tokens = source.take<std::uint16_t>()},
                                    now_ns);
      if (choice.at) {
        if (!(choice.predicted_s >= 0)) std::abort();
        open.push_back(std::move(choice));
      } else if (router.capacity("m").ready) {
        std::abort();
      }
    } else if (what == 6 && source.take<std::uint8_t>() % 2 == 0) {
      const std::optional<ToMeasure> due = router.to_measure(now_ns);
      if (due && !due->at) std::abort();
      if (due) router.measured(due->site, *due->at, source.number(), now_ns);
      for (const RegionDistance& one : router.distances()) {
        if (!(one.round_trip_s > 0)) std::abort();
      }
    } else if (!open.empty()) {
      const std::size_t at = source.take<std::uint8_t>() % open.size();
      router.finished(open[at],
                      {static_cast<Fate>(source.take<std::uint8_t>() % 4), source.number(),
                       source.take<std::int16_t>()},
                      now_ns);
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }
  return 0;
}
