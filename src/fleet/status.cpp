#include "fleet/status.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <vector>

#include "fleet/control.h"
#include "fleet/json_fields.h"

namespace noroshi::fleet {
namespace {

namespace json = boost::json;

constexpr std::size_t list_bytes_max = 350'000;  // of a page; it has two, and a little more
constexpr std::size_t page_bytes_max = 1 << 20;
constexpr std::size_t whole_bytes_max = std::size_t{1} << 30;
constexpr int pages_max = 100'000;

// A list of a page, as long as it has room. The first one always has.
struct PageList {
  json::array items = {};
  std::size_t bytes = 0;
  std::string last = {};
  bool more = false;

  bool add(const std::string& name, json::object item) {
    bytes += json::serialize(item).size() + 1;
    more = !items.empty() && bytes > list_bytes_max;
    if (more) return false;
    items.push_back(std::move(item));
    last = name;
    return true;
  }
  void put_into(json::object& page, const std::string& key) {
    page[key] = std::move(items);
    if (more) page[key + "_next"] = last;
  }
};

json::object site_object(const std::string& name, const Planner& planner, std::int64_t now_ns) {
  json::object out;
  out["name"] = name;
  if (const auto facts = planner.facts().find(name); facts != planner.facts().end()) {
    out["region"] = facts->second.value->region;
    out["prefecture"] = facts->second.value->prefecture;
    out["memory_bytes"] = facts->second.value->memory_bytes;
  }
  const Member* member = planner.membership().find(name);
  std::vector<std::string> claims = planner.claims(name);
  // One that beats and has told nothing of itself yet.
  const bool rival = member != nullptr && member->alive && !member->rival_region.empty() &&
                     member->rival_region != member->report.site.region &&
                     now_ns - member->rival_heard_ns <= lost_after_ns;
  if (rival && std::ranges::find(claims, member->rival_region) == claims.end()) {
    claims.push_back(member->rival_region);
  }
  if (!claims.empty()) out["name_claimed_by"] = json::value_from(claims);
  std::erase_if(claims, [&](const std::string& region) { return !planner.refuses(name, region); });
  if (!claims.empty()) out["name_refused_to"] = json::value_from(claims);
  out["state"] = member == nullptr || !member->alive ? "lost"
                 : member->report.site.draining      ? "draining"
                 : member->report.site.ready         ? "ready"
                                                     : "not ready";
  if (member == nullptr) return out;
  const SiteReport& report = member->report;
  out["region"] = report.site.region;
  out["address"] = report.site.host + ":" + std::to_string(report.site.tcp_port);
  out["tls"] = !report.site.pin.is_none();
  out["heard_ms_ago"] = (now_ns - member->heard_ns) / 1'000'000;
  out["lease_share"] = report.site.lease_share;
  out["lease_share_forecast"] = report.site.lease_share_forecast;
  out["fault"] = report.fault;
  if (!report.fetching.empty()) {
    out["fetching"] = report.fetching;
    out["fetched_percent"] = report.fetched_percent;
  }
  out["refused_instance"] = member->rival_instance;
  json::array models;
  for (const gateway::ModelAtSite& model : report.site.models) {
    models.push_back({{"name", model.name},
                      {"content_hash", model.content_hash},
                      {"requests_in_flight", model.requests_in_flight},
                      {"requests_queued", model.requests_queued},
                      {"places", model.places},
                      {"prompt_tokens_per_s", model.prompt_tokens_per_s},
                      {"tokens_per_s", model.tokens_per_s}});
  }
  out["models"] = std::move(models);
  return out;
}

json::object model_object(const std::string& key, const Planner& planner) {
  const ModelSpec& spec = planner.models().at(key).value;
  int copies = 0;
  std::string fetching;  // "e2 34 %, w1 2 %"
  for (const auto& [name, member] : planner.membership().members()) {
    if (!member.alive) continue;
    const SiteReport& report = member.report;
    if (report.fetching == spec.name && fetching.size() < text_bytes_max) {
      fetching += (fetching.empty() ? "" : ", ") + name + " " +
                  std::to_string(report.fetched_percent) + " %";
    }
    copies += static_cast<int>(std::ranges::count_if(
        member.report.site.models, [&](const auto& m) { return m.name == spec.name; }));
  }
  json::object out{{"name", spec.name},
                   {"content_hash", spec.content_hash},
                   {"copies", copies},
                   {"copies_min", spec.copies_min},
                   {"copies_max", spec.copies_max},
                   {"requests_per_copy", spec.requests_per_copy},
                   {"memory_bytes", spec.memory_bytes},
                   {"regions", json::value_from(spec.regions)},
                   {"prefectures", json::value_from(spec.prefectures)},
                   {"labels", json::value_from(spec.labels)},
                   {"where", shown(where_text(spec))}};
  if (!fetching.empty()) out["fetching"] = fetching;
  for (const Shortfall& shortfall : planner.shortfalls()) {
    if (shortfall.model == spec.name) out["shortfall"] = shortfall.why;
  }
  if (const auto found = planner.rollouts().find(key); found != planner.rollouts().end()) {
    const Rollout& rollout = found->second.value;
    out["rollout"] = name_of(rollout.state);
    out["rollout_site"] = rollout.site;
    out["rollout_done"] = rollout.done.size();
    out["rollout_reason"] = rollout.reason;
  }
  return out;
}

std::string text_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return "-";
  if (value->is_string()) return shown(value->as_string());
  if (value->is_number() && !value->is_int64() && !value->is_uint64()) {
    char text[32];
    std::snprintf(text, sizeof text, "%.2f", value->to_number<double>());
    return text;
  }
  return json::serialize(*value);
}

// A reason is shown whole, however long, but as one printable line.
std::string line_of(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_string()) return "-";
  std::string_view text = value->as_string();
  std::string out;
  for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(80, text.size()))) {
    out += shown(text.substr(0, 80));
  }
  return out;
}

