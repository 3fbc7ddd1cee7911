#include "live/colocate_report.h"

#include <algorithm>
#include <cstdio>

namespace noroshi::live {
namespace json = boost::json;
namespace {

double us(std::uint64_t ns) { return static_cast<double>(ns) / 1e3; }

json::object quantiles_json(const Quantiles& q) {
  return {{"p50", q.p50}, {"p99", q.p99}, {"p999", q.p999}, {"p9999", q.p9999}, {"max", q.max}};
}

json::object margin_json(const Quantiles& ready, double deadline_us) {
  return {{"p50", deadline_us - ready.p50},
          {"p99", deadline_us - ready.p99},
          {"p999", deadline_us - ready.p999},
          {"p9999", deadline_us - ready.p9999},
          {"min", deadline_us - ready.max}};
}

json::object late_json(const LateCount& late) {
  return {
      {"all", late.all}, {"ours", late.ours()}, {"by_host", late.by_host}, {"by_air", late.by_air}};
}

}  // namespace

Quantiles Quantiles::of(const Histogram& histogram) {
  return {us(histogram.quantile(0.5)), us(histogram.quantile(0.99)), us(histogram.quantile(0.999)),
          us(histogram.quantile(0.9999)), us(histogram.max())};
}

double Outcome::ours_late_ratio() const {
  const auto slots = static_cast<double>(std::max<std::uint64_t>(1, total.slots));
  return static_cast<double>(late_downlink.ours() + late_uplink.ours()) / slots;
}

double Outcome::reclaimed() const {
  const double left = rate.ai_cores + rate.idle_cores + rate.other_cores + rate.early_cores;
  return left <= 0 ? 0 : rate.ai_cores / left;
}

std::int64_t stalled_ns(const std::vector<site::HostStall>& stalls, std::int64_t from_ns,
                        std::int64_t to_ns) {
  auto stall = std::ranges::upper_bound(stalls, from_ns, {}, &site::HostStall::to_ns);
  std::int64_t sum = 0;
  for (; stall != stalls.end() && stall->from_ns < to_ns; ++stall) {
    const std::int64_t inside = std::min(stall->to_ns, to_ns) - std::max(stall->from_ns, from_ns);
    sum += std::min(inside, stall->stalled_ns);
  }
  return sum;
}

void count_late(const std::vector<site::LateSlot>& late, const std::vector<site::HostStall>& stalls,
                Outcome& outcome) {
  for (const site::LateSlot& slot : late) {
    LateCount& count = slot.uplink ? outcome.late_uplink : outcome.late_downlink;
    const bool by_host = !slot.by_air && stalled_ns(stalls, slot.from_ns, slot.ready_ns) >=
                                             slot.ready_ns - slot.deadline_ns;
    if (slot.lost) {
      outcome.lost_by_air += slot.by_air ? 1 : 0;
      outcome.lost_by_host += by_host ? 1 : 0;
      continue;
    }
    ++count.all;
    count.by_air += slot.by_air ? 1 : 0;
    count.by_host += by_host ? 1 : 0;
  }
}

json::object outcome_json(const Outcome& o, double alone_tokens_per_s) {
  json::object out{{"bench", "colocate"}, {"load", o.load}, {"policy", o.policy}};
  out["slots"] = o.total.slots;
  out["slot_us"] = quantiles_json(o.slot_us);
  out["own_slot_us"] = quantiles_json(o.own_slot_us);
  out["downlink_margin_us"] = margin_json(o.downlink_ready_us, o.downlink_deadline_us);
  out["uplink_margin_us"] = margin_json(o.uplink_ready_us, o.uplink_deadline_us);
  out["late"] = json::object{{"slots", o.total.late_slots},
                             {"ratio", o.rate.late_ratio},
                             {"ours_ratio", o.ours_late_ratio()},
                             {"downlink", late_json(o.late_downlink)},
                             {"uplink", late_json(o.late_uplink)}};
  out["lost"] = json::object{{"slots", o.total.lost_slots},
                             {"by_host", o.lost_by_host},
                             {"by_air", o.lost_by_air},
                             {"ours", o.lost_by_us()}};
  out["host"] = json::object{{"stalls", o.total.stalls}, {"stalled_s", o.total.stalled_s}};
  out["wake_us"] = quantiles_json(o.wake_us);
  out["radio_cores"] = o.rate.radio_cores;
  out["early_cores"] = o.rate.early_cores;
  out["air_cores"] = o.rate.air_cores;
  out["idle_cores"] = o.rate.idle_cores;
  out["dl_mbps"] = o.rate.dl_mbps;
  out["ul_mbps"] = o.rate.ul_mbps;
  out["cost_model"] = json::object{{"slots", o.total.cost_slots},
                                   {"stalled", o.total.cost_stalled},
                                   {"over_p9999", o.total.cost_over_p9999}};
  if (o.policy == "off") return out;
  const auto slots = static_cast<double>(std::max<std::uint64_t>(1, o.total.slots));
  out["tokens_per_s"] = o.tokens_per_s;
  out["share_of_ai_alone"] = o.tokens_per_s / alone_tokens_per_s;
  out["ai_cores"] = o.rate.ai_cores;
  out["reclaimed"] = o.reclaimed();
  out["ttft_ms"] = json::object{{"p50", o.ttft_ms_p50}, {"p99", o.ttft_ms_p99}};
  out["early_ratio"] = static_cast<double>(o.total.early_slots) / slots;
  out["takes"] = o.takes;
  out["taken_ratio"] = static_cast<double>(o.total.taken_slots) / slots;
  out["freed_us"] = quantiles_json(o.freed_us);
  out["own_freed_us"] = quantiles_json(o.own_freed_us);
  out["given_us"] = quantiles_json(o.given_us);
  out["engine_kills"] = o.engine_kills;
  out["engine_restarts"] = o.engine_restarts;
  return out;
}

json::object median_json(const std::vector<json::object>& reports) {
  json::object out;
  for (const auto& [key, value] : reports.front()) {
    if (value.is_object()) {
      std::vector<json::object> parts;
      for (const json::object& report : reports) parts.push_back(report.at(key).as_object());
      out[key] = median_json(parts);
    } else if (value.is_number()) {
      std::vector<double> numbers;
      for (const json::object& report : reports)
        numbers.push_back(report.at(key).to_number<double>());
      std::ranges::sort(numbers);
      const std::size_t half = numbers.size() / 2;
      out[key] = numbers.size() % 2 == 1 ? numbers[half] : (numbers[half - 1] + numbers[half]) / 2;
    } else {
      out[key] = value;
    }
  }
  return out;
}

void print_head(double alone_tokens_per_s) {
  std::printf("AI alone: %.1f tokens/s\n", alone_tokens_per_s);
  std::printf("%-8s %-7s %22s %6s %26s %11s %7s %17s %9s %16s %15s\n", "load", "policy",
              "slot us p50/p99/p99.9", "own", "late ours+host+air", "lost (ours)", "radio",
              "tokens/s (share)", "reclaimed", "wake us p99/99.9", "TTFT ms p50/p99");
}

void print_line(const Outcome& o, double alone_tokens_per_s) {
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf("%-8s %-7s %7.0f %6.0f %7.0f %6.0f %13llu +%5llu +%5llu %5llu (%3llu) %7.2f",
              o.load.c_str(), o.policy.c_str(), o.slot_us.p50, o.slot_us.p99, o.slot_us.p999,
              o.own_slot_us.p999, number(o.late_downlink.ours() + o.late_uplink.ours()),
              number(o.late_downlink.by_host + o.late_uplink.by_host),
              number(o.late_downlink.by_air + o.late_uplink.by_air), number(o.total.lost_slots),
              number(o.lost_by_us()), o.rate.radio_cores);
  if (o.policy != "off") {
    std::printf(" %8.1f (%4.0f %%) %7.0f %%", o.tokens_per_s,
                100 * o.tokens_per_s / alone_tokens_per_s, 100 * o.reclaimed());
  } else {
    std::printf(" %27s", "");
  }
  std::printf(" %8.0f %7.0f", o.wake_us.p99, o.wake_us.p999);
  if (o.policy != "off") std::printf(" %7.0f %7.0f", o.ttft_ms_p50, o.ttft_ms_p99);
  std::printf("\n");
  std::fflush(stdout);
}

void print_median(const json::object& median) {
  const auto number = [&median](const char* key) { return median.at(key).to_number<double>(); };
  const auto part = [&median](const char* key, const char* of) {
    return median.at(key).at(of).to_number<double>();
  };
  std::printf("%-8s %-7s median: own slot us p50/p99/p99.9 %.0f/%.0f/%.0f, late ours %.1e of %.0f",
              median.at("load").as_string().c_str(), median.at("policy").as_string().c_str(),
              part("own_slot_us", "p50"), part("own_slot_us", "p99"), part("own_slot_us", "p999"),
              part("late", "ours_ratio"), number("slots"));
  if (median.contains("tokens_per_s")) {
    std::printf(", %.1f tokens/s, %.0f %% reclaimed, own freed us p99 %.0f", number("tokens_per_s"),
                100 * number("reclaimed"), part("own_freed_us", "p99"));
  }
  std::printf("\n");
  std::fflush(stdout);
}

}  // namespace noroshi::live
