#include "gateway/key_command.h"

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>

#include "gateway/tenants.h"

namespace noroshi::gateway {
namespace {

int fail(const std::string& message) {
  std::fprintf(stderr, "noroshi gateway key: %s\n", message.c_str());
  return 1;
}

}  // namespace

int run_key_new(const std::string& tenant, const std::string& tenants_path, bool json) {
  if (!tenants_path.empty()) {
    const auto tenants = load_tenants(tenants_path);
    if (!tenants) return fail(tenants.error().message);
    if (std::ranges::find(*tenants, tenant, &Tenant::name) == tenants->end()) {
      std::string known;
      for (const Tenant& one : *tenants) known += (known.empty() ? "" : ", ") + one.name;
      return fail("there is no tenant '" + tenant + "' in " + tenants_path + "; there is " +
                  (known.empty() ? "none" : known));
    }
  }
  const auto key = new_key();
  if (!key) return fail(key.error().message);
  const std::string hash = key_hash_text(hash_of_key(*key));
  if (json) {
    const boost::json::value both = {{"tenant", tenant}, {"key", *key}, {"hash", hash}};
    std::printf("%s\n", boost::json::serialize(both).c_str());
  } else {
    std::printf("key   %s\nhash  %s\n", key->c_str(), hash.c_str());
    std::fprintf(stderr,
                 "The key is shown this once: give it to %s. Put the hash among its keys in the "
                 "tenants file.\n",
                 tenant.c_str());
  }
  return 0;
}

}  // namespace noroshi::gateway
