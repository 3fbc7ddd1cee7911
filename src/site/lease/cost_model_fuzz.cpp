// Any bytes as a cost model file: an error, or a model that predicts and learns on.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "site/lease/cost_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::site;
  CellCostModel model;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)parse_cost_model(text, "machine", model);
  SlotWork work;
  work.units = {1, 2, 30, 100, 900};
  for (int i = 0; i < 3; ++i) {
    if (model.downlink.predict(work).p9999_ns < 0) std::abort();
    model.downlink.learn(work, {.took_ns = 80'000});
    model.uplink.learn(work, {.took_ns = 1});
  }
  return 0;
}
