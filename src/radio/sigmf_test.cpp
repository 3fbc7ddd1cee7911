// Catches: samples that change on their way through a recording, an interrupted recording that does
// not read, metadata faults that pass or are named badly.

#include "radio/sigmf.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "base/prng.h"
#include "radio/sigmf_meta.h"

namespace noroshi::radio {
namespace {

class SigmfTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder = std::filesystem::temp_directory_path() /
             ("noroshi_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  void put(const std::string& name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
  }
  std::string error_of(const std::string& name) {
    const auto info = read_sigmf_info(folder / name);
    return info.ok() ? "no error" : info.error().message;
  }

  std::filesystem::path folder;
};

std::vector<cf32> random_samples(std::size_t count, Prng& prng) {
  std::vector<cf32> samples(count);
  for (cf32& s : samples) {
    s = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
  }
  return samples;
}

SigmfInfo two_channels() {
  SigmfInfo info;
  info.sample_rate_hz = 1e6;
  info.channels = 2;
  return info;
}

TEST_F(SigmfTest, WhatIsWrittenIsRead) {
  constexpr std::uint64_t seed = 5;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Prng prng(seed);
  for (const int channels : {1, 2, 4}) {
    SigmfInfo info;
    info.sample_rate_hz = 30.72e6;
    info.frequency_hz = 3.5e9;
    info.channels = channels;
    info.description = "uplink \"of\" a cell";
    info.datetime = "2026-01-02T03:04:05.678Z";
    auto writer = SigmfWriter::create(folder / "run", info);
    ASSERT_TRUE(writer.ok()) << writer.error().message;
    const auto rows = static_cast<std::size_t>(channels);
    std::vector<std::vector<cf32>> expected(rows);
    for (const std::size_t count : {1, 7, 1000, 200'000, 0}) {
      const std::vector<cf32> block = random_samples(rows * count, prng);
      for (std::size_t c = 0; c < rows; ++c) {
        expected[c].insert(expected[c].end(),
                           block.begin() + static_cast<std::ptrdiff_t>(c * count),
                           block.begin() + static_cast<std::ptrdiff_t>((c + 1) * count));
      }
      ASSERT_TRUE(writer->write(View<const cf32, 2>(block.data(), rows, count)).ok());
    }
    writer->annotate({3, 4, "slot 0"});
    ASSERT_TRUE(writer->close().ok());
    ASSERT_TRUE(writer->close().ok());

    auto reader = SigmfReader::open(folder / "run.sigmf-meta");
    ASSERT_TRUE(reader.ok()) << reader.error().message;
    EXPECT_EQ(reader->info().sample_rate_hz, 30.72e6);
    EXPECT_EQ(reader->info().frequency_hz, 3.5e9);
    EXPECT_EQ(reader->info().channels, channels);
    EXPECT_EQ(reader->info().description, info.description);
    EXPECT_EQ(reader->info().datetime, info.datetime);
    ASSERT_EQ(reader->info().annotations.size(), 1u);
    EXPECT_EQ(reader->info().annotations[0].sample_start, 3);
    EXPECT_EQ(reader->info().annotations[0].sample_count, 4);
    EXPECT_EQ(reader->info().annotations[0].label, "slot 0");
    const std::size_t total = expected[0].size();
    ASSERT_EQ(reader->info().samples, static_cast<std::int64_t>(total));

    std::vector<cf32> block(rows * 777);
    std::size_t at = 0;
    while (true) {
      const auto count = reader->read(View<cf32, 2>(block.data(), rows, std::size_t{777}));
      ASSERT_TRUE(count.ok()) << count.error().message;
      if (*count == 0) break;
      for (std::size_t c = 0; c < rows; ++c) {
        for (std::size_t i = 0; i < static_cast<std::size_t>(*count); ++i) {
          ASSERT_EQ(block[c * 777 + i], expected[c][at + i]) << c << " " << at + i;
        }
      }
      at += static_cast<std::size_t>(*count);
    }
    EXPECT_EQ(at, total);
  }
}

TEST_F(SigmfTest, ARunThatIsCutOffReads) {
  std::vector<cf32> block(2 * 100, cf32(1, -1));
  auto writer = SigmfWriter::create(folder / "run", two_channels());
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->write(View<const cf32, 2>(block.data(), 2, 100)).ok());
  // Not closed: as after a power cut.
  const auto info = read_sigmf_info(folder / "run.sigmf-meta");
  ASSERT_TRUE(info.ok()) << info.error().message;
  EXPECT_EQ(info->samples, 100);
}

TEST_F(SigmfTest, TruncatedAndCorruptDataAreNamed) {
  std::vector<cf32> block(2 * 100, cf32(1, -1));
  block[2] = {std::numeric_limits<float>::quiet_NaN(), 0};
  auto writer = SigmfWriter::create(folder / "run", two_channels());
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(writer->write(View<const cf32, 2>(block.data(), 2, 100)).ok());
  ASSERT_TRUE(writer->close().ok());
  auto reader = SigmfReader::open(folder / "run.sigmf-meta");
  ASSERT_TRUE(reader.ok());
  const auto count = reader->read(View<cf32, 2>(block.data(), 2, 100));
  ASSERT_FALSE(count.ok());
  EXPECT_NE(count.error().message.find("sample 2 of channel 0"), std::string::npos)
      << count.error().message;

  std::filesystem::resize_file(folder / "run.sigmf-data", 1600 - 16);
  EXPECT_NE(error_of("run.sigmf-meta").find("99 of the 100"), std::string::npos)
      << error_of("run.sigmf-meta");
  std::filesystem::resize_file(folder / "run.sigmf-data", 1600 - 24);
  EXPECT_NE(error_of("run.sigmf-meta").find("not a whole number"), std::string::npos);
  std::filesystem::resize_file(folder / "run.sigmf-data", 0);
  EXPECT_NE(error_of("run.sigmf-meta").find("cut off"), std::string::npos);
  std::filesystem::remove(folder / "run.sigmf-data");
  EXPECT_NE(error_of("run.sigmf-meta").find("No such file"), std::string::npos);
}

TEST_F(SigmfTest, SixteenBitIntegersAreRead) {
  put("i.sigmf-meta", R"({"global":{"core:datatype":"ci16_le","core:version":"1.0.0"},
                          "captures":[],"annotations":[]})");
  const std::int16_t parts[] = {32767, -32768, 16384, 0};
  put("i.sigmf-data", std::string(reinterpret_cast<const char*>(parts), sizeof parts));
  auto reader = SigmfReader::open(folder / "i.sigmf-meta");
  ASSERT_TRUE(reader.ok()) << reader.error().message;
  cf32 samples[5];
  const auto count = reader->read(View<cf32, 2>(samples, 1, 5));
  ASSERT_TRUE(count.ok());
  EXPECT_EQ(*count, 2);
  EXPECT_EQ(samples[0], cf32(32767.0f / 32768, -1));
  EXPECT_EQ(samples[1], cf32(0.5, 0));
}

