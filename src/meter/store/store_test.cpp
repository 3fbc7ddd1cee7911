// Catches: a store that counts a record twice or not at all, sums wrongly, takes a foreign database
// for its own, or breaks at names that SQL gives a meaning; the same for both databases.

#include "meter/store/store.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/prng.h"
#include "fleet/real_server_test.h"
#include "meter/store/postgres_test.h"
#include "meter/usage_command.h"

namespace noroshi::meter {
namespace {

constexpr std::int64_t noon_ns = 1'764'072'000'000'000'000;  // 2025-11-25T12:00:00Z
constexpr std::int64_t day_ns = 86'400'000'000'000;

UsageRecord record(const std::string& id, const std::string& tenant = "acme") {
  return {.id = id,
          .tenant = tenant,
          .model = "tiny",
          .site = "east1",
          .endpoint = "chat",
          .tokens_prompt = 100,
          .tokens_completion = 10,
          .tokens_cached = 40,
          .tokens_counted_here = false,
          .received_ns = noon_ns,
          .first_byte_ns = noon_ns + 1000,
          .done_ns = noon_ns + 2000};
}

struct Place {
  std::string name;
  std::string url;
};

class StoreTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { postgres = PostgresCluster::start().release(); }
  static void TearDownTestSuite() {
    delete postgres;
    postgres = nullptr;
  }

  // Both databases, empty.
  std::vector<Place> places() {
    std::vector<Place> all = {{"SQLite", (folder.path / "usage.db").string()}};
    if (postgres == nullptr) {
      std::printf("no PostgreSQL server here: SQLite alone\n");
      return all;
    }
    all.push_back({"PostgreSQL", postgres->url()});
    auto sql = open_postgres(postgres->url());
    EXPECT_TRUE(sql) << (sql ? "" : sql.error().message);
    for (const char* table : {"noroshi_meta", "noroshi_usage", "noroshi_aside"}) {
      EXPECT_TRUE((*sql)->run(std::string("DROP TABLE IF EXISTS ") + table));
    }
    return all;
  }

  fleet::TemporaryFolder folder;
  static inline PostgresCluster* postgres = nullptr;
};

TEST_F(StoreTest, ARecordThatComesAgainChangesNothing) {
  for (const Place& place : places()) {
    SCOPED_TRACE(place.name);
    auto store = Store::open(place.url, Access::write);
    ASSERT_TRUE(store) << store.error().message;
    const auto first = store->insert({record("a"), record("b"), record("a")}, {}, noon_ns);
    ASSERT_TRUE(first) << first.error().message;
    EXPECT_EQ(first->inserted, 2u);
    EXPECT_EQ(first->duplicates, 1u);
    auto again = Store::open(place.url, Access::write);
    ASSERT_TRUE(again) << again.error().message;
    const auto second = again->insert({record("b"), record("c")}, {}, noon_ns + 5);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->inserted, 1u);
    EXPECT_EQ(second->duplicates, 1u);
    EXPECT_EQ(*again->ids(), (std::vector<std::string>{"a", "b", "c"}));
  }
}

TEST_F(StoreTest, AnotherRecordWithTheSameIdIsKeptAside) {
  for (const Place& place : places()) {
    SCOPED_TRACE(place.name);
    auto store = Store::open(place.url, Access::write);
    ASSERT_TRUE(store);
    ASSERT_TRUE(store->insert({record("a")}, {}, noon_ns));
    UsageRecord other = record("a");
    other.tokens_completion = 1'000'000;
    for (int i = 0; i < 2; ++i) {
      const auto counts = store->insert({other}, {}, noon_ns);
      ASSERT_TRUE(counts) << counts.error().message;
      EXPECT_EQ(counts->conflicts, 1u);
      EXPECT_EQ(counts->inserted, 0u);
    }
    EXPECT_EQ(store->sum({})->at(0).tokens_completion, 10u);
    const auto aside = store->aside(10);
    ASSERT_EQ(aside->size(), 1u);
    EXPECT_NE(aside->at(0).data.find("1000000"), std::string::npos);
  }
}