using Row = std::vector<std::string>;

std::string models_of(const json::object& site) {
  const json::value* models = site.if_contains("models");
  if (models == nullptr || !models->is_array() || models->as_array().empty()) return "-";
  std::string out;
  for (const json::value& model : models->as_array()) {
    if (!model.is_object()) continue;
    out += (out.empty() ? "" : ",") + text_of(model.as_object(), "name");
  }
  return out;
}

std::string requests_of(const json::object& site) {
  std::int64_t requests = 0;
  const json::value* models = site.if_contains("models");
  if (models == nullptr || !models->is_array()) return "-";
  for (const json::value& model : models->as_array()) {
    if (!model.is_object()) continue;
    for (const char* key : {"requests_in_flight", "requests_queued"}) {
      const json::value* count = model.as_object().if_contains(key);
      if (count != nullptr && count->is_int64()) requests += count->as_int64();
    }
  }
  return std::to_string(requests);
}

// What is wrong with it, and with its name.
std::string fault_of(const json::object& site) {
  std::string out = text_of(site, "fault");
  if (out.empty() || out == "-") out.clear();
  const json::value* claims = site.if_contains("name_claimed_by");
  if (claims != nullptr && claims->is_array()) {
    for (const json::value& region : claims->as_array()) {
      if (!region.is_string()) continue;
      out += (out.empty() ? "" : "; ") + std::string("region ") + shown(region.as_string()) +
             " has its name too";
      const json::value* told = site.if_contains("name_refused_to");
      const bool was_told = told != nullptr && told->is_array() &&
                            std::ranges::find(told->as_array(), region) != told->as_array().end();
      if (was_told) out += " and was told to take another";
    }
  }
  return out.empty() ? "-" : out;
}

std::string sites_table(const json::array& sites) {
  std::vector<Row> rows = {
      {"SITE", "REGION", "STATE", "HEARD MS", "LEFT", "REQUESTS", "MODELS", "ADDRESS", "FAULT"}};
  for (const json::value& value : sites) {
    if (!value.is_object()) continue;
    const json::object& site = value.as_object();
    const std::string fault = fault_of(site);
    rows.push_back({text_of(site, "name"), text_of(site, "region"), text_of(site, "state"),
                    text_of(site, "heard_ms_ago"), text_of(site, "lease_share"), requests_of(site),
                    models_of(site), text_of(site, "address"), fault});
  }
  return text_table(rows);
}