TEST_F(SigmfTest, MetadataFaultsAreNamed) {
  const auto fault = [](const std::string& text) {
    const auto meta = parse_sigmf_meta(text);
    return meta.ok() ? "no error" : meta.error().message;
  };
  const auto global = [&fault](const std::string& more) {
    return fault(R"({"global":{"core:version":"1.0.0",)" + more + "}}");
  };
  const auto has = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos ? testing::AssertionSuccess()
                                                : testing::AssertionFailure() << text;
  };
  EXPECT_TRUE(has(global(R"("core:datatype":"cf32_le")"), "no error"));
  EXPECT_TRUE(has(fault(""), "line 1"));
  EXPECT_TRUE(has(fault("{\n  \"global\": {,"), "line 2, column 14"));
  EXPECT_TRUE(has(fault("{} x"), "column 4"));
  EXPECT_TRUE(has(fault("[]"), "no object \"global\""));
  EXPECT_TRUE(has(fault(R"({"global":3})"), "no object \"global\""));
  EXPECT_TRUE(has(global(R"("core:datatype":"cf64_le")"), "cf64_le"));
  EXPECT_TRUE(has(global(R"("core:datatype":7)"), "not a string"));
  EXPECT_TRUE(has(global(R"("core:sample_rate":1)"), "\"core:datatype\" is missing"));
  for (const char* bad :
       {R"("core:sample_rate":-1)", R"("core:sample_rate":"fast")", R"("core:num_channels":0)",
        R"("core:num_channels":1.5)", R"("core:num_channels":1000)", R"("core:dataset":"../x")",
        R"("core:metadata_only":true)", R"("core:trailing_bytes":4)"}) {
    const std::string key = std::string(bad).substr(1, std::string(bad).find('"', 1) - 1);
    EXPECT_TRUE(has(global(R"("core:datatype":"cf32_le",)" + std::string(bad)), key.c_str()));
  }
  const std::string good = R"({"global":{"core:version":"1.0.0","core:datatype":"cf32_le"},)";
  EXPECT_TRUE(has(fault(good + R"("captures":{}})"), "captures"));
  EXPECT_TRUE(has(fault(good + R"("captures":[{},{"core:frequency":"x"}]})"), "captures[1]"));
  EXPECT_TRUE(has(fault(good + R"("captures":[{"core:header_bytes":4}]})"), "header_bytes"));
  EXPECT_TRUE(has(fault(good + R"("annotations":[{"core:sample_start":-1}]})"), "annotations[0]"));
}

TEST_F(SigmfTest, FilesThatCannotBe) {
  EXPECT_NE(error_of("none.sigmf-meta").find("No such file"), std::string::npos);
  const auto writer = SigmfWriter::create(folder / "no" / "run", {});
  ASSERT_FALSE(writer.ok());
  EXPECT_NE(writer.error().message.find("No such file"), std::string::npos);
  put("m.sigmf-meta", "\x00\xff garbage");
  EXPECT_NE(error_of("m.sigmf-meta").find("not JSON"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::radio