TEST_F(StoreTest, SumsByTenantModelSiteAndDay) {
  for (const Place& place : places()) {
    SCOPED_TRACE(place.name);
    auto store = Store::open(place.url, Access::write);
    ASSERT_TRUE(store);
    std::vector<UsageRecord> records;
    for (int i = 0; i < 30; ++i) {
      UsageRecord one =
          record("r" + std::to_string(i), i % 3 == 0 ? "b'; DROP TABLE x;--" : "acme");
      one.site = i % 2 == 0 ? "east1" : "west1";
      one.done_ns += i < 10 ? 0 : day_ns;
      one.resumed = i == 5;
      one.outcome = i == 6 ? Outcome::cut : Outcome::answered;
      records.push_back(one);
    }
    ASSERT_TRUE(store->insert(records, {}, noon_ns));
    const auto tenants = store->sum({});
    ASSERT_TRUE(tenants) << tenants.error().message;
    ASSERT_EQ(tenants->size(), 2u);
    EXPECT_EQ(tenants->at(0).key, "acme");
    EXPECT_EQ(tenants->at(0).requests, 20u);
    EXPECT_EQ(tenants->at(0).tokens_prompt, 2000u);
    EXPECT_EQ(tenants->at(0).tokens_cached, 800u);
    EXPECT_EQ(tenants->at(0).resumed, 1u);
    EXPECT_EQ(tenants->at(1).requests, 10u);
    EXPECT_EQ(tenants->at(1).cut, 1u);
    const auto days = store->sum({.by = GroupBy::day});
    ASSERT_EQ(days->size(), 2u);
    EXPECT_EQ(days->at(0).key, "2025-11-25");
    EXPECT_EQ(days->at(1).requests, 20u);
    const auto second = store->sum({.by = GroupBy::site, .from_ns = noon_ns + day_ns});
    ASSERT_EQ(second->size(), 2u);
    EXPECT_EQ(second->at(0).requests + second->at(1).requests, 20u);
    EXPECT_EQ(store->sum({.by = GroupBy::nothing, .to_ns = 5})->at(0).requests, 0u);
  }
}

TEST_F(StoreTest, ABatchIsAllOrNothing) {
  for (const Place& place : places()) {
    SCOPED_TRACE(place.name);
    auto store = Store::open(place.url, Access::write);
    ASSERT_TRUE(store);
    UsageRecord bad = record("b");
    bad.model = std::string("caf\xe9", 4);  // no UTF-8: parse_record refuses it, PostgreSQL too
    bad.tokens_prompt = ~std::uint64_t{0};  // more than a column holds
    const auto done = store->insert({record("a"), bad}, {}, noon_ns);
    if (place.name == "PostgreSQL") {
      ASSERT_FALSE(done);
      EXPECT_TRUE(store->ids()->empty());
    }
    ASSERT_TRUE(store->insert({record("a")}, {}, noon_ns));
  }
}

TEST_F(StoreTest, AnyBytesCanBeKeptAside) {
  for (const Place& place : places()) {
    SCOPED_TRACE(place.name);
    auto store = Store::open(place.url, Access::write);
    ASSERT_TRUE(store);
    std::string bytes;
    for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
    const Aside aside{.id = "noroshi.usage.x/7",
                      .subject = "noroshi.usage.x",
                      .reason = "not JSON",
                      .data = bytes};
    for (int i = 0; i < 2; ++i) {
      const auto counts = store->insert({}, {aside}, noon_ns);
      ASSERT_TRUE(counts) << counts.error().message;
      EXPECT_EQ(counts->aside, i == 0 ? 1u : 0u);
    }
    EXPECT_NE(store->aside(5)->at(0).data.find("\\x00\\x01"), std::string::npos);
  }
}

