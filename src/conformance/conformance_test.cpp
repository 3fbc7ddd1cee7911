// Catches: a reader that trusts its file (truncated, corrupt, lying shapes), a comparison that
// passes what differs, and, where vectors are at hand, any kernel that leaves the standard.

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>

#include "conformance/components.h"
#include "conformance/runner.h"
#include "conformance/vectors.h"

namespace noroshi::conformance {
namespace {

constexpr const char* good_line =
    R"({"name":"x","params":{"poly":"6","mask":0},"implied":{"list":3},"arrays":{)"
    R"("blk":{"dtype":"u1","shape":[2],"offset":0},)"
    R"("z":{"dtype":"c8","shape":[2,2],"offset":8,"encoding":"sparse","nnz":1,"slots":[0,4]}}})";

std::string good_bin() {
  std::string bin = {1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0};
  const float value[2] = {1.5f, -2.0f};
  bin.append(reinterpret_cast<const char*>(value), sizeof value);
  return bin;
}

TEST(Vectors, ReadsDenseAndSparseArrays) {
  const auto c = parse_case(good_line, good_bin());
  ASSERT_TRUE(c.ok()) << c.error().message;
  EXPECT_EQ(c->array("blk").value()->real, (std::vector<double>{1, 0}));
  const Array& z = *c->array("z").value();
  EXPECT_EQ(z.complex, (std::vector<cf64>{0, 0, 0, {1.5, -2.0}}));
  EXPECT_EQ(z.slots, (std::vector<int>{0, 4}));
  EXPECT_EQ(c->numbers("list").value(), std::vector<double>{3});
  EXPECT_FALSE(c->integer("poly").ok());
  EXPECT_FALSE(c->array("nothing").ok());
}

TEST(Vectors, EveryTruncationIsAnErrorNotARead) {
  const std::string bin = good_bin();
  for (std::size_t length = 0; length < bin.size(); ++length) {
    EXPECT_FALSE(parse_case(good_line, bin.substr(0, length)).ok()) << length;
  }
  const std::string line = good_line;
  for (std::size_t length = 0; length < line.size(); ++length) {
    EXPECT_FALSE(parse_case(line.substr(0, length), bin).ok()) << length;
  }
}

TEST(Vectors, LyingFieldsAreNamed) {
  const auto with = [](const std::string& from, const std::string& to) {
    std::string line = good_line;
    line.replace(line.find(from), from.size(), to);
    const auto c = parse_case(line, good_bin());
    return c.ok() ? std::string() : c.error().message;
  };
  EXPECT_NE(with("\"u1\"", "\"u9\"").find("dtype"), std::string::npos);
  EXPECT_NE(with("\"shape\":[2]", "\"shape\":[-2]").find("shape"), std::string::npos);
  EXPECT_NE(with("\"shape\":[2]", "\"shape\":[99999999999999]").find("shape"), std::string::npos);
  EXPECT_NE(with("\"offset\":8", "\"offset\":999").find("offset"), std::string::npos);
  EXPECT_NE(with("\"nnz\":1", "\"nnz\":5").find("nnz"), std::string::npos);
  EXPECT_NE(with("sparse", "dense!").find("encoding"), std::string::npos);
}

TEST(Comparison, SeesEveryDifference) {
  EXPECT_EQ(difference({1, 0, 1}, {1, 0, 1}), "");
  EXPECT_NE(difference({1, 0, 1}, {1, 1, 1}).find("bit 1"), std::string::npos);
  EXPECT_NE(difference({1, 0}, {1, 0, 1}), "");
  const cf64 expected[2] = {{1, 0}, {0, 1}};
  EXPECT_EQ(difference({{1, 0}, {0, 1}}, expected, 2, 1e-6), "");
  EXPECT_NE(difference({{1, 0}, {0, 1.01f}}, expected, 2, 1e-6), "");
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(difference({{1, 0}, {nan, 1}}, expected, 2, 1e-6), "");
}

// A case whose expectation is wrong must fail, and a directory that it lies in must exit with 1.
TEST(Runner, FailsOnAWrongCaseAndOnABrokenFile) {
  const auto folder =
      std::filesystem::temp_directory_path() / ("noroshi_conformance_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder / "crc");
  const auto write = [&](const char* name, const std::string& text) {
    std::ofstream(folder / "crc" / name, std::ios::binary) << text;
  };
  write(
      "cases.jsonl",
      R"({"name":"x","params":{"poly":"6","mask":0},"arrays":{"blk":{"dtype":"u1","shape":[2],"offset":0},)"
      R"("blkcrc":{"dtype":"u1","shape":[8],"offset":0}}})");
  write("cases.bin", std::string(8, '\1'));
  EXPECT_EQ(run_conformance({.directory = folder}), 1);
  write("cases.bin", std::string(8, '\0'));  // the CRC of zeros is zero
  EXPECT_EQ(run_conformance({.directory = folder}), 0);
  write("cases.bin", std::string(7, '\0'));
  EXPECT_EQ(run_conformance({.directory = folder}), 1);
  std::filesystem::remove_all(folder);
  EXPECT_EQ(run_conformance({.directory = folder}), 2);
}

TEST(Runner, AllVectorsPass) {
  const char* named = std::getenv("NOROSHI_VECTORS");
  const std::filesystem::path directory = named != nullptr ? named : "../shared/vectors";
  if (!std::filesystem::is_directory(directory)) {
    GTEST_SKIP() << "no conformance vectors at " << directory << " (set NOROSHI_VECTORS)";
  }
  EXPECT_EQ(run_conformance({.directory = directory}), 0);
}

}  // namespace
}  // namespace noroshi::conformance
