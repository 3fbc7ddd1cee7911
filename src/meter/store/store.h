#pragma once

// What was used, for good: SQLite (WAL, one file) or PostgreSQL, one row a record, its id the key.
// A record that comes again changes nothing, however often it is sent; a batch is one transaction.
// So whoever brings records may die anywhere and bring them again: each is there once.
//
//   noroshi_usage  id (key), the record's fields, day (UTC, of its end), stored_ns, digest
//   noroshi_aside  messages that are no record that can be counted, with the reason: malformed, of
//                  an unknown tenant, from the future, or with an id that another record has
//   noroshi_meta   schema = 1

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "meter/record.h"
#include "meter/store/sql.h"

namespace noroshi::meter {

// A message that is kept for a person to look at.
struct Aside {
  std::string id = {};  // of the message; the same one comes again without effect
  std::string subject = {};
  std::string reason = {};
  std::string data = {};  // its beginning
  std::int64_t stored_ns = 0;
};
inline constexpr std::size_t aside_data_bytes_max = 4096;

struct StoreCounts {
  std::uint64_t inserted = 0;
  std::uint64_t duplicates = 0;  // were there already
  std::uint64_t conflicts = 0;   // another record has the id: kept aside
  std::uint64_t aside = 0;       // new ones
};

enum class GroupBy : std::uint8_t { nothing, tenant, model, site, day };

struct UsageQuery {
  GroupBy by = GroupBy::tenant;
  std::optional<std::int64_t> from_ns = {};  // by the record's end; inclusive
  std::optional<std::int64_t> to_ns = {};    // exclusive
};

struct UsageSum {
  std::string key = {};  // the tenant, the model ...
  std::uint64_t requests = 0;
  std::uint64_t tokens_prompt = 0;
  std::uint64_t tokens_cached = 0;
  std::uint64_t tokens_completion = 0;
  std::uint64_t client_left = 0;
  std::uint64_t cut = 0;
  std::uint64_t resumed = 0;  // requests that went on at another site
};

class Store {
 public:
  // place: "postgresql://..." (or postgres://), else a file. With write access the tables are made
  // where there are none. Errors: no such file, no database, one of something else, a schema of
  // another version, a server that refuses.
  static Result<Store> open(const std::string& place, Access access);

  // All of it or nothing, on the disk when it returns.
  Result<StoreCounts> insert(const std::vector<UsageRecord>& records,
                             const std::vector<Aside>& aside, std::int64_t now_ns);

  Result<std::vector<UsageSum>> sum(const UsageQuery& query);
  Result<std::vector<Aside>> aside(std::size_t rows_max);
  // Every record, for comparisons.
  Result<std::vector<std::string>> ids();
  Result<std::map<std::string, std::uint64_t>> tokens();  // completion tokens, by id

 private:
  explicit Store(std::unique_ptr<Sql> sql) : sql_(std::move(sql)) {}
  Result<void> check_schema(const std::string& place, Access access);
  Result<void> insert_one(const UsageRecord& record, std::int64_t now_ns, StoreCounts& counts);
  Result<void> insert_aside(const Aside& aside, std::int64_t now_ns, StoreCounts& counts);

  std::unique_ptr<Sql> sql_;
};

// "2026-11-25" of Unix time, in UTC.
std::string day_of(std::int64_t unix_ns);

}  // namespace noroshi::meter
