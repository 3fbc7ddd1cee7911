#include "meter/store/store.h"

#include <array>
#include <chrono>
#include <cstdio>

namespace noroshi::meter {
namespace {

constexpr int schema = 1;

constexpr const char* make_meta =
    "CREATE TABLE noroshi_meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)";
constexpr const char* make_usage =
    "CREATE TABLE noroshi_usage (id TEXT PRIMARY KEY, tenant TEXT NOT NULL, model TEXT NOT NULL, "
    "site TEXT NOT NULL, endpoint TEXT NOT NULL, tokens_prompt BIGINT NOT NULL, "
    "tokens_cached BIGINT NOT NULL, tokens_completion BIGINT NOT NULL, "
    "counted_here INTEGER NOT NULL, received_ns BIGINT NOT NULL, first_byte_ns BIGINT NOT NULL, "
    "done_ns BIGINT NOT NULL, day TEXT NOT NULL, outcome TEXT NOT NULL, resumed INTEGER NOT NULL, "
    "stored_ns BIGINT NOT NULL, digest TEXT NOT NULL)";
constexpr const char* make_index = "CREATE INDEX noroshi_usage_done ON noroshi_usage (done_ns)";
constexpr const char* make_aside =
    "CREATE TABLE noroshi_aside (id TEXT PRIMARY KEY, subject TEXT NOT NULL, reason TEXT NOT NULL, "
    "data TEXT NOT NULL, stored_ns BIGINT NOT NULL)";

// FNV-1a, as base/bench.h has it: tells two records with one id apart.
std::string digest_of(const std::string& bytes) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<std::uint8_t>(c)) * 0x100000001b3u;
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

// Any bytes as text that every database takes: control characters and what is not ASCII in hex.
std::string printable(std::string_view bytes) {
  std::string text;
  for (const char c : bytes.substr(0, aside_data_bytes_max)) {
    const auto byte = static_cast<std::uint8_t>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      text += c;
      continue;
    }
    char escaped[5];
    std::snprintf(escaped, sizeof escaped, "\\x%02x", byte);
    text += escaped;
  }
  return text;
}

const char* column_of(GroupBy by) {
  switch (by) {
    case GroupBy::tenant:
      return "tenant";
    case GroupBy::model:
      return "model";
    case GroupBy::site:
      return "site";
    case GroupBy::day:
      return "day";
    case GroupBy::nothing:
      break;
  }
  return "''";
}

}  // namespace

std::string day_of(std::int64_t unix_ns) {
  using namespace std::chrono;
  const year_month_day day(floor<days>(sys_time<nanoseconds>(nanoseconds(unix_ns))));
  char text[32];
  std::snprintf(text, sizeof text, "%04d-%02u-%02u", static_cast<int>(day.year()),
                static_cast<unsigned>(day.month()), static_cast<unsigned>(day.day()));
  return text;
}

Result<Store> Store::open(const std::string& place, Access access) {
  const bool postgres = place.starts_with("postgresql://") || place.starts_with("postgres://");
  if (place.empty()) return Error{"store: name a file or a postgresql:// URL"};
  if (!postgres && place.find("://") != std::string::npos) {
    return Error{"store: '" + place.substr(0, place.find("://")) +
                 "' is not a database that is known: name a file or a postgresql:// URL"};
  }
  auto sql = postgres ? open_postgres(place) : open_sqlite(place, access);
  if (!sql) return Error{"store: " + sql.error().message};
  Store store(*std::move(sql));
  const std::string shown = postgres ? "the PostgreSQL database" : place;
  if (auto checked = store.check_schema(shown, access); !checked) {
    return Error{"store: " + checked.error().message};
  }
  return store;
}

Result<void> Store::check_schema(const std::string& place, Access access) {
  if (!sql_->has_table("noroshi_meta")) {
    if (access == Access::read) return Error{place + " holds no usage: it is not Noroshi's"};
    if (auto begun = sql_->begin(); !begun) return begun;
    if (!sql_->has_table("noroshi_meta")) {  // another may have been faster
      for (const char* statement : {make_meta, make_usage, make_index, make_aside}) {
        if (auto made = sql_->run(statement); !made) return made.error();
      }
      const std::string value[] = {std::to_string(schema)};
      const auto noted = sql_->run("INSERT INTO noroshi_meta VALUES ('schema', $1)", value);
      if (!noted) return noted.error();
    }
    if (auto committed = sql_->run("COMMIT"); !committed) return committed.error();
  }
  const auto version = sql_->run("SELECT value FROM noroshi_meta WHERE name = 'schema'");
  if (!version) return version.error();
  const std::string found = version->rows.empty() ? "none" : version->rows[0][0];
  if (found == std::to_string(schema)) return {};
  return Error{place + " has the schema version " + found + ", this program knows " +
               std::to_string(schema) + ": use the program that wrote it, or another database"};
}

