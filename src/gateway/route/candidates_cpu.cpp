#include <algorithm>
#include <cassert>

#include "gateway/route/candidates.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "gateway/route/candidates_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::gateway::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;

// The best of late, in order, and the score that another must be below to come among them.
struct Best {
  const BestQuery& query;
  std::span<Scored> list;
  std::size_t count = 0;
  float limit = std::numeric_limits<float>::infinity();

  void offer(float score, std::uint32_t copy) {
    if (!(score < limit)) return;
    if (std::ranges::find(query.passed_by, copy) != query.passed_by.end()) return;
    std::size_t at = std::min(count, list.size() - 1);
    for (; at > 0 && list[at - 1].score_s > score; --at) list[at] = list[at - 1];
    list[at] = {score, copy};
    count = std::min(count + 1, list.size());
    limit = list[0].score_s * (1 + query.band) + query.band_s;
    if (count == list.size()) limit = std::min(limit, list[count - 1].score_s);
  }
};

// What is asked, in every lane.
struct Lanes {
  V prompt, completion, now;
};

V score_at(const float* fixed, const float* prompt, const float* completion, const float* until,
           std::size_t at, const Lanes& asked) {
  const D d;
  const V backlog = hn::Max(hn::Zero(d), hn::Sub(hn::LoadU(d, until + at), asked.now));
  return hn::MulAdd(asked.prompt, hn::LoadU(d, prompt + at),
                    hn::MulAdd(asked.completion, hn::LoadU(d, completion + at),
                               hn::Add(backlog, hn::LoadU(d, fixed + at))));
}

void scan_block(const Candidates& table, std::size_t block, const Lanes& asked, Best& best) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  constexpr std::size_t copies = Candidates::block_copies;
  HWY_ALIGN float scores[16];
  const std::size_t turn = best.query.turn % copies / lanes * lanes;
  for (std::size_t i = 0; i < copies; i += lanes) {
    const std::size_t at = block * copies + (i + turn) % copies;
    const V score =
        score_at(table.fixed_s.data(), table.per_prompt_token_s.data(),
                 table.per_completion_token_s.data(), table.reads_until_s.data(), at, asked);
    if (hn::AllFalse(d, hn::Lt(score, hn::Set(d, best.limit)))) continue;
    hn::Store(score, d, scores);
    for (std::size_t k = 0; k < lanes; ++k) best.offer(scores[k], table.copies[at + k]);
  }
}

// Opens the blocks in [from, to) that can hold a better copy, but for the one opened already.
void scan_blocks(const Candidates& table, const float* bounds, std::size_t from, std::size_t to,
                 std::size_t opened, const Lanes& asked, Best& best) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t at = from; at < to; at += lanes) {
    if (hn::AllFalse(d, hn::Lt(hn::LoadU(d, bounds + at), hn::Set(d, best.limit)))) continue;
    for (std::size_t block = at; block < at + lanes; ++block) {
      if (bounds[block] < best.limit && block != opened) scan_block(table, block, asked, best);
    }
  }
}

}  // namespace

std::size_t best_of(const Candidates& table, const BestQuery& query, std::span<float> scratch,
                    std::span<Scored> out) {
  const D d;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t count = table.bound_fixed().size();
  const Lanes asked{hn::Set(d, query.prompt_tokens), hn::Set(d, query.completion_tokens),
                    hn::Set(d, query.now_s)};
  V least = hn::Set(d, std::numeric_limits<float>::infinity());
  for (std::size_t at = 0; at < count; at += lanes) {
    const V bound =
        score_at(table.bound_fixed().data(), table.bound_prompt().data(),
                 table.bound_completion().data(), table.bound_reads_until().data(), at, asked);
    hn::StoreU(bound, d, scratch.data() + at);
    least = hn::Min(least, bound);
  }
  Best best{query, out};
  const float lowest = hn::GetLane(hn::MinOfLanes(d, least));
  if (lowest == std::numeric_limits<float>::infinity()) return 0;
  // The most promising block first: after it few others are worth opening. Then around from where
  // the query's turn says, so that among equals each comes first at some time.
  const std::size_t turn = query.turn % count;
  const std::size_t start = turn / lanes * lanes;
  std::size_t first = turn;
  while (scratch[first] != lowest) first = first + 1 < count ? first + 1 : 0;
  scan_block(table, first, asked, best);
  scan_blocks(table, scratch.data(), start, count, first, asked, best);
  scan_blocks(table, scratch.data(), 0, start, first, asked, best);
  // What came in while the limit was higher.
  while (best.count > 1 &&
         !(out[best.count - 1].score_s < out[0].score_s * (1 + query.band) + query.band_s)) {
    --best.count;
  }
  return best.count;
}

}  // namespace noroshi::gateway::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::gateway::cpu {

HWY_EXPORT(best_of);

std::size_t best_copies(const Candidates& table, const BestQuery& query, std::span<float> scratch,
                        std::span<Scored> best) {
  assert(!best.empty() && best.size() <= best_copies_max);
  assert(scratch.size() >= table.bound_fixed().size());
  if (table.size() == 0) return 0;
  return HWY_DYNAMIC_DISPATCH(best_of)(table, query, scratch, best);
}

}  // namespace noroshi::gateway::cpu
#endif
