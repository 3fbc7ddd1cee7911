#pragma once

// The bit selection of TS 38.212 5.4.2.1 as few contiguous stretches of the circular buffer.

#include <algorithm>
#include <cassert>

#include "fec/rate_match/rate_match.h"

namespace noroshi::fec {

struct Selection {
  int before = 0;   // bits that are no fillers, before the fillers
  int fillers = 0;  // of them within the buffer
  int kept = 0;     // bits that are no fillers: the period of e
  int first = 0;    // number of e(0) among them

  explicit Selection(const RateMatch& match) {
    assert(match.start >= 0 && match.start < match.buffer_bits);
    before = std::min(match.filler_start, match.buffer_bits);
    fillers = std::min(match.filler_bits, match.buffer_bits - before);
    kept = match.buffer_bits - fillers;
    assert(before >= 0 && fillers >= 0 && kept > 0);
    first = match.start <= before ? match.start : std::max(before, match.start - fillers);
    if (first == kept) first = 0;
  }
};

// Calls visit(position in the buffer, offset from k, count) for stretches that together are
// e(k) ... e(k + count - 1).
template <class Visit>
inline void for_stretches(const Selection& selection, int k, int count, Visit visit) {
  int rank = selection.first + k;
  if (rank >= selection.kept) rank %= selection.kept;
  for (int done = 0; done < count;) {
    const bool early = rank < selection.before;
    const int end = early ? selection.before : selection.kept;
    const int size = std::min(end - rank, count - done);
    visit(early ? rank : rank + selection.fillers, done, size);
    done += size;
    rank = rank + size == selection.kept ? 0 : rank + size;
  }
}

}  // namespace noroshi::fec
