// Any bytes as a tenants file: read, or refused with the file's name; never a fault.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "gateway/tenants.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace noroshi::gateway;
  if (size > 20'000) return 0;
  const auto parsed = parse_tenants(std::string(reinterpret_cast<const char*>(data), size), "f");
  if (!parsed) {
    if (!parsed.error().message.starts_with("f:")) std::abort();
    return 0;
  }
  for (const Tenant& tenant : *parsed) {
    if (tenant.name.empty() || !(tenant.quota.requests_per_second > 0)) std::abort();
  }
  Tenants tenants(*parsed);
  for (std::size_t i = 0; i < parsed->size(); ++i) {
    if (!tenants.enter(i, 0)) tenants.leave(i, 10, 1'000'000'000);
  }
  return 0;
}
