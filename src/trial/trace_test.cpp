// Catches: a trace read wrongly, prompts that are alike where they should not be, a made-up trace
// that is another one for the same seed.

#include "trial/trace.h"

#include <gtest/gtest.h>

namespace noroshi::trial {
namespace {

TEST(Trace, ReadsBothKindsAndSaysWhichLineIsWrong) {
  const auto mooncake = parse_trace(
      "{\"timestamp\": 500, \"input_length\": 700, \"output_length\": 5, \"hash_ids\": [7, 8]}\n"
      "{\"timestamp\": 1500, \"input_length\": 1300, \"output_length\": 6, \"hash_ids\": [7, 8, "
      "9]}\n",
      10);
  ASSERT_TRUE(mooncake) << mooncake.error().message;
  ASSERT_EQ(mooncake->size(), 2u);
  EXPECT_EQ(mooncake->at(1).at_s, 1.0);
  EXPECT_EQ(mooncake->at(1).blocks, (std::vector<std::uint32_t>{7, 8, 9}));
  // Of 2000 tokens 1024 were seen: whole blocks, as far as the prompt reaches.
  EXPECT_DOUBLE_EQ(ideal_cached_share(*mooncake), 1024.0 / 2000);

  const auto azure = parse_trace(
      "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.5,374,44\r\n"
      "2023-11-16 18:16:46.75,600,1\r\n",
      10);
  ASSERT_TRUE(azure) << azure.error().message;
  ASSERT_EQ(azure->size(), 2u);
  EXPECT_DOUBLE_EQ(azure->at(1).at_s, 60.25);
  EXPECT_EQ(azure->at(1).blocks.size(), 2u);
  EXPECT_EQ(ideal_cached_share(*azure), 0);

  const auto message = [](std::string_view text) {
    const auto trace = parse_trace(text, 10);
    return trace ? std::string("it was read") : trace.error().message;
  };
  EXPECT_NE(message("\n{\"timestamp\": -1}").find("line 2: timestamp -1"), std::string::npos);
  EXPECT_NE(message("TIMESTAMP,ContextTokens,GeneratedTokens\nx,1,2").find("line 2"),
            std::string::npos);
  EXPECT_NE(message("").find("no request"), std::string::npos);
  EXPECT_NE(message(R"({"timestamp":0,"input_length":600,"output_length":1,"hash_ids":[1]})")
                .find("input_length 600"),
            std::string::npos);
}

TEST(Trace, PromptsAreAlikeAsFarAsTheirBlocksAre) {
  const TraceRequest a{0, 1200, 1, {1, 2, 3}};
  const TraceRequest b{0, 1400, 1, {1, 2, 4}};
  const std::string first = trace_prompt(a);
  const std::string second = trace_prompt(b);
  EXPECT_EQ(first.size(), 1200u * 4);
  EXPECT_EQ(first.substr(0, 1024 * 4), second.substr(0, 1024 * 4));
  EXPECT_NE(first.substr(1024 * 4, 64), second.substr(1024 * 4, 64));
}

TEST(Trace, MadeUpOnesAreTheSameForASeed) {
  const auto one = make_trace({.requests = 300, .seed = 5});
  const auto again = make_trace({.requests = 300, .seed = 5});
  ASSERT_EQ(one.size(), 300u);
  for (std::size_t i = 0; i < one.size(); ++i) {
    EXPECT_EQ(one[i].at_s, again[i].at_s);
    EXPECT_EQ(one[i].blocks, again[i].blocks);
  }
  EXPECT_GT(ideal_cached_share(one), 0.3);
}

}  // namespace
}  // namespace noroshi::trial
