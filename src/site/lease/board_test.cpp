// Catches cells that do not see one another's work, see it torn, or keep a processor after they
// have stopped.

#include "site/lease/board.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace noroshi::site {
namespace {

RadioWork piece(int processor, std::int64_t release_ns, std::int64_t p50_ns) {
  RadioWork work;
  work.processor = processor;
  work.release_ns = release_ns;
  work.p50_ns = p50_ns;
  return work;
}

TEST(LeaseBoard, GathersOthersWorkInTheOrderOfItsRelease) {
  LeaseBoard board;
  const CostModel model;
  std::array<RadioWork, 16> work;
  work[0] = piece(0, 100, 1);
  work[1] = piece(0, 300, 2);
  work[0].model = work[1].model = &model;  // ours
  const std::vector<RadioWork> mine(work.begin(), work.begin() + 2);
  board.publish(1, mine, 0b10);
  board.publish(0, std::vector<RadioWork>{piece(1, 100, 3), piece(0, 200, 4)}, 0b01);
  const std::size_t count = board.gather(1, work, 2);
  ASSERT_EQ(count, 4u);
  std::vector<std::int64_t> order;
  for (std::size_t i = 0; i < count; ++i) order.push_back(work[i].p50_ns);
  EXPECT_EQ(order, (std::vector<std::int64_t>{3, 1, 4, 2}));
  EXPECT_EQ(work[2].model, nullptr);
  EXPECT_EQ(board.taken(), 0b11u);

  board.withdraw(0);
  work[0] = mine[0];
  EXPECT_EQ(board.gather(1, work, 1), 1u);
  EXPECT_EQ(board.taken(), 0b10u);
}

TEST(LeaseBoard, TakesNoMoreThanThereIsRoomFor) {
  LeaseBoard board;
  const std::vector<RadioWork> many(LeaseBoard::pieces_max, piece(0, 1, 1));
  for (int cell = 0; cell < LeaseBoard::cells_max; ++cell) board.publish(cell, many, 0);
  std::array<RadioWork, 20> work;
  EXPECT_EQ(board.gather(0, work, 0), work.size());
}

// What is read belongs together, or is left out.
TEST(LeaseBoard, NeverShowsHalfOfWhatACellWrote) {
  LeaseBoard board;
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (std::int64_t round = 1; round <= 20'000; ++round) {
      std::vector<RadioWork> work(static_cast<std::size_t>(1 + round % LeaseBoard::pieces_max),
                                  piece(0, round, round));
      board.publish(1, work, 0);
    }
    done.store(true);
  });
  std::array<RadioWork, LeaseBoard::pieces_max> seen;
  while (!done.load()) {
    const std::size_t count = board.gather(0, seen, 0);
    for (std::size_t i = 0; i < count; ++i) {
      ASSERT_EQ(seen[i].release_ns, seen[0].release_ns);
      ASSERT_EQ(seen[i].p50_ns, seen[i].release_ns);
    }
    if (count > 0) {
      ASSERT_EQ(static_cast<std::int64_t>(count), 1 + seen[0].release_ns % LeaseBoard::pieces_max);
    }
  }
  writer.join();
}

}  // namespace
}  // namespace noroshi::site
