#include <algorithm>

#include "gateway/route/candidates.h"

namespace noroshi::gateway::ref {

std::size_t best_copies(const Candidates& table, const BestQuery& query, std::span<Scored> best) {
  struct Exact {
    double score_s;
    std::uint32_t copy;
  };
  std::vector<Exact> all;
  for (std::size_t i = 0; i < table.copies.size(); ++i) {
    const std::uint32_t copy = table.copies[i];
    if (copy == Candidates::absent) continue;
    if (std::ranges::find(query.passed_by, copy) != query.passed_by.end()) continue;
    all.push_back(
        {static_cast<double>(table.fixed_s[i]) +
             std::max(0.0, static_cast<double>(table.reads_until_s[i]) - query.now_s) +
             static_cast<double>(query.prompt_tokens) * table.per_prompt_token_s[i] +
             static_cast<double>(query.completion_tokens) * table.per_completion_token_s[i],
         copy});
  }
  std::ranges::stable_sort(all, {}, &Exact::score_s);
  std::size_t count = 0;
  for (const Exact& one : all) {
    const bool within = one.score_s < all[0].score_s * (1 + static_cast<double>(query.band)) +
                                          static_cast<double>(query.band_s);
    if (count == best.size() || (count > 0 && !within)) break;
    best[count++] = {static_cast<float>(one.score_s), one.copy};
  }
  return count;
}

}  // namespace noroshi::gateway::ref