TEST_F(StoreTest, WrongPlacesSayWhatIsWrong) {
  const auto error_of = [](const std::string& place, Access access) {
    const auto store = Store::open(place, access);
    EXPECT_FALSE(store) << place;
    return store ? std::string() : store.error().message;
  };
  const std::string path = (folder.path / "other").string();
  EXPECT_NE(error_of(path, Access::read).find("no database " + path), std::string::npos);
  EXPECT_NE(error_of("mysql://x", Access::write).find("'mysql'"), std::string::npos);
  EXPECT_NE(error_of(folder.path.string(), Access::write).find("is a folder"), std::string::npos);
  EXPECT_NE(error_of("/no/such/folder/x.db", Access::write).find("/no/such/folder/x.db"),
            std::string::npos);
  std::ofstream(path) << "this is a letter, not a database, and long enough to be taken for one...";
  EXPECT_NE(error_of(path, Access::read).find("not a database"), std::string::npos);
  EXPECT_NE(
      error_of("postgresql://noroshi@/x?host=/no/such/socket", Access::write).find("PostgreSQL"),
      std::string::npos);
  EXPECT_NE(error_of("postgresql://noroshi@:port/x", Access::write).find("port"),
            std::string::npos);

  const std::string foreign = (folder.path / "foreign.db").string();
  ASSERT_TRUE((*open_sqlite(foreign, Access::write))->run("CREATE TABLE mine (x TEXT)"));
  EXPECT_NE(error_of(foreign, Access::read).find("not Noroshi's"), std::string::npos);
}

TEST_F(StoreTest, ASchemaOfAnotherVersionIsRefused) {
  for (const Place& place : places()) {
    SCOPED_TRACE(place.name);
    ASSERT_TRUE(Store::open(place.url, Access::write));
    auto sql =
        place.name == "SQLite" ? open_sqlite(place.url, Access::write) : open_postgres(place.url);
    ASSERT_TRUE((*sql)->run("UPDATE noroshi_meta SET value = '7'"));
    const auto store = Store::open(place.url, Access::write);
    ASSERT_FALSE(store);
    EXPECT_NE(store.error().message.find("schema version 7"), std::string::npos);
  }
}

TEST_F(StoreTest, TheCommandPrintsTableJsonAndCsv) {
  const std::string path = (folder.path / "usage.db").string();
  {
    auto store = Store::open(path, Access::write);
    ASSERT_TRUE(store);
    ASSERT_TRUE(store->insert(
        {record("a", "acme"), record("b", "say \"hi\", you"), record("c", "")}, {}, noon_ns));
  }
  UsageCommand command{.db = path};
  const auto table = usage_text(command);
  ASSERT_TRUE(table) << table.error().message;
  EXPECT_NE(table->find("total                 3     300     120          30"), std::string::npos)
      << *table;
  command.csv = true;
  EXPECT_NE(usage_text(command)->find("\"say \"\"hi\"\", you\",1,100,40,10,0,0,0\n"),
            std::string::npos);
  command.csv = false;
  command.json = true;
  command.by = "day";
  EXPECT_NE(usage_text(command)->find(R"({"day":"2025-11-25","requests":3,"prompt":300)"),
            std::string::npos);
  command.from = "2025-11-26";
  EXPECT_NE(usage_text(command)->find(R"("rows":[])"), std::string::npos);
  command.to = "2025-11-25";
  EXPECT_NE(usage_text(command).error().message.find("is not before"), std::string::npos);
  command.by = "hour";
  EXPECT_NE(usage_text(command).error().message.find("'hour'"), std::string::npos);
}

TEST(Moment, IsReadOrRefused) {
  EXPECT_EQ(*parse_moment("--from", "2025-11-25"), noon_ns - day_ns / 2);
  EXPECT_EQ(*parse_moment("--from", "2025-11-25T12:00:00Z"), noon_ns);
  for (const char* text : {"", "yesterday", "2025-13-01", "2025-02-30", "2025-11-25T", "25-11-2025",
                           "2025-11-25T12:00:00", "2025-11-25T24:00:00Z", "2025-11-25 12:00:00Z",
                           "9999-01-01", "2025-11-25T12:00:00Zx", "-025-11-25"}) {
    const auto moment = parse_moment("--from", text);
    ASSERT_FALSE(moment) << text;
    EXPECT_NE(moment.error().message.find("--from '" + std::string(text) + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace noroshi::meter
