// Catches: a load model that is not what its header says, differs from run to run or stays behind
// half written; a broken model file that is handed to a server.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "base/prng.h"
#include "engine/gguf.h"
#include "engine/model_make.h"

namespace noroshi::engine {
namespace {

class ModelTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder = std::filesystem::temp_directory_path() /
             ("noroshi_" + std::string(test->name()) + "_" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
  }
  void TearDown() override { std::filesystem::remove_all(folder); }

  std::vector<std::uint8_t> bytes_of(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  std::filesystem::path folder;
};

TEST_F(ModelTest, PresetsHaveTheirSizes) {
  const auto millions = [](const char* name) {
    return static_cast<double>(model_parameters(*model_preset(name))) * 1e-6;
  };
  EXPECT_NEAR(millions("tiny"), 3, 0.2);
  EXPECT_NEAR(millions("small"), 190, 5);
  EXPECT_NEAR(millions("medium"), 1000, 30);
  const auto none = model_preset("huge");
  ASSERT_FALSE(none.ok());
  EXPECT_NE(none.error().message.find("huge"), std::string::npos);
}

TEST_F(ModelTest, SameSeedSameBytesAndTheCheckPasses) {
  const ModelShape tiny = *model_preset("tiny");
  for (const char* name : {"a", "b"}) {
    ASSERT_TRUE(model_make(tiny, 7, folder / name, nullptr).ok());
  }
  ASSERT_TRUE(model_make(tiny, 8, folder / "c", nullptr).ok());
  EXPECT_EQ(bytes_of(folder / "a"), bytes_of(folder / "b"));
  EXPECT_NE(bytes_of(folder / "a"), bytes_of(folder / "c"));
  const auto checked = model_check(folder / "a");
  EXPECT_TRUE(checked.ok()) << checked.error().message;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    EXPECT_NE(entry.path().extension(), ".partial");
  }
}

TEST_F(ModelTest, EveryTruncationIsFound) {
  ASSERT_TRUE(model_make(*model_preset("tiny"), 1, folder / "m", nullptr).ok());
  const std::vector<std::uint8_t> whole = bytes_of(folder / "m");
  ASSERT_TRUE(gguf_check(whole, whole.size()).error.empty());
  constexpr std::uint64_t seed = 1;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Prng prng(seed);
  for (int round = 0; round < 2000; ++round) {
    const bool in_header = round % 2 == 0;
    const std::size_t length = prng.below(in_header ? 12'000 : whole.size() - 31);
    const GgufCheck check = gguf_check(View<const std::uint8_t, 1>(whole.data(), length), length);
    ASSERT_FALSE(check.error.empty()) << length;
    ASSERT_FALSE(check.needs_more) << length;
    ASSERT_NE(check.error.find("cut off"), std::string::npos) << length << " " << check.error;
  }
}

TEST_F(ModelTest, AWindowThatIsTooSmallAsksForMore) {
  ASSERT_TRUE(model_make(*model_preset("tiny"), 1, folder / "m", nullptr).ok());
  const std::vector<std::uint8_t> whole = bytes_of(folder / "m");
  const GgufCheck check = gguf_check(View<const std::uint8_t, 1>(whole.data(), 500), whole.size());
  EXPECT_TRUE(check.needs_more);
}

TEST_F(ModelTest, LiesAreNamed) {
  const auto error_of = [](const GgufHeader& header, std::uint64_t data_bytes) {
    const std::string text = header.bytes();
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    return gguf_check(View<const std::uint8_t, 1>(bytes, text.size()), text.size() + data_bytes)
        .error;
  };
  GgufHeader none;
  none.text("general.architecture", "llama");
  EXPECT_NE(error_of(none, 0).find("no tensors"), std::string::npos);
  GgufHeader good;
  good.tensor("w", {64, 2}, ggml_q8_0, 0);
  EXPECT_EQ(error_of(good, 136), "");
  EXPECT_NE(error_of(good, 135).find("cut off"), std::string::npos);
  GgufHeader ragged;
  ragged.tensor("w", {33}, ggml_q8_0, 0);
  EXPECT_NE(error_of(ragged, 1000).find("whole blocks"), std::string::npos);
  GgufHeader unaligned;
  unaligned.tensor("w", {32}, ggml_f32, 8);
  EXPECT_NE(error_of(unaligned, 1000).find("not aligned"), std::string::npos);
  GgufHeader huge;
  huge.tensor("w", {1ull << 62, 1ull << 62}, ggml_f32, 0);
  EXPECT_NE(error_of(huge, 1000).find("more elements"), std::string::npos);
  GgufHeader far;
  far.tensor("w", {1}, ggml_f32, ~0ull - 31);
  EXPECT_NE(error_of(far, 1000).find("offset"), std::string::npos);
}

TEST_F(ModelTest, FilesThatCannotBe) {
  const auto unwritable = model_make(*model_preset("tiny"), 1, folder / "no" / "m", nullptr);
  ASSERT_FALSE(unwritable.ok());
  EXPECT_NE(unwritable.error().message.find("No such file"), std::string::npos);
  const auto full = model_make(*model_preset("tiny"), 1, "/dev/full/m", nullptr);
  EXPECT_FALSE(full.ok());
  std::ofstream(folder / "text") << "once upon a time there was a model";
  EXPECT_NE(model_check(folder / "text").error().message.find("not a GGUF"), std::string::npos);
  std::ofstream(folder / "empty").flush();
  EXPECT_NE(model_check(folder / "empty").error().message.find("cut off"), std::string::npos);
  EXPECT_NE(model_check(folder).error().message.find("folder"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::engine
