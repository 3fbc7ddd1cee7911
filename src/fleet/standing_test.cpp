// Catches: a member that is not in its fleet and says nothing, or says the same each second, or
// does not say that it is in again.

#include "fleet/standing.h"

#include <gtest/gtest.h>

#include "fleet/memory_bus.h"

namespace noroshi::fleet {
namespace {

TEST(Standing, IsToldOnceForEachWhy) {
  MemoryNetwork network;
  const auto bus = network.join("a");
  Standing standing(*bus, "fleet.key");
  EXPECT_EQ(standing.news(), "") << "all is well from the start";
  for (int round = 0; round < 2; ++round) {
    network.cut_off("a", true);
    EXPECT_EQ(standing.news(), "") << "it may be back at once";
    EXPECT_EQ(standing.news(), "not in the fleet: no connection; look at fleet.key");
    EXPECT_EQ(standing.news(), "");
    network.cut_off("a", false);
    EXPECT_EQ(standing.news(), "in the fleet again");
    EXPECT_EQ(standing.news(), "");
  }
  network.cut_off("a", true);
  EXPECT_EQ(standing.news(), "");
  network.cut_off("a", false);
  EXPECT_EQ(standing.news(), "") << "nobody heard that it was out";
}

}  // namespace
}  // namespace noroshi::fleet