Result<void> Store::insert_one(const UsageRecord& r, std::int64_t now_ns, StoreCounts& counts) {
  const std::string digest = digest_of(encode_record(r));
  const std::array<std::string, 17> values = {r.id,
                                              r.tenant,
                                              r.model,
                                              r.site,
                                              r.endpoint,
                                              std::to_string(r.tokens_prompt),
                                              std::to_string(r.tokens_cached),
                                              std::to_string(r.tokens_completion),
                                              r.tokens_counted_here ? "1" : "0",
                                              std::to_string(r.received_ns),
                                              std::to_string(r.first_byte_ns),
                                              std::to_string(r.done_ns),
                                              day_of(r.done_ns),
                                              std::string(outcome_name(r.outcome)),
                                              std::to_string(r.resumed),
                                              std::to_string(now_ns),
                                              digest};
  const auto inserted = sql_->run(
      "INSERT INTO noroshi_usage VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, "
      "$14, $15, $16, $17) ON CONFLICT (id) DO NOTHING",
      values);
  if (!inserted) return inserted.error();
  if (inserted->changed == 1) {
    ++counts.inserted;
    return {};
  }
  const auto there =
      sql_->run("SELECT digest FROM noroshi_usage WHERE id = $1", std::span(values).first(1));
  if (!there) return there.error();
  if (!there->rows.empty() && there->rows[0][0] == digest) {
    ++counts.duplicates;
    return {};
  }
  ++counts.conflicts;
  return insert_aside({.id = r.id + "/" + digest,
                       .subject = {},
                       .reason = "another record has the id " + r.id,
                       .data = encode_record(r)},
                      now_ns, counts);
}

Result<void> Store::insert_aside(const Aside& aside, std::int64_t now_ns, StoreCounts& counts) {
  const std::array<std::string, 5> values = {printable(aside.id), printable(aside.subject),
                                             printable(aside.reason), printable(aside.data),
                                             std::to_string(now_ns)};
  const auto inserted = sql_->run(
      "INSERT INTO noroshi_aside VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING", values);
  if (!inserted) return inserted.error();
  counts.aside += inserted->changed == 1;
  return {};
}

Result<StoreCounts> Store::insert(const std::vector<UsageRecord>& records,
                                  const std::vector<Aside>& aside, std::int64_t now_ns) {
  const auto undo = [this](const Error& error) {
    static_cast<void>(sql_->run("ROLLBACK"));  // a lost connection has rolled back by itself
    return Error{"store: " + error.message};
  };
  StoreCounts counts;
  if (auto begun = sql_->begin(); !begun) return undo(begun.error());
  for (const UsageRecord& record : records) {
    if (auto done = insert_one(record, now_ns, counts); !done) return undo(done.error());
  }
  for (const Aside& one : aside) {
    if (auto done = insert_aside(one, now_ns, counts); !done) return undo(done.error());
  }
  if (auto committed = sql_->run("COMMIT"); !committed) return undo(committed.error());
  return counts;
}

Result<std::vector<UsageSum>> Store::sum(const UsageQuery& query) {
  const std::string column = column_of(query.by);
  const std::string values[] = {std::to_string(query.from_ns.value_or(0)),
                                std::to_string(query.to_ns.value_or(INT64_MAX))};
  const auto found = sql_->run(
      "SELECT " + column +
          ", count(*), sum(tokens_prompt), sum(tokens_cached), sum(tokens_completion), "
          "sum(CASE WHEN outcome = 'client_left' THEN 1 ELSE 0 END), "
          "sum(CASE WHEN outcome = 'cut' THEN 1 ELSE 0 END), "
          "sum(CASE WHEN resumed > 0 THEN 1 ELSE 0 END) FROM noroshi_usage "
          "WHERE done_ns >= $1 AND done_ns < $2" +
          (query.by == GroupBy::nothing ? "" : " GROUP BY " + column + " ORDER BY " + column),
      values);
  if (!found) return Error{"store: " + found.error().message};
  std::vector<UsageSum> sums;
  for (const std::vector<std::string>& row : found->rows) {
    const auto number = [&row](std::size_t i) {
      return row[i].empty() ? 0 : std::stoull(row[i]);  // no row has no sum
    };
    sums.push_back(
        {row[0], number(1), number(2), number(3), number(4), number(5), number(6), number(7)});
  }
  return sums;
}

Result<std::vector<Aside>> Store::aside(std::size_t rows_max) {
  const auto found = sql_->run(
      "SELECT id, subject, reason, data, stored_ns FROM noroshi_aside ORDER BY stored_ns, id "
      "LIMIT " +
      std::to_string(rows_max));
  if (!found) return Error{"store: " + found.error().message};
  std::vector<Aside> all;
  for (const auto& row : found->rows) {
    all.push_back({row[0], row[1], row[2], row[3], std::stoll(row[4])});
  }
  return all;
}

Result<std::vector<std::string>> Store::ids() {
  const auto found = sql_->run("SELECT id FROM noroshi_usage ORDER BY id");
  if (!found) return Error{"store: " + found.error().message};
  std::vector<std::string> all;
  for (const auto& row : found->rows) all.push_back(row[0]);
  return all;
}

Result<std::map<std::string, std::uint64_t>> Store::tokens() {
  const auto found = sql_->run("SELECT id, tokens_completion FROM noroshi_usage");
  if (!found) return Error{"store: " + found.error().message};
  std::map<std::string, std::uint64_t> all;
  for (const auto& row : found->rows) all[row[0]] = std::stoull(row[1]);
  return all;
}

}  // namespace noroshi::meter
