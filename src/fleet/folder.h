#pragma once

// Where a control plane keeps what it owns, and where `noroshi fleet COMMAND` finds the fleet:
//
//   FOLDER/fleet.json   the server's URL, its certificate authority, the admin's key
//   FOLDER/users.json   who may connect: role, name, region, public key
//   FOLDER/keys/        certificates and seeds that were made here
//   FOLDER/nats/        the server's own files
//   FOLDER/audit.jsonl  one line for each command and decision

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fleet/nats_bus.h"
#include "fleet/nats_server.h"

namespace noroshi::fleet {

struct FleetAccess {
  std::string url = {};
  std::string ca = {};         // empty: no TLS
  std::string admin_key = {};  // empty: no keys
};
Result<FleetAccess> read_access(const std::string& folder);
Result<void> write_access(const std::string& folder, const FleetAccess& access);

struct FleetUser {
  std::string role = {};  // control, site, gateway, meter, admin, leaf
  std::string name = {};
  std::string region = {};  // of a site or a gateway
  std::string public_key = {};
  std::string verifier = {};  // of a leaf (keys.h)
};
Result<std::vector<FleetUser>> parse_users(std::string_view bytes);
// Without the file: none.
Result<std::vector<FleetUser>> read_users(const std::string& folder);
Result<void> write_users(const std::string& folder, const std::vector<FleetUser>& users);
// Makes the key (FOLDER/keys/ROLE-NAME.nk) and lists it; one that is listed stays as it is, one
// that is not, whose file is there all the same, is set aside. Returns the key's path. Errors: a
// role that is none, names that are no words, a key of another region.
Result<std::string> add_user(const std::string& folder, const std::string& role,
                             const std::string& name, const std::string& region);
// Lists it no more and sets its seed aside (ROLE-NAME.nk.removed-N): whoever is added under the
// name later has another key. Returns where the seed is; empty: it was not here.
Result<std::string> remove_user(const std::string& folder, const std::string& role,
                                const std::string& name);

// As the server's configuration has them: leaves, and the others.
// domain: of JetStream, when that server is a leaf node and keeps nothing itself; empty: it does.
std::vector<NatsLeaf> nats_leaves(const std::vector<FleetUser>& users);
std::vector<NatsUser> nats_users(const std::vector<FleetUser>& users, const std::string& domain);

}  // namespace noroshi::fleet
