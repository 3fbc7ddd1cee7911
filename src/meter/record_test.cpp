// Catches: a record that does not survive its way as bytes, or hostile bytes that are counted.

#include "meter/record.h"

#include <gtest/gtest.h>

#include <limits>

namespace noroshi::meter {
namespace {

UsageRecord example() {
  return {.id = "gw-7",
          .tenant = "acme \"quoted\" \u6771\u4eac",
          .model = "tiny",
          .site = "east1",
          .endpoint = "chat",
          .tokens_prompt = 120,
          .tokens_completion = 34,
          .tokens_cached = 100,
          .tokens_counted_here = true,
          .received_ns = 1'764'072'000'123'456'789,
          .first_byte_ns = 0,
          .done_ns = 1'764'072'001'000'000'001,
          .outcome = Outcome::cut,
          .resumed = 2};
}

TEST(Record, SurvivesItsWayAsBytes) {
  const UsageRecord record = example();
  const auto read = parse_record(encode_record(record));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->id, record.id);
  EXPECT_EQ(read->tenant, record.tenant);
  EXPECT_EQ(read->model, record.model);
  EXPECT_EQ(read->site, record.site);
  EXPECT_EQ(read->endpoint, record.endpoint);
  EXPECT_EQ(read->tokens_prompt, record.tokens_prompt);
  EXPECT_EQ(read->tokens_completion, record.tokens_completion);
  EXPECT_EQ(read->tokens_cached, record.tokens_cached);
  EXPECT_EQ(read->tokens_counted_here, record.tokens_counted_here);
  EXPECT_EQ(read->received_ns, record.received_ns);
  EXPECT_EQ(read->first_byte_ns, record.first_byte_ns);
  EXPECT_EQ(read->done_ns, record.done_ns);
  EXPECT_EQ(read->outcome, record.outcome);
  EXPECT_EQ(read->resumed, record.resumed);
}

TEST(Record, RefusesWhatCannotBeCountedAndNamesIt) {
  const std::string whole = encode_record(example());
  const auto error_with = [&](const std::string& from, const std::string& to) {
    std::string changed = whole;
    const std::size_t at = changed.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    changed.replace(at, from.size(), to);
    const auto read = parse_record(changed);
    EXPECT_FALSE(read) << changed;
    return read ? std::string() : read.error().message;
  };
  const auto contains = [](const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos ? std::string() : text;
  };
  EXPECT_EQ(contains(error_with("\"v\":1", "\"v\":2"), "v 2"), "");
  EXPECT_EQ(contains(error_with("\"id\":\"gw-7\"", "\"id\":\"\""), "id of 0 bytes"), "");
  EXPECT_EQ(contains(error_with("\"id\":\"gw-7\"", "\"ID\":\"x\""), "no id"), "");
  EXPECT_EQ(contains(error_with("gw-7", std::string(200, 'x')), "id of 200 bytes"), "");
  EXPECT_EQ(contains(error_with("gw-7", "a\\u0000b"), "control character"), "");
  EXPECT_EQ(contains(error_with("\"prompt\":120", "\"prompt\":-1"), "prompt -1"), "");
  EXPECT_EQ(contains(error_with("\"prompt\":120", "\"prompt\":1.5"), "prompt 1.5"), "");
  EXPECT_EQ(contains(error_with("\"prompt\":120", "\"prompt\":99"), "cached 100"), "");
  EXPECT_EQ(contains(error_with("\"completion\":34", "\"completion\":1e300"), "completion"), "");
  EXPECT_EQ(contains(error_with("\"completion\":34", "\"completion\":\"34\""), "completion"), "");
  EXPECT_EQ(contains(error_with("\"counted_here\":true", "\"counted_here\":1"), "counted_here 1"),
            "");
  EXPECT_EQ(contains(error_with("1764072001000000001", "5"), "done_ns 5"), "");
  EXPECT_EQ(contains(error_with("1764072001000000001", "1664072001000000001"), "long before"), "");
  EXPECT_EQ(contains(error_with("\"cut\"", "\"free\""), "outcome free"), "");
  EXPECT_EQ(contains(error_with("\"resumed\":2", "\"resumed\":-2"), "resumed -2"), "");
  EXPECT_FALSE(parse_record(""));
  EXPECT_FALSE(parse_record("[1]"));
  EXPECT_FALSE(parse_record("\"text\""));
  EXPECT_FALSE(parse_record(whole.substr(0, whole.size() - 1)));
  EXPECT_FALSE(parse_record(std::string(1 << 20, '[')));
}

}  // namespace
}  // namespace noroshi::meter
