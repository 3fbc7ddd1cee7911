#include <libpq-fe.h>

#include "meter/store/sql.h"

namespace noroshi::meter {
namespace {

struct Closer {
  void operator()(PGconn* connection) const { PQfinish(connection); }
  void operator()(PGresult* result) const { PQclear(result); }
};

// libpq ends its messages with a newline and may give several lines.
std::string one_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  for (char& c : text) {
    if (c == '\n' || c == '\t') c = ' ';
  }
  return text;
}

class PostgresSql final : public Sql {
 public:
  explicit PostgresSql(std::unique_ptr<PGconn, Closer> connection)
      : connection_(std::move(connection)) {}

  Result<SqlResult> run(const std::string& text, std::span<const std::string> values) override {
    std::vector<const char*> pointers;
    for (const std::string& value : values) pointers.push_back(value.c_str());
    const std::unique_ptr<PGresult, Closer> done(
        PQexecParams(connection_.get(), text.c_str(), static_cast<int>(values.size()), nullptr,
                     pointers.data(), nullptr, nullptr, 0));
    const ExecStatusType status = PQresultStatus(done.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      return Error{"PostgreSQL: " + one_line(PQerrorMessage(connection_.get()))};
    }
    SqlResult result;
    for (int r = 0; r < PQntuples(done.get()); ++r) {
      std::vector<std::string>& row = result.rows.emplace_back();
      for (int c = 0; c < PQnfields(done.get()); ++c) {
        row.emplace_back(PQgetvalue(done.get(), r, c),
                         static_cast<std::size_t>(PQgetlength(done.get(), r, c)));
      }
    }
    const std::string changed = PQcmdTuples(done.get());
    result.changed = changed.empty() ? 0 : std::stoll(changed);
    return result;
  }

  bool has_table(const std::string& name) override {
    const std::string values[] = {name};
    const auto found = run("SELECT to_regclass($1::text) IS NOT NULL", values);
    return found && !found->rows.empty() && found->rows[0][0] == "t";
  }

  Result<void> begin() override {
    if (auto begun = run("BEGIN", {}); !begun) return begun.error();
    return {};
  }

 private:
  std::unique_ptr<PGconn, Closer> connection_;
};

}  // namespace

Result<std::unique_ptr<Sql>> open_postgres(const std::string& url) {
  char* error = nullptr;
  PQconninfoOption* parsed = PQconninfoParse(url.c_str(), &error);
  if (parsed == nullptr) {
    const Error wrong{"PostgreSQL: " + one_line(error != nullptr ? error : "cannot read the URL")};
    PQfreemem(error);
    return wrong;
  }
  PQconninfoFree(parsed);
  // The URL may hold a password: it is not repeated in any message.
  const char* keywords[] = {"dbname", "connect_timeout", "application_name", nullptr};
  const char* values[] = {url.c_str(), "5", "noroshi", nullptr};
  std::unique_ptr<PGconn, Closer> connection(PQconnectdbParams(keywords, values, 1));
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    return Error{"PostgreSQL: " + one_line(PQerrorMessage(connection.get()))};
  }
  PQsetNoticeProcessor(
      connection.get(), [](void*, const char*) {}, nullptr);
  return std::unique_ptr<Sql>(std::make_unique<PostgresSql>(std::move(connection)));
}

}  // namespace noroshi::meter
