#pragma once

// What the cells of a site tell one another every tick: the work that each knows to come, and which
// processors it wants for the radio alone. One writer a cell, any number of readers; nobody waits.

#include <array>
#include <atomic>
#include <cstdint>

#include "base/view.h"
#include "site/lease/lease.h"

namespace noroshi::site {

class LeaseBoard {
 public:
  static constexpr int cells_max = 16;
  static constexpr int pieces_max = 8;  // of one cell

  // Of this cell from now on; at most pieces_max.
  void publish(int cell, View<const RadioWork, 1> work, std::uint64_t taken);
  // A cell that has stopped wants nothing.
  void withdraw(int cell) { publish(cell, {}, 0); }

  // Appends the pieces of all other cells to the `count` of our own that out holds, as far as there
  // is room, and puts all in the order of their release; others' first, of the same release: who of
  // two threads runs first nobody knows. Returns how many there are. A cell that is writing at this
  // very moment is left out: it decides now, by what is published here.
  std::size_t gather(int cell, View<RadioWork, 1> out, std::size_t count) const;

  // Bit p: some cell wants radio processor p.
  std::uint64_t taken() const;

  // When a worker of any cell last ended a tick on this radio processor: who waits for another
  // cell's work was not stalled by the host.
  void note_end(int processor, std::int64_t time_ns) {
    ends_ns_[static_cast<std::size_t>(processor)].store(time_ns, std::memory_order_relaxed);
  }
  std::int64_t end_ns(int processor) const {
    return ends_ns_[static_cast<std::size_t>(processor)].load(std::memory_order_relaxed);
  }

 private:
  struct Piece {
    std::atomic<int> processor{0};
    std::atomic<std::int64_t> release_ns{0}, p50_ns{0};
  };
  struct Cell {
    std::atomic<std::uint32_t> version{0};  // odd: being written
    std::atomic<std::uint32_t> count{0};
    std::atomic<std::uint64_t> taken{0};
    std::array<Piece, pieces_max> pieces;
  };
  std::array<Cell, cells_max> cells_;
  std::array<std::atomic<std::int64_t>, Lease::processors_max> ends_ns_{};
};

}  // namespace noroshi::site
