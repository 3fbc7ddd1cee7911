#pragma once

// One connection to a database that speaks SQL. The two that stand behind it take the same
// statements with $1, $2 ... for values; every value travels as text and becomes what its column
// is.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace noroshi::meter {

struct SqlResult {
  std::vector<std::vector<std::string>> rows = {};
  std::int64_t changed = 0;  // rows that the statement inserted, updated or deleted
};

class Sql {
 public:
  virtual ~Sql() = default;
  virtual Result<SqlResult> run(const std::string& statement,
                                std::span<const std::string> values = {}) = 0;
  virtual bool has_table(const std::string& name) = 0;
  // Begins a transaction that will write.
  virtual Result<void> begin() = 0;
};

enum class Access : std::uint8_t { read, write };

// path: a file; made when it is not there and access is write.
Result<std::unique_ptr<Sql>> open_sqlite(const std::string& path, Access access);
// url: as libpq takes it, "postgresql://USER@HOST/DATABASE".
Result<std::unique_ptr<Sql>> open_postgres(const std::string& url);

}  // namespace noroshi::meter