// "running at e2, 1 done", "rolled_back: site e2: it has no file with the new content".
std::string rollout_of(const json::object& model) {
  std::string out = text_of(model, "rollout");
  const std::string site = text_of(model, "rollout_site");
  if (out == name_of(RolloutState::running)) {
    out += (site.empty() || site == "-" ? "" : " at " + site) + ", " +
           text_of(model, "rollout_done") + " done";
  }
  const std::string reason = line_of(model, "rollout_reason");
  return reason.empty() || reason == "-" ? out : out + ": " + reason;
}

std::string models_table(const json::array& models) {
  std::vector<Row> rows = {{"MODEL", "CONTENT", "COPIES", "MIN", "MAX", "WHERE", "FILE ON ITS WAY",
                            "ROLL-OUT", "WHY NOT MORE"}};
  for (const json::value& value : models) {
    if (!value.is_object()) continue;
    const json::object& model = value.as_object();
    rows.push_back({text_of(model, "name"), text_of(model, "content_hash").substr(0, 12),
                    text_of(model, "copies"), text_of(model, "copies_min"),
                    text_of(model, "copies_max"), text_of(model, "where"),
                    text_of(model, "fetching"), rollout_of(model), line_of(model, "shortfall")});
  }
  return text_table(rows);
}

std::string overview(const json::object& fleet) {
  std::vector<Row> rows;
  for (const auto& [key, value] : fleet) {
    if (value.is_array() || key == "v") continue;
    if (!value.is_object()) {
      rows.push_back({std::string(key), text_of(fleet, std::string(key).c_str())});
      continue;
    }
    for (const auto& [inner, count] : value.as_object()) {
      rows.push_back({std::string(key) + "." + std::string(inner),
                      text_of(value.as_object(), std::string(inner).c_str())});
    }
  }
  return text_table(rows);
}

}  // namespace

std::string Control::status_text(const StatusAsk& ask) const {
  const std::lock_guard lock(mutex_);
  const std::int64_t now_ns = clock_.now_ns();
  const auto& facts = planner_.facts();
  const auto& members = planner_.membership().members();
  json::object page{{"v", 1}, {"control", config_.id}};
  // Numbers of the whole are told once: counting them for every page would take long.
  const bool first = ask.sites_after.value_or("").empty() && ask.models_after.value_or("").empty();
  if (first) add_overview(page, now_ns);
  if (ask.sites_after) {
    PageList sites;
    auto fact = facts.upper_bound(*ask.sites_after);
    auto member = members.upper_bound(*ask.sites_after);
    while (fact != facts.end() || member != members.end()) {
      const bool of_fact =
          member == members.end() || (fact != facts.end() && fact->first <= member->first);
      const std::string& name = of_fact ? fact->first : member->first;
      if (!sites.add(name, site_object(name, planner_, now_ns))) break;
      if (member != members.end() && member->first == name) ++member;
      if (of_fact) ++fact;
    }
    if (first) page["sites_shown"] = sites.items.size();
    sites.put_into(page, "sites");
  }
  if (ask.models_after) {
    PageList models;
    // Their keys are not their names, and have another order.
    const auto& all = planner_.models();
    for (auto model = all.upper_bound(*ask.models_after); model != all.end(); ++model) {
      if (!models.add(model->first, model_object(model->first, planner_))) break;
    }
    models.put_into(page, "models");
  }
  return json::serialize(page);
}

void Control::add_overview(json::object& page, std::int64_t now_ns) const {
  const auto& facts = planner_.facts();
  std::size_t known = facts.size();
  std::size_t alive = 0;
  for (const auto& [name, member] : planner_.membership().members()) {
    known += facts.count(name) == 0 ? 1 : 0;
    alive += member.alive ? 1 : 0;
  }
  page["leader"] = leadership_.holder();
  page["term"] = leadership_.term();
  page["sends_digests"] = sends_digests(now_ns);
  page["sites_known"] = known;
  page["sites_alive"] = alive;
  page["names_contested"] = planner_.contested();
  page["counters"] = {
      {"beats", counters_.beats},           {"refused", counters_.refused},
      {"duplicates", counters_.duplicates}, {"digests", counters_.digests},
      {"commands", counters_.commands},     {"commands_refused", counters_.commands_refused},
      {"writes", counters_.writes},         {"writes_lost", counters_.writes_lost},
      {"plans", counters_.plans},           {"plans_dropped", counters_.plans_dropped},
      {"last_error", counters_.last_error}};
}

