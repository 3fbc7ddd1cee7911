#include <sqlite3.h>

#include <filesystem>
#include <map>

#include "meter/store/sql.h"

namespace noroshi::meter {
namespace {

constexpr int busy_timeout_ms = 5000;  // another process writes

struct Closer {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

class SqliteSql final : public Sql {
 public:
  SqliteSql(std::unique_ptr<sqlite3, Closer> db, std::string path)
      : db_(std::move(db)), path_(std::move(path)) {}

  Error failed() const { return Error{path_ + ": " + sqlite3_errmsg(db_.get())}; }

  Result<SqlResult> run(const std::string& text, std::span<const std::string> values) override {
    auto& statement = statements_[text];
    if (!statement) {
      sqlite3_stmt* made = nullptr;
      if (sqlite3_prepare_v2(db_.get(), text.c_str(), -1, &made, nullptr) != SQLITE_OK) {
        const Error error = failed();
        statements_.erase(text);
        return error;
      }
      statement.reset(made);
    }
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::string name = "$" + std::to_string(i + 1);
      const int index = sqlite3_bind_parameter_index(statement.get(), name.c_str());
      if (index == 0) continue;  // the statement does not ask for it
      sqlite3_bind_text(statement.get(), index, values[i].data(),
                        static_cast<int>(values[i].size()), SQLITE_TRANSIENT);
    }
    SqlResult result;
    int code = sqlite3_step(statement.get());
    for (; code == SQLITE_ROW; code = sqlite3_step(statement.get())) {
      std::vector<std::string>& row = result.rows.emplace_back();
      for (int i = 0; i < sqlite3_column_count(statement.get()); ++i) {
        const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(statement.get(), i));
        const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement.get(), i));
        row.emplace_back(bytes != nullptr ? std::string(bytes, size) : std::string());
      }
    }
    result.changed = sqlite3_changes64(db_.get());
    const Error error = failed();
    sqlite3_reset(statement.get());
    sqlite3_clear_bindings(statement.get());
    if (code != SQLITE_DONE) return error;
    return result;
  }

  bool has_table(const std::string& name) override {
    const std::string values[] = {name};
    const auto found =
        run("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1", values);
    return found && !found->rows.empty();
  }

  Result<void> begin() override {
    if (auto begun = run("BEGIN IMMEDIATE", {}); !begun) return begun.error();
    return {};
  }

 private:
  std::unique_ptr<sqlite3, Closer> db_;
  std::string path_;
  std::map<std::string, std::unique_ptr<sqlite3_stmt, Closer>> statements_;
};

}  // namespace

Result<std::unique_ptr<Sql>> open_sqlite(const std::string& path, Access access) {
  std::error_code ignored;
  const bool there = std::filesystem::exists(path, ignored);
  if (std::filesystem::is_directory(path, ignored)) {
    return Error{path + " is a folder: name the database file in it"};
  }
  if (access == Access::read && !there) {
    return Error{"no database " + path + ": `noroshi meter` makes it; or name another with --db"};
  }
  sqlite3* opened = nullptr;
  const int flags =
      access == Access::read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  const int code = sqlite3_open_v2(path.c_str(), &opened, flags, nullptr);
  std::unique_ptr<sqlite3, Closer> db(opened);
  if (code != SQLITE_OK) return Error{"cannot open " + path + ": " + sqlite3_errmsg(opened)};
  sqlite3_busy_timeout(opened, busy_timeout_ms);
  auto sql = std::make_unique<SqliteSql>(std::move(db), path);
  if (access == Access::write) {
    // A commit that was reported is on the disk: the message that brought it is acknowledged then.
    for (const char* pragma : {"PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL"}) {
      if (auto set = sql->run(pragma, {}); !set) return set.error();
    }
  }
  // Reads the first page: what is no database says so here.
  if (auto probe = sql->run("SELECT count(*) FROM sqlite_master", {}); !probe) return probe.error();
  return std::unique_ptr<Sql>(std::move(sql));
}

}  // namespace noroshi::meter
