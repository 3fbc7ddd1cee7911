// What a person is shown of a large fleet. Would catch an answer that does not fit into a message,
// a site that is on no page or on two, and pages that never end.

#include "fleet/status.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <set>

#include "fleet/control.h"
#include "fleet/memory_bus.h"

namespace noroshi::fleet {
namespace {

namespace json = boost::json;

class StatusTest : public testing::Test {
 protected:
  static constexpr int sites = 2000;
  MemoryNetwork network;
  ManualClock clock;
  std::unique_ptr<Bus> bus = network.join("c");
  std::unique_ptr<Bus> other = network.join("o");
  Control control{*bus, clock, {.id = "c", .instance = 1}};
  int pages = 0;
  std::size_t longest = 0;

  static std::string name_of(int i) {
    const std::string number = std::to_string(i);
    return std::string(60 - number.size(), 's') + number;
  }
  static std::string model_of(int i) { return std::string(200, '\x01') + std::to_string(i); }

  void SetUp() override {
    ASSERT_TRUE(control.start());
    ASSERT_TRUE(other->ensure_bucket({.name = fleet_bucket}, 1));
    for (int i = 0; i < sites; ++i) {
      SiteReport report;
      report.site = {.name = name_of(i), .instance = 1, .region = "east", .host = "h"};
      report.site.tcp_port = 1;
      report.sequence = 1;
      report.fault = std::string(250, 'f');
      for (int m = 0; m < 3; ++m) report.site.models.push_back({.name = "m" + std::to_string(m)});
      network.send({beat_subject("east", name_of(i)), "", report_text(report)});
    }
    for (int i = 0; i < 300; ++i) {
      ModelSpec spec{.name = model_of(i)};
      for (int region = 0; region < 20; ++region) {
        spec.regions.push_back(std::string(60, 'r') + std::to_string(region));
      }
      ASSERT_TRUE(other->kv_put(fleet_bucket, "model." + key_word(spec.name), model_text(spec), 1));
    }
    for (int i = 0; i < 10; ++i) {
      clock.advance_ns(25'000'000);
      control.step();
      control.step_slow();
      network.deliver();
    }
  }
  // Over the bus, whose messages hold a megabyte.
  Result<std::string> ask(const std::string& page) {
    std::optional<std::string> answer;
    const auto inbox = other->subscribe("_INBOX.x", "", [&](const Message& message) {
      answer = message.data;
      longest = std::max(longest, message.data.size());
    });
    network.send({status_subject, "_INBOX.x", page});
    network.deliver();
    ++pages;
    if (!answer) return Error{"no answer"};
    return *answer;
  }
};

std::set<std::string> names_in(const json::object& document, const char* list) {
  std::set<std::string> names;
  for (const json::value& one : document.at(list).as_array()) {
    EXPECT_TRUE(names.insert(std::string(one.as_object().at("name").as_string())).second);
  }
  return names;
}

TEST_F(StatusTest, ALargeFleetIsToldInPagesAndWhole) {
  const auto whole = whole_status("", [this](const std::string& page) { return ask(page); });
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_GT(pages, 3);
  EXPECT_LT(longest, std::size_t{1} << 20);
  std::printf("%d pages, the longest of %zu bytes, %zu in all\n", pages, longest, whole->size());
  const json::object document = json::parse(*whole).as_object();
  EXPECT_EQ(names_in(document, "sites").size(), static_cast<std::size_t>(sites));
  EXPECT_EQ(names_in(document, "models").size(), 300u);
  EXPECT_EQ(document.at("sites_known").as_int64(), sites);
  EXPECT_EQ(document.at("sites_shown").as_int64(), sites);
  EXPECT_FALSE(document.contains("sites_next"));
  const auto table = status_table("sites", *whole);
  ASSERT_TRUE(table);
  EXPECT_EQ(std::ranges::count(*table, '\n'), sites + 1);
  // One list alone, and none.
  const auto models = whole_status("models", [this](const std::string& page) { return ask(page); });
  ASSERT_TRUE(models);
  EXPECT_EQ(names_in(json::parse(*models).as_object(), "models").size(), 300u);
  EXPECT_FALSE(json::parse(*models).as_object().contains("sites"));
  pages = 0;
  const auto overview =
      whole_status("status", [this](const std::string& page) { return ask(page); });
  ASSERT_TRUE(overview);
  EXPECT_EQ(pages, 1);
  EXPECT_NE(status_table("status", *overview)->find("sites_alive"), std::string::npos);
  // Who asks in no words gets the first page, and is told that there is more.
  const auto first = ask("");
  ASSERT_TRUE(first);
  EXPECT_TRUE(json::parse(*first).as_object().contains("sites_next"));
}

TEST_F(StatusTest, RefusesAsksAndPagesThatMakeNoSense) {
  for (const char* bad : {"{", "[]", R"({"v":2})", R"({"v":1,"sites_after":7})"}) {
    const auto answer = ask(bad);
    ASSERT_TRUE(answer);
    EXPECT_NE(answer->find("\"error\":\"status"), std::string::npos) << *answer;
  }
  EXPECT_EQ(control.counters().refused, 4u);
  const std::pair<const char*, const char*> cases[] = {
      {"{", "is not JSON"},
      {R"({"v":1})", "sites is missing"},
      {R"({"v":1,"sites":7})", "sites"},
      {R"({"v":1,"sites":[],"sites_next":"a"})", "sites_next is 'a', which was asked for already"},
      {R"({"v":1,"error":"no"})", "the control plane refuses: no"}};
  for (const auto& [page, words] : cases) {
    const auto whole = whole_status(
        "sites", [page = page](const std::string&) { return Result<std::string>(page); });
    ASSERT_FALSE(whole) << page;
    EXPECT_NE(whole.error().message.find(words), std::string::npos) << whole.error().message;
  }
}

}  // namespace
}  // namespace noroshi::fleet
