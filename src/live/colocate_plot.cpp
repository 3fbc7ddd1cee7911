#include "live/colocate_plot.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "base/clock.h"
#include "site/lease/mechanism.h"

namespace noroshi::live {
namespace {

constexpr std::int64_t period_ns = 500'000;
constexpr std::int64_t look_for_threads_ns = 200'000'000;

// First field of schedstat: the time on a processor, as of the last switch or tick; radio and air
// switch on every processor of theirs at every slot. -1 when the thread has ended.
std::int64_t cpu_ns(pid_t thread) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/schedstat");
  std::int64_t used = -1;
  file >> used;
  return file ? used : -1;
}

// Field 39 of proc(5)'s stat; -1 when it has ended.
int processor_of(pid_t thread) {
  std::ifstream file("/proc/" + std::to_string(thread) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return -1;
  const std::size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return -1;
  std::istringstream fields(line.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < 39; ++field) fields >> skipped;
  int processor = -1;
  fields >> processor;
  return processor;
}

}  // namespace

EngineSampler::EngineSampler(std::vector<site::HeldProcess> engines, int processors,
                             const site::CellCounters& counters)
    : thread_([this, engines = std::move(engines), processors, &counters] {
        run(engines, processors, counters);
      }) {}

EngineSampler::~EngineSampler() { stop(); }

void EngineSampler::stop() {
  stopping_.store(true);
  if (thread_.joinable()) thread_.join();
}

void EngineSampler::run(const std::vector<site::HeldProcess>& engines, int processors,
                        const site::CellCounters& counters) {
  MonotonicClock clock;
  std::map<pid_t, std::int64_t> before;
  std::int64_t threads_ns = 0;
  std::vector<pid_t> threads;
  std::uint64_t air_before = counters.air_cpu_ns.load(std::memory_order_relaxed);
  for (std::int64_t due = clock.now_ns(); !stopping_.load(std::memory_order_relaxed);
       due += period_ns) {
    clock.sleep_until_ns(due);
    const std::int64_t now = clock.now_ns();
    if (now >= threads_ns) {
      threads.clear();
      for (const site::HeldProcess& engine : engines) {
        for (const pid_t thread : site::threads_of(engine.process)) threads.push_back(thread);
      }
      threads_ns = now + look_for_threads_ns;
    }
    Look look{now, std::vector<double>(static_cast<std::size_t>(processors), 0.0), 0};
    for (const pid_t thread : threads) {
      const std::int64_t used = cpu_ns(thread);
      if (used < 0) continue;
      const auto [known, is_new] = before.try_emplace(thread, used);
      const std::int64_t since = used - known->second;
      known->second = used;
      if (is_new || since <= 0) continue;
      const int processor = processor_of(thread);
      if (processor >= 0 && processor < processors)
        look.processor_ns[static_cast<std::size_t>(processor)] += static_cast<double>(since);
    }
    const std::uint64_t air = counters.air_cpu_ns.load(std::memory_order_relaxed);
    look.air_ns = static_cast<double>(air - air_before);
    air_before = air;
    looks_.push_back(std::move(look));
  }
}

namespace {

constexpr int slot_px = 1;
constexpr int band_px = 90;
constexpr int gap_px = 26;
constexpr int left_px = 60;

// One share of the slots' time on one processor, drawn on top of what is below it.
struct Layer {
  const char* name;
  const char* colour;
  std::vector<double> share;  // [slot]
};

// Areas as stairs, from the lowest layer up.
void draw_band(std::string& svg, const std::vector<Layer>& layers, int top) {
  std::vector<double> below(layers.front().share.size(), 0.0);
  for (const Layer& layer : layers) {
    std::string path;
    const auto y = [&](double share) {
      return top + band_px - static_cast<int>(std::lround(std::clamp(share, 0.0, 1.0) * band_px));
    };
    path += "M" + std::to_string(left_px) + " " + std::to_string(y(below[0]));
    for (std::size_t s = 0; s < below.size(); ++s)
      path += "V" + std::to_string(y(below[s] + layer.share[s])) + "h" + std::to_string(slot_px);
    for (std::size_t s = below.size(); s-- > 0;)
      path += "V" + std::to_string(y(below[s])) + "h-" + std::to_string(slot_px);
    svg += "<path fill=\"" + std::string(layer.colour) + "\" d=\"" + path + "Z\"/>\n";
    for (std::size_t s = 0; s < below.size(); ++s)
      below[s] = std::min(1.0, below[s] + layer.share[s]);
  }
}

void text_at(std::string& svg, int x, int y, const std::string& text) {
  svg +=
      "<text x=\"" + std::to_string(x) + "\" y=\"" + std::to_string(y) + "\">" + text + "</text>\n";
}

}  // namespace

Result<std::string> plot_second(const PlotInput& input) {
  if (input.slots.empty() || input.looks.empty())
    return Error{"nothing to draw: the run was too short"};
  const auto count = static_cast<std::size_t>(1'000'000'000 / input.slot_ns);
  const std::int64_t end_ns = input.slots.back().begin_ns;
  const std::int64_t begin_ns = end_ns - static_cast<std::int64_t>(count) * input.slot_ns;
  const auto slot_of = [&](std::int64_t at_ns) { return (at_ns - begin_ns) / input.slot_ns; };
  const auto inside = [&](std::int64_t slot) {
    return slot >= 0 && slot < static_cast<std::int64_t>(count);
  };
  const double slot_ns = static_cast<double>(input.slot_ns);

  std::vector<double> radio(count, 0.0), air(count, 0.0), taken(count, 0.0);
  for (const site::SlotTrace& trace : input.slots) {
    const std::int64_t slot = slot_of(trace.begin_ns);
    if (!inside(slot)) continue;
    radio[static_cast<std::size_t>(slot)] +=
        static_cast<double>(trace.end_ns - trace.begin_ns) / slot_ns;
    if (trace.taken) taken[static_cast<std::size_t>(slot)] = 1;
  }
  std::vector<std::vector<double>> engine(static_cast<std::size_t>(input.processors),
                                          std::vector<double>(count, 0.0));
  for (const EngineSampler::Look& look : input.looks) {
    const std::int64_t slot = slot_of(look.at_ns) - 1;  // what it saw was before
    if (!inside(slot)) continue;
    air[static_cast<std::size_t>(slot)] += look.air_ns / slot_ns;
    for (std::size_t p = 0; p < engine.size(); ++p)
      engine[p][static_cast<std::size_t>(slot)] += look.processor_ns[p] / slot_ns;
  }

  const int width = left_px + static_cast<int>(count) * slot_px + 10;
  const int height = 40 + input.processors * (band_px + gap_px) + 10;
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + std::to_string(width) +
                    "\" height=\"" + std::to_string(height) +
                    "\" font-family=\"sans-serif\" font-size=\"12\">\n"
                    "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  text_at(svg, left_px, 16, input.title);
  text_at(svg, left_px, 32,
          "one second, one column a slot: red radio, orange air, green engine, grey idle or other; "
          "black line above: taken back");
  for (int p = 0; p < input.processors; ++p) {
    const int top = 46 + p * (band_px + gap_px);
    svg += "<rect x=\"" + std::to_string(left_px) + "\" y=\"" + std::to_string(top) +
           "\" width=\"" + std::to_string(static_cast<int>(count) * slot_px) + "\" height=\"" +
           std::to_string(band_px) + "\" fill=\"#dddddd\"/>\n";
    text_at(svg, 4, top + band_px / 2, "cpu " + std::to_string(p));
    std::vector<Layer> layers;
    if (p == input.radio_processor) layers.push_back({"radio", "#cc2222", radio});
    if (p == input.air_processor) layers.push_back({"air", "#ee9933", air});
    layers.push_back({"engine", "#33aa44", engine[static_cast<std::size_t>(p)]});
    draw_band(svg, layers, top);
    if (p != input.radio_processor) continue;
    for (std::size_t s = 0; s < count; ++s) {
      if (taken[s] == 0) continue;
      std::size_t until = s;
      while (until < count && taken[until] != 0) ++until;
      svg += "<rect x=\"" + std::to_string(left_px + static_cast<int>(s) * slot_px) + "\" y=\"" +
             std::to_string(top - 5) + "\" width=\"" +
             std::to_string(static_cast<int>(until - s) * slot_px) + "\" height=\"3\"/>\n";
      s = until;
    }
  }
  return svg + "</svg>\n";
}

}  // namespace noroshi::live
