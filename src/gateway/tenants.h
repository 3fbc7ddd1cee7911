#pragma once

// Who may ask: tenants with their keys, quotas, priority and models.
//
// The file is YAML (JSON is YAML too; configs/tenants.yaml says more):
//
//   tenants:
//     - name: acme
//       keys: ["sha256:9f86d0..."]      # of the keys, from `noroshi gateway key new acme`
//       priority: standard              # critical, standard (default) or sheddable
//       models: [tiny]                  # left out: every model
//       quota:                          # each a number, or unlimited
//         requests_per_second: 10
//         tokens_per_minute: 60000
//         requests_at_once: 8
//
// A fleet's gateways tell each other what tenants used (fleet/quotas.h): a tenant has its quota
// once, by whichever of them it asks.
//
// A key is 256 random bits, so its plain SHA-256 says nothing of it; it is found by its hash, and
// that is compared in constant time. Tokens are charged when they are known: a tenant may overdraw
// a minute by its last request, and then waits until the minute's rate has paid for it.

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "gateway/admission.h"

namespace noroshi::gateway {

using KeyHash = std::array<std::uint8_t, 32>;
inline constexpr double unlimited = std::numeric_limits<double>::infinity();

struct Quota {
  double requests_per_second = unlimited;  // and as many at once, one at least
  double tokens_per_minute = unlimited;    // prompt and completion
  double requests_at_once = unlimited;
};

struct Tenant {
  std::string name = {};
  std::vector<KeyHash> keys = {};
  Priority priority = Priority::standard;
  std::vector<std::string> models = {};  // empty: every one
  Quota quota = {};
};

// Errors name the file, line, column, tenant and field: unknown or missing fields (a quota above
// all), values out of range, a name or a key that two tenants have.
Result<std::vector<Tenant>> parse_tenants(const std::string& text, const std::string& name);
Result<std::vector<Tenant>> load_tenants(const std::string& path);

// "noroshi-" and 43 letters of 256 random bits. Errors: the system has no randomness.
Result<std::string> new_key();
KeyHash hash_of_key(std::string_view key);
std::string key_hash_text(const KeyHash& hash);  // "sha256:" and 64 hexadecimal digits

// The beginning of a name's SHA-256, the same in every gateway. Names may be their owners' choice:
// to have another's mark somebody would have to try 2^64.
std::uint64_t tenant_mark(std::string_view name);

// What a tenant used at one gateway since that gateway's last word.
struct TenantUse {
  std::uint64_t tenant = 0;    // its mark
  std::uint64_t requests = 0;  // let in
  std::uint64_t tokens = 0;    // charged
  std::uint64_t at_once = 0;   // its requests there now
};

// Which quota is used up.
struct OverQuota {
  std::string_view quota;  // the field's name
  double limit = 0;
  int retry_after_s = 1;
};

// Thread-safe. Time is an argument. A tenant's number is its own for ever, whatever is read later:
// what it has used of its quota stays with it, also when it is taken off the list and comes back.
class Tenants {
 public:
  explicit Tenants(std::vector<Tenant> tenants);

  // From now on these: a key that is in none of them lets nobody in any more. Requests that are
  // there go on, with the quota that they came in by.
  void replace(std::vector<Tenant> tenants);

  bool empty() const;  // there never was any
  std::optional<std::size_t> of_key(std::string_view key) const;
  // As it is now; of one that is no longer listed: as it was.
  std::shared_ptr<const Tenant> at(std::size_t tenant) const;

  // One more request of this tenant, if its quota has room; then leave() once.
  std::optional<OverQuota> enter(std::size_t tenant, std::int64_t now_ns);
  void leave(std::size_t tenant, std::uint64_t tokens, std::int64_t now_ns);

  // What was used here since the last call, and who has requests here now; of more tenants than
  // that the rest comes next time.
  std::vector<TenantUse> new_use(std::size_t count_max);
  // What another gateway, which the caller has numbered, used since its last word; tenants that are
  // not in it have no requests there now. It is taken out of the buckets here, but makes nobody owe
  // more than debt_buckets_max of them: a false word is paid back, however much it says. Tenants
  // that are not listed here are passed over.
  void hear(std::uint64_t gateway, const std::vector<TenantUse>& used, std::int64_t now_ns);
  static constexpr double debt_buckets_max = 10;  // ten minutes' tokens

 private:
  struct Bucket {
    double level = 0;
    std::int64_t at_ns = 0;
    void fill(double per_second, double size, std::int64_t now_ns);
    void owe(double used, double size);
  };
  struct Use {
    Bucket requests;
    Bucket tokens;
    double at_once = 0;
    double at_once_elsewhere = 0;
    bool started = false;
    TenantUse untold = {};
    bool is_untold = false;  // in untold_
  };
  struct Elsewhere {  // requests of a tenant at another gateway
    double at_once = 0;
    std::uint64_t word = 0;  // of that gateway's, the one that said so
  };
  struct OtherGateway {
    std::uint64_t words = 0;
    std::unordered_map<std::size_t, Elsewhere> by_tenant;
  };
  void refill(std::size_t tenant, std::int64_t now_ns);
  void note_untold(std::size_t tenant);
  void take(const TenantUse& used, OtherGateway& from, std::int64_t now_ns);

  std::mutex hearing_;  // of the next; locked before mutex_
  std::unordered_map<std::uint64_t, OtherGateway> others_;
  mutable std::mutex mutex_;                            // of all below
  std::vector<std::shared_ptr<const Tenant>> tenants_;  // as many as ever had a name of their own
  std::vector<Use> uses_;
  std::vector<std::size_t> untold_;  // who used something or has requests
  std::unordered_map<std::uint64_t, std::size_t> by_mark_;
  std::unordered_map<std::string, std::size_t> numbers_;  // by name
  std::unordered_multimap<std::uint64_t, std::pair<KeyHash, std::size_t>> by_hash_;
};

}  // namespace noroshi::gateway
