#include "nr/resource_allocation.h"

#include <algorithm>
#include <cassert>
#include <string>

namespace noroshi::nr {

int resource_indication_value(int bandwidth_rbs, RbRange range) {
  assert(range.count >= 1 && range.first >= 0 && bandwidth_rbs <= rb_max &&
         range.first + range.count <= bandwidth_rbs);
  if (range.count - 1 <= bandwidth_rbs / 2) return bandwidth_rbs * (range.count - 1) + range.first;
  return bandwidth_rbs * (bandwidth_rbs - range.count + 1) + bandwidth_rbs - 1 - range.first;
}

Result<RbRange> resource_range(int bandwidth_rbs, int resource_indication_value) {
  if (bandwidth_rbs < 1 || bandwidth_rbs > rb_max)
    return Error{"bandwidth_rbs is " + std::to_string(bandwidth_rbs) + ", allowed: 1.." +
                 std::to_string(rb_max)};
  const int values = bandwidth_rbs * (bandwidth_rbs + 1) / 2;
  if (resource_indication_value < 0 || resource_indication_value >= values)
    return Error{"resource_indication_value is " + std::to_string(resource_indication_value) +
                 ", allowed: 0.." + std::to_string(values - 1) + " for " +
                 std::to_string(bandwidth_rbs) + " blocks"};
  // The two forms share the rows of a table: S + L <= N tells them apart.
  const int row = resource_indication_value / bandwidth_rbs;
  const int column = resource_indication_value % bandwidth_rbs;
  if (column + row + 1 <= bandwidth_rbs) return RbRange{column, row + 1};
  return RbRange{bandwidth_rbs - 1 - column, bandwidth_rbs - row + 1};
}

int rbg_size(int bandwidth_rbs, int configuration) {
  assert(bandwidth_rbs >= 1 && bandwidth_rbs <= rb_max);
  assert(configuration == 1 || configuration == 2);
  const bool two = configuration == 2;
  if (bandwidth_rbs <= 36) return two ? 4 : 2;
  if (bandwidth_rbs <= 72) return two ? 8 : 4;
  if (bandwidth_rbs <= 144) return two ? 16 : 8;
  return 16;
}

int rbg_count(int bandwidth_start, int bandwidth_rbs, int configuration) {
  const int size = rbg_size(bandwidth_rbs, configuration);
  return (bandwidth_rbs + bandwidth_start % size + size - 1) / size;
}

Result<std::bitset<rb_max>> rbg_blocks(int bandwidth_start, int bandwidth_rbs, int configuration,
                                       std::uint32_t groups) {
  const int size = rbg_size(bandwidth_rbs, configuration);
  const int count = rbg_count(bandwidth_start, bandwidth_rbs, configuration);
  if (std::uint64_t{groups} >> count != 0)
    return Error{"groups is " + std::to_string(groups) + ", allowed: bits of " +
                 std::to_string(count) + " resource block groups"};
  std::bitset<rb_max> blocks;
  for (int rb = 0; rb < bandwidth_rbs; ++rb)
    if ((groups >> ((bandwidth_start % size + rb) / size) & 1) != 0)
      blocks.set(static_cast<std::size_t>(rb));
  return blocks;
}

}  // namespace noroshi::nr
