#include "fleet/tenant_use.h"

#include <algorithm>
#include <cassert>

#include "fleet/compact.h"
#include "fleet/json_fields.h"

namespace noroshi::fleet {
namespace {

constexpr std::string_view magic = "NRQ\x01";

}  // namespace

std::string quotas_subject(std::string_view gateway) {
  return "noroshi.quotas." + std::string(gateway);
}

std::string use_bytes(const UseMessage& message) {
  assert(message.used.size() <= told_tenants_max);
  CompactWriter writer{std::string(magic)};
  writer.out.reserve(32 + 24 * message.used.size());
  writer.fixed(message.origin, 8);
  writer.number(message.number);
  writer.number(message.used.size());
  for (const gateway::TenantUse& use : message.used) {
    writer.fixed(use.tenant, 8);
    writer.number(std::min(told_requests_max, use.requests));
    writer.number(std::min(told_tokens_max, use.tokens));
    writer.number(std::min(told_at_once_max, use.at_once));
  }
  return std::move(writer.out);
}

Result<UseMessage> parse_use(std::string_view subject, std::string_view bytes) {
  const auto named = [&](const std::string& fault) {
    return Error{"quotas on " + shown(subject) + ": " + fault};
  };
  if (bytes.size() > use_bytes_max) {
    return named("has " + std::to_string(bytes.size()) +
                 " bytes (allowed: " + std::to_string(use_bytes_max) + ")");
  }
  if (!bytes.starts_with(magic)) return named("is none of version 1: '" + shown(bytes) + "'");
  CompactReader reader{.bytes = bytes, .at = magic.size()};
  UseMessage message;
  message.origin = reader.fixed(8, "origin");
  message.number = reader.number("number", ~std::uint64_t{0});
  const std::size_t tenants = reader.number("tenants", told_tenants_max);
  for (std::size_t i = 0; i < tenants && reader.fault.empty(); ++i) {
    gateway::TenantUse& use = message.used.emplace_back();
    use.tenant = reader.fixed(8, "tenant");
    use.requests = reader.number("requests", told_requests_max);
    use.tokens = reader.number("tokens", told_tokens_max);
    use.at_once = reader.number("at_once", told_at_once_max);
  }
  if (reader.fault.empty() && reader.at != bytes.size()) reader.fail("bytes follow its end");
  if (!reader.fault.empty()) return named(reader.fault);
  return message;
}

}  // namespace noroshi::fleet
