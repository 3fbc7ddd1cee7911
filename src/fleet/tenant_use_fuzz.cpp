// Any bytes on a subject of quotas: refused, or read into what can be written and read again to the
// same bytes, within its bounds, and harming nobody for longer than these.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fleet/tenant_use.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi;
  const auto first =
      fleet::parse_use("noroshi.quotas.g", {reinterpret_cast<const char*>(data), size});
  if (!first) return 0;
  if (first->used.size() > fleet::told_tenants_max) std::abort();
  for (const gateway::TenantUse& use : first->used) {
    if (use.requests > fleet::told_requests_max || use.tokens > fleet::told_tokens_max ||
        use.at_once > fleet::told_at_once_max) {
      std::abort();
    }
  }
  const std::string bytes = fleet::use_bytes(*first);
  const auto again = fleet::parse_use("noroshi.quotas.g", bytes);
  if (!again || fleet::use_bytes(*again) != bytes) std::abort();
  // Whoever hears it has his quota again when it is paid back and the other gateway is silent.
  constexpr std::int64_t second_ns = 1'000'000'000;
  gateway::Tenants tenants(
      {{.name = "a",
        .quota = {.requests_per_second = 1, .tokens_per_minute = 60, .requests_at_once = 1}}});
  tenants.hear(1, first->used, second_ns);
  tenants.hear(1, first->used, second_ns);
  tenants.hear(1, {}, second_ns);
  if (tenants.enter(0, 602 * second_ns)) std::abort();
  tenants.leave(0, 1, 602 * second_ns);
  return 0;
}
