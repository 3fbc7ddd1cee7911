#pragma once

// Which models run on which sites. From nothing each time, yet nothing moves without need:
//
//   1  every model gets its minimum of copies, the model with the fewest possible sites first
//   2  then as many more as its demand asks: ceil(requests in flight / requests a copy), at most
//      its maximum; a copy goes only when demand is below 70 % of what one copy less could take
//   A site is possible when it is alive, not draining, in the model's regions and prefectures, has
//   its labels, the file with the right content (or none of that name, and room on its disk: the
//   file is then sent to it, file_share.h), and the memory.
//   Among them: those that run it now; then those that have the file; then the prefecture with the
//   fewest copies; then the most processors that the radio will leave (lease forecast x processors
//   / engines there).
//
// Pure and deterministic.

#include <map>
#include <string>
#include <vector>

#include "fleet/desired.h"

namespace noroshi::fleet {

struct PlacementSite {
  std::string name = {};
  std::string region = {};
  std::string prefecture = {};
  std::vector<std::string> labels = {};
  std::uint64_t memory_bytes = 0;
  double processors_left = 0;  // that the radio will leave
  bool alive = true;
  bool draining = false;
  std::vector<ModelFile> files = {};   // that it has
  std::uint64_t disk_bytes = 0;        // for files that it may be sent
  std::vector<ModelFile> models = {};  // that it is to run until now
};

struct Shortfall {
  std::string model = {};
  int wanted = 0;
  int placed = 0;
  std::string why = {};  // "2 of 4 sites are draining, 2 have too little memory"
};

struct Placement {
  std::map<std::string, std::vector<ModelFile>> sites = {};  // every living site's, sorted by name
  std::vector<Shortfall> shortfalls = {};
};

// requests: in flight and queued, of each model. A model whose roll-out is under way
// (previous_hash) gets new copies with the content that is proven.
Placement place(const std::vector<ModelSpec>& models, const std::vector<PlacementSite>& sites,
                const std::map<std::string, double>& requests);

// Why the site cannot have a copy; empty: it can, as far as memory allows.
std::string why_not(const ModelSpec& model, const PlacementSite& site);

// Whether the model's constraints allow a site there.
bool is_where(const ModelSpec& model, const std::string& region, const std::string& prefecture,
              const std::vector<std::string>& labels);
// The constraints in words: "region east; label sovereign"; "anywhere" without any.
std::string where_text(const ModelSpec& model);

}  // namespace noroshi::fleet
