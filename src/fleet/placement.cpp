#include "fleet/placement.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>

namespace noroshi::fleet {
namespace {

constexpr double keep_above = 0.7;  // of the demand that one copy less could take

bool has(const std::vector<std::string>& texts, const std::string& text) {
  return std::ranges::find(texts, text) != texts.end();
}

const std::string& proven_hash(const ModelSpec& model) {
  return model.previous_hash.empty() ? model.content_hash : model.previous_hash;
}

// The copy that the site has of the model, with a content that may answer to its name.
const ModelFile* copy_at(const ModelSpec& model, const PlacementSite& site) {
  const auto found = std::ranges::find_if(site.models, [&](const ModelFile& m) {
    return m.name == model.name &&
           (m.content_hash == model.content_hash || m.content_hash == model.previous_hash);
  });
  return found == site.models.end() ? nullptr : &*found;
}

bool has_file(const ModelSpec& model, const PlacementSite& site) {
  return std::ranges::any_of(site.files, [&](const ModelFile& f) { return f.name == model.name; });
}

struct Place {
  std::uint64_t memory_left = 0;
  int engines = 0;
};

struct Candidate {
  std::size_t site = 0;
  bool runs_it = false;
  bool has_file = false;
  double capacity = 0;
};

struct Work {
  const std::vector<PlacementSite>& sites;
  std::vector<Place> places;
  Placement out;
};

// The model's possible sites: those that run it first, then by capacity.
std::vector<Candidate> candidates(const ModelSpec& model, const Work& work) {
  std::vector<Candidate> out;
  for (std::size_t i = 0; i < work.sites.size(); ++i) {
    if (!why_not(model, work.sites[i]).empty()) continue;
    out.push_back({.site = i,
                   .runs_it = copy_at(model, work.sites[i]) != nullptr,
                   .has_file = has_file(model, work.sites[i]),
                   .capacity = work.sites[i].processors_left / (1 + work.places[i].engines)});
  }
  std::ranges::sort(out, [&](const Candidate& a, const Candidate& b) {
    if (a.runs_it != b.runs_it) return a.runs_it;
    if (a.has_file != b.has_file) return a.has_file;
    if (a.capacity != b.capacity) return a.capacity > b.capacity;
    return work.sites[a.site].name < work.sites[b.site].name;
  });
  return out;
}

bool put(const ModelSpec& model, std::size_t i, Work& work) {
  const PlacementSite& site = work.sites[i];
  Place& place = work.places[i];
  std::vector<ModelFile>& models = work.out.sites.at(site.name);
  if (place.memory_left < model.memory_bytes) return false;
  if (std::ranges::any_of(models, [&](const ModelFile& m) { return m.name == model.name; })) {
    return false;  // one copy a site
  }
  place.memory_left -= model.memory_bytes;
  ++place.engines;
  const ModelFile* copy = copy_at(model, site);
  models.push_back({.name = model.name,
                    .content_hash = copy != nullptr ? copy->content_hash : proven_hash(model),
                    .memory_bytes = model.memory_bytes});
  return true;
}

// Adds copies until there are `wanted`. Returns how many there are.
int fill(const ModelSpec& model, int placed, int wanted, Work& work) {
  if (placed >= wanted) return placed;
  // By whether they lack the file, then by prefecture; best last.
  std::map<std::pair<bool, std::string>, std::vector<std::size_t>> fresh;
  std::map<std::string, int> copies;  // by prefecture
  const std::vector<Candidate> possible = candidates(model, work);
  for (const Candidate& candidate : possible) {
    const std::string& prefecture = work.sites[candidate.site].prefecture;
    if (!candidate.runs_it) {
      fresh[{!candidate.has_file, prefecture}].push_back(candidate.site);
    } else if (placed < wanted && put(model, candidate.site, work)) {
      ++placed;
    }
    const auto& models = work.out.sites.at(work.sites[candidate.site].name);
    copies[prefecture] += static_cast<int>(
        std::ranges::count_if(models, [&](const ModelFile& m) { return m.name == model.name; }));
  }
  // Those that have the file first; among them the prefecture with the fewest copies.
  std::set<std::tuple<bool, int, std::string>> turn;
  for (auto& [key, list] : fresh) {
    std::ranges::reverse(list);
    turn.insert({key.first, copies[key.second], key.second});
  }
  while (placed < wanted && !turn.empty()) {
    const auto [lacks_file, count, prefecture] = *turn.begin();
    turn.erase(turn.begin());
    std::vector<std::size_t>& list = fresh[{lacks_file, prefecture}];
    const bool done = put(model, list.back(), work);
    list.pop_back();
    placed += done ? 1 : 0;
    if (!list.empty()) turn.insert({lacks_file, count + (done ? 1 : 0), prefecture});
  }
  return placed;
}

int wanted_copies(const ModelSpec& model, double requests, int now) {
  const auto for_demand = [&](double demand) {
    return static_cast<int>(std::min(1e6, std::ceil(demand / model.requests_per_copy)));
  };
  const int grown = std::max(model.copies_min, for_demand(requests));
  // As many as now, while one less could not take the demand with some room.
  const int kept = std::min(now, for_demand(requests / keep_above));
  return std::clamp(std::max(grown, kept), model.copies_min, model.copies_max);
}

Shortfall shortfall_of(const ModelSpec& model, int wanted, int placed, const Work& work) {
  std::map<std::string, int> reasons;
  for (std::size_t i = 0; i < work.sites.size(); ++i) {
    const auto& models = work.out.sites.find(work.sites[i].name);
    const bool has_it = models != work.out.sites.end() &&
                        std::ranges::any_of(models->second, [&](const ModelFile& m) {
                          return m.name == model.name;
                        });
    if (has_it) continue;
    const std::string why = why_not(model, work.sites[i]);
    ++reasons[why.empty() ? "too little memory left" : why];
  }
  std::string text;
  for (const auto& [reason, count] : reasons) {
    text += (text.empty() ? "" : "; ") + std::to_string(count) + " of " +
            std::to_string(work.sites.size()) + " sites: " + reason;
  }
  return {.model = model.name,
          .wanted = wanted,
          .placed = placed,
          .why = text.empty() ? "there are no more sites" : text};
}

std::string where_not(const ModelSpec& model, const std::string& region,
                      const std::string& prefecture, const std::vector<std::string>& labels) {
  if (!model.regions.empty() && !has(model.regions, region)) return "another region";
  if (!model.prefectures.empty() && !has(model.prefectures, prefecture)) {
    return "another prefecture";
  }
  for (const std::string& label : model.labels) {
    if (!has(labels, label)) return "without label '" + label + "'";
  }
  return {};
}

}  // namespace

bool is_where(const ModelSpec& model, const std::string& region, const std::string& prefecture,
              const std::vector<std::string>& labels) {
  return where_not(model, region, prefecture, labels).empty();
}

std::string where_text(const ModelSpec& model) {
  std::string out;
  for (const auto& [what, names] : {std::pair{"region ", &model.regions},
                                    {"prefecture ", &model.prefectures},
                                    {"label ", &model.labels}}) {
    for (std::size_t i = 0; i < names->size(); ++i) {
      out += i > 0 ? "," : (out.empty() ? "" : "; ") + std::string(what);
      out += (*names)[i];
    }
  }
  return out.empty() ? "anywhere" : out;
}

std::string why_not(const ModelSpec& model, const PlacementSite& site) {
  if (!site.alive) return "lost";
  if (site.draining) return "draining";
  std::string elsewhere = where_not(model, site.region, site.prefecture, site.labels);
  if (!elsewhere.empty()) return elsewhere;
  bool other_content = false;
  for (const ModelFile& file : site.files) {
    if (file.name != model.name) continue;
    if (file.content_hash == proven_hash(model) || copy_at(model, site) != nullptr) return {};
    other_content = true;
  }
  if (other_content) return "its file has another content hash than the model";
  if (site.disk_bytes == 0) return "without the file";
  return site.disk_bytes < model.memory_bytes ? "without the file and the disk for it" : "";
}

Placement place(const std::vector<ModelSpec>& models, const std::vector<PlacementSite>& sites,
                const std::map<std::string, double>& requests) {
  Work work{.sites = sites, .places = {}, .out = {}};
  for (const PlacementSite& site : sites) {
    work.places.push_back({.memory_left = site.memory_bytes, .engines = 0});
    if (site.alive) work.out.sites[site.name];
  }
  struct Turn {
    const ModelSpec* model;
    std::ptrdiff_t possible;
    int now;
    int placed;
  };
  std::vector<Turn> turns;
  for (const ModelSpec& model : models) {
    const auto possible =
        std::ranges::count_if(sites, [&](const auto& s) { return why_not(model, s).empty(); });
    const auto now = std::ranges::count_if(sites, [&](const auto& s) {
      return s.alive && !s.draining && copy_at(model, s) != nullptr;
    });
    turns.push_back({&model, possible, static_cast<int>(now), 0});
  }
  std::ranges::sort(turns, [](const Turn& a, const Turn& b) {
    return std::tie(a.possible, a.model->name) < std::tie(b.possible, b.model->name);
  });
  for (Turn& turn : turns) turn.placed = fill(*turn.model, 0, turn.model->copies_min, work);
  for (Turn& turn : turns) {
    const auto found = requests.find(turn.model->name);
    const int wanted =
        wanted_copies(*turn.model, found == requests.end() ? 0 : found->second, turn.now);
    turn.placed = fill(*turn.model, turn.placed, wanted, work);
    if (turn.placed < wanted) {
      work.out.shortfalls.push_back(shortfall_of(*turn.model, wanted, turn.placed, work));
    }
  }
  for (auto& [name, list] : work.out.sites) {
    std::ranges::sort(list, {}, [](const ModelFile& m) { return m.name; });
  }
  return std::move(work.out);
}

}  // namespace noroshi::fleet
