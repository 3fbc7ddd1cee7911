#pragma once

#include <string>

namespace noroshi::gateway {

// `noroshi gateway key new TENANT`: prints a new key, once, and its hash for the tenants file. With
// a file, the tenant must stand in it. Returns the exit code.
int run_key_new(const std::string& tenant, const std::string& tenants_path, bool json);

}  // namespace noroshi::gateway
