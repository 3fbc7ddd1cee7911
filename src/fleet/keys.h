#pragma once

// The keys of a fleet, and what each may do (docs/decisions/0022-fleet-security.md). Every member
// has an nkey; the server's configuration lists them with their subjects:
//
//   control  everything of the fleet
//   site     its own beat; reads its own desired state; writes its own facts. No other site's, no
//            command, no digest
//   gateway  hears beats and digests; keeps usage records; reads the fleet's bucket, with the
//   secret
//            under which sessions are named; tells other gateways of sessions' turns, and hears
//            them
//   meter    takes usage records out of their stream
//   admin    asks for commands and status
//
// Answers come to inboxes of each member's own (_INBOX_ROLE_NAME), which no other may read.

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "fleet/nats_server.h"

namespace noroshi::fleet {

NatsUser control_user(const std::string& name, const std::string& public_key);
NatsUser site_user(const std::string& region, const std::string& site,
                   const std::string& public_key);
NatsUser gateway_user(const std::string& name, const std::string& region,
                      const std::string& public_key);
NatsUser meter_user(const std::string& name, const std::string& public_key);
NatsUser admin_user(const std::string& name, const std::string& public_key);

// The server of a region is as trusted as the core: it says what all of the region's clients say,
// each of which its own server holds to its rights. Its key makes what it shows there.
struct LeafLogin {
  std::string user = {};  // its public key
  std::string password = {};
};
Result<LeafLogin> leaf_login(const std::string& nkey_seed_path);
// What the core keeps of the password, which does not give it away (bcrypt).
Result<std::string> leaf_verifier(const LeafLogin& login);

// 256 random bits, as 64 hexadecimal digits. Errors: the system has no randomness.
Result<std::string> new_session_secret();

// Whether a region may have this name: a word that is none of the fleet's own subjects and buckets,
// whose rights a site of that region would have.
bool may_be_region(std::string_view word);

// Where answers to the owner of a key come; what follows it is drawn for each ask. Nobody else may
// listen there, and only those may answer who have the right to publish to that role.
std::string inbox_of(const std::string& role, const std::string& public_key);

// A certificate authority of the fleet's own and a server's certificate signed by it, as PEM files
// in the folder (EC P-256, 10 and 2 years): ca.pem, ca.key, server.pem, server.key. Keys have mode
// 0600. What is there stays. hosts: names and addresses under which the server is reached.
struct CertificateFiles {
  std::string ca;
  std::string certificate;
  std::string key;
};
Result<CertificateFiles> make_certificates(const std::string& folder,
                                           const std::vector<std::string>& hosts);

// The key in FOLDER/NAME.nk, made when it is not there.
struct NkeyFile {
  std::string path;
  std::string public_key;
};
Result<NkeyFile> make_nkey(const std::string& folder, const std::string& name);
// Renames FOLDER/NAME.nk to NAME.nk.removed-N, N the first that is free, so that make_nkey() draws
// a new one. Returns the new path; empty when there is no such file.
Result<std::string> set_nkey_aside(const std::string& folder, const std::string& name);

}  // namespace noroshi::fleet