std::string status_ask_text(const StatusAsk& ask) {
  json::object out{{"v", 1}};
  if (ask.sites_after) out["sites_after"] = *ask.sites_after;
  if (ask.models_after) out["models_after"] = *ask.models_after;
  return json::serialize(out);
}

Result<StatusAsk> parse_status_ask(std::string_view bytes) {
  if (bytes.empty()) return StatusAsk{.sites_after = "", .models_after = ""};
  const auto document = parse_document(bytes, 16 << 10);
  if (!document) return Error{"status: " + document.error().message};
  std::optional<Error> error;
  JsonFields fields(*document, "status", error);
  StatusAsk ask;
  // A model's key: three letters for one of its name's.
  for (const auto& [key, after] :
       {std::pair{"sites_after", &ask.sites_after}, {"models_after", &ask.models_after}}) {
    if (fields.has(key)) fields.text(key, after->emplace(), 3 * text_bytes_max);
  }
  if (error) return *std::move(error);
  return ask;
}

Result<std::string> whole_status(
    std::string_view kind, const std::function<Result<std::string>(const std::string&)>& ask) {
  StatusAsk next;
  if (kind.empty() || kind == "sites") next.sites_after = "";
  if (kind.empty() || kind == "models") next.models_after = "";
  json::object whole;
  for (int pages = 0; pages < pages_max; ++pages) {
    const Result<std::string> answer = ask(status_ask_text(next));
    if (!answer) return answer.error();
    auto page = parse_document(*answer, page_bytes_max);
    if (!page) return Error{"the fleet's status " + page.error().message};
    std::optional<Error> error;
    JsonFields fields(*page, "the fleet's status", error);
    std::string refusal;
    fields.text("error", refusal, 4096);
    for (const auto& [key, after] :
         {std::pair{"sites", &next.sites_after}, {"models", &next.models_after}}) {
      if (!*after) continue;
      fields.require(key);
      const json::array* list = fields.objects(key, page_bytes_max);
      const std::string next_key = std::string(key) + "_next";
      std::string reached;
      fields.text(next_key.c_str(), reached, 3 * text_bytes_max);
      if (error) break;
      if (pages > 0 && list != nullptr) {
        json::array& all = whole[key].as_array();
        all.insert(all.end(), list->begin(), list->end());
      }
      if (!reached.empty() && reached <= **after) {
        fields.fail(next_key.c_str(), "is '" + shown(reached) + "', which was asked for already");
      }
      after->reset();
      if (!reached.empty()) *after = reached;
    }
    if (!refusal.empty()) return Error{"the control plane refuses: " + shown(refusal)};
    if (error) return *std::move(error);
    if (pages == 0) whole = *std::move(page);
    if (next.sites_after || next.models_after) continue;
    for (const char* key : {"sites_next", "models_next"}) whole.erase(key);
    if (const json::value* sites = whole.if_contains("sites"); sites != nullptr) {
      whole["sites_shown"] = sites->as_array().size();
    }
    return json::serialize(whole);
  }
  return Error{"the fleet's status does not end after " + std::to_string(pages_max) + " pages"};
}

std::string text_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string out;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i] + std::string(widths[i] - row[i].size() + 2, ' ');
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

Result<std::string> status_table(std::string_view kind, std::string_view document) {
  const auto parsed = parse_document(document, whole_bytes_max);
  if (!parsed) return Error{"the fleet's status " + parsed.error().message};
  if (kind == "status") return overview(*parsed);
  const json::value* list = parsed->if_contains(kind);
  if (list == nullptr || !list->is_array()) {
    return Error{"the fleet's status has no list of " + std::string(kind)};
  }
  return kind == "sites" ? sites_table(list->as_array()) : models_table(list->as_array());
}

}  // namespace noroshi::fleet
