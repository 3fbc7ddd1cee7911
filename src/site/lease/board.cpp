#include "site/lease/board.h"

#include <algorithm>
#include <cassert>

namespace noroshi::site {
namespace {

constexpr auto relaxed = std::memory_order_relaxed;
constexpr auto acquire = std::memory_order_acquire;
constexpr auto release = std::memory_order_release;

bool is_before(const RadioWork& a, const RadioWork& b) {
  if (a.release_ns != b.release_ns) return a.release_ns < b.release_ns;
  return a.model == nullptr && b.model != nullptr;
}

}  // namespace

// A sequence lock whose fields are all atomic, so that a torn reading is only one to be dropped.
// Each store of a field releases the odd version before it; each load acquires what it may have
// seen, before the version is looked at again.
void LeaseBoard::publish(int cell, View<const RadioWork, 1> work, std::uint64_t taken) {
  assert(0 <= cell && cell < cells_max && work.size() <= pieces_max);
  Cell& mine = cells_[static_cast<std::size_t>(cell)];
  const std::uint32_t version = mine.version.load(relaxed);
  mine.version.store(version + 1, relaxed);
  mine.count.store(static_cast<std::uint32_t>(work.size()), release);
  for (std::size_t i = 0; i < work.size(); ++i) {
    mine.pieces[i].processor.store(work.data()[i].processor, release);
    mine.pieces[i].release_ns.store(work.data()[i].release_ns, release);
    mine.pieces[i].p50_ns.store(work.data()[i].p50_ns, release);
  }
  mine.taken.store(taken, release);
  mine.version.store(version + 2, release);
}

std::size_t LeaseBoard::gather(int cell, View<RadioWork, 1> out, std::size_t count) const {
  for (int c = 0; c < cells_max; ++c) {
    if (c == cell) continue;
    const Cell& other = cells_[static_cast<std::size_t>(c)];
    const std::uint32_t version = other.version.load(acquire);
    const std::size_t pieces =
        std::min<std::size_t>({other.count.load(acquire), pieces_max, out.size() - count});
    for (std::size_t i = 0; i < pieces; ++i) {
      RadioWork& piece = out.data()[count + i];
      piece = RadioWork();
      piece.processor = other.pieces[i].processor.load(acquire);
      piece.release_ns = other.pieces[i].release_ns.load(acquire);
      piece.p50_ns = other.pieces[i].p50_ns.load(acquire);
    }
    if (version % 2 == 0 && other.version.load(relaxed) == version) count += pieces;
  }
  // By insertion: few, nearly in order, and stable.
  for (std::size_t i = 1; i < count; ++i) {
    for (std::size_t k = i; k > 0 && is_before(out.data()[k], out.data()[k - 1]); --k)
      std::swap(out.data()[k], out.data()[k - 1]);
  }
  return count;
}

std::uint64_t LeaseBoard::taken() const {
  std::uint64_t taken = 0;
  for (const Cell& cell : cells_) taken |= cell.taken.load(relaxed);
  return taken;
}

}  // namespace noroshi::site
