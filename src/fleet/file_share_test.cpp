// Catches: a model file that arrives with another byte, twice a part or not at all; a transfer that
// starts over where it could go on; a disk that is full half-way; answers of hostile sites.

#include "fleet/file_share.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <thread>

#include "base/prng.h"
#include "fleet/desired.h"
#include "fleet/fetcher.h"
#include "fleet/real_server_test.h"

namespace noroshi::fleet {
namespace {

class FileShareTest : public testing::Test {
 protected:
  void SetUp() override {
    constexpr std::uint64_t seed = 5;
    std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    Prng prng(seed);
    content.resize(5 * chunk_bytes_max / 2);
    for (char& c : content) c = static_cast<char>(prng());
    hash = write("model.gguf", content);
  }
  std::string write(const std::string& name, const std::string& bytes) {
    const std::string path = (folder.path / name).string();
    std::ofstream(path, std::ios::binary) << bytes;
    return *file_hash(path);
  }
  std::string path_of(const std::string& name) { return (folder.path / name).string(); }
  std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  FetchConfig config() {
    return {.content_hash = hash, .folder = path_of("got"), .name = "m.gguf", .timeout_s = wait_s};
  }
  static bool on(std::uint64_t, std::uint64_t) { return true; }

  TemporaryFolder folder;
  NatsServer server = start_server({.folder = (folder.path / "nats").string()});
  std::unique_ptr<Bus> bus = connect_to(server.status().url, "asker");
  std::unique_ptr<Bus> other = connect_to(server.status().url, "holder");
  std::string content, hash;
};

TEST_F(FileShareTest, ComesWholeFromWhoeverHasIt) {
  const auto nobody = fetch_file(*bus, config(), on);
  ASSERT_FALSE(nobody);
  EXPECT_NE(nobody.error().message.find("nobody listens"), std::string::npos);
  const auto a = share_file(*other, "a", path_of("model.gguf"), hash);
  const auto b = share_file(*other, "b", path_of("model.gguf"), hash);
  ASSERT_TRUE(a && b && other->flush(wait_s));
  std::vector<std::uint64_t> seen;
  const auto got = fetch_file(*bus, config(), [&](std::uint64_t here, std::uint64_t bytes) {
    EXPECT_EQ(bytes, content.size());
    seen.push_back(here);
    return true;
  });
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(*got, path_of("got/m.gguf"));
  EXPECT_TRUE(read(*got) == content);
  EXPECT_EQ(seen,
            (std::vector<std::uint64_t>{chunk_bytes_max, 2 * chunk_bytes_max, content.size()}));
  EXPECT_FALSE(std::filesystem::exists(path_of("got/" + hash + ".part")));
}

TEST_F(FileShareTest, GoesOnWhereItBrokeOff) {
  auto share = share_file(*other, "a", path_of("model.gguf"), hash);
  ASSERT_TRUE(share && other->flush(wait_s));
  const auto first = fetch_file(*bus, config(), [](std::uint64_t, std::uint64_t) { return false; });
  ASSERT_FALSE(first);
  EXPECT_NE(first.error().message.find(std::to_string(chunk_bytes_max) + " bytes are here"),
            std::string::npos)
      << first.error().message;
  std::uint64_t chunks = 0;
  const auto rest = fetch_file(*bus, config(), [&](std::uint64_t, std::uint64_t) {
    ++chunks;
    return true;
  });
  ASSERT_TRUE(rest) << rest.error().message;
  EXPECT_EQ(chunks, 2u);
  EXPECT_TRUE(read(*rest) == content);
}

TEST_F(FileShareTest, AnotherContentIsThrownAway) {
  std::string forged = content;
  forged[chunk_bytes_max + 7] ^= 1;
  write("forged.gguf", forged);
  auto share = share_file(*other, "thief", path_of("forged.gguf"), hash);
  ASSERT_TRUE(share && other->flush(wait_s));
  const auto got = fetch_file(*bus, config(), on);
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find("another content"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(path_of("got/m.gguf")));
  EXPECT_FALSE(std::filesystem::exists(path_of("got/" + hash + ".part")));
}

// A hostile site said that there is more, and sent it.
TEST_F(FileShareTest, MoreThanThereIsIsThrownAwayAndBegunAgain) {
  std::filesystem::create_directories(path_of("got"));
  write("got/" + hash + ".part", content + std::string(1000, 'x'));
  auto share = share_file(*other, "a", path_of("model.gguf"), hash);
  ASSERT_TRUE(share && other->flush(wait_s));
  const auto first = fetch_file(*bus, config(), on);
  ASSERT_FALSE(first);
  EXPECT_NE(first.error().message.find("thrown away"), std::string::npos) << first.error().message;
  const auto again = fetch_file(*bus, config(), on);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_TRUE(read(*again) == content);
}

TEST_F(FileShareTest, AFullDiskIsSaidBeforeAByteIsWritten) {
  // Two terabytes, as somebody says.
  const FileChunk chunk{
      .site = "a", .bytes = std::uint64_t{1} << 41, .data = std::string(chunk_bytes_max, 'x')};
  auto share = other->subscribe(file_subject(hash), "sites", [&](const Message& m) {
    EXPECT_TRUE(other->publish(m.reply, chunk_text(chunk)));
  });
  ASSERT_TRUE(share && other->flush(wait_s));
  std::uint64_t chunks = 0;
  const auto got = fetch_file(*bus, config(), [&](std::uint64_t, std::uint64_t) {
    ++chunks;
    return true;
  });
  ASSERT_FALSE(got);
  EXPECT_EQ(chunks, 0u);
  EXPECT_NE(got.error().message.find("no place for 2199023255552 bytes"), std::string::npos)
      << got.error().message;
  EXPECT_FALSE(std::filesystem::exists(path_of("got/" + hash + ".part")));
}

TEST_F(FileShareTest, ADiskThatFailsHalfWayLeavesNothingBehind) {
  auto share = share_file(*other, "a", path_of("model.gguf"), hash);
  ASSERT_TRUE(share && other->flush(wait_s));
  // A file may not grow beyond one chunk.
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{chunk_bytes_max, before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const auto got = fetch_file(*bus, config(), on);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  ASSERT_FALSE(got);
  EXPECT_NE(got.error().message.find(std::strerror(EFBIG)), std::string::npos)
      << got.error().message;
  EXPECT_FALSE(std::filesystem::exists(path_of("got/" + hash + ".part")));
  const auto again = fetch_file(*bus, config(), on);
  EXPECT_TRUE(again) << again.error().message;
}

TEST_F(FileShareTest, WhatIsWantedComesOnceSomebodyHasIt) {
  const ModelFile model{.name = "org/my model", .content_hash = hash, .memory_bytes = 7};
  Fetcher fetcher(*bus, path_of("got"));
  fetcher.want({model});
  while (fetcher.status().fault.empty()) std::this_thread::yield();
  EXPECT_NE(fetcher.status().fault.find("'org/my model'"), std::string::npos);
  EXPECT_NE(fetcher.status().fault.find("nobody listens"), std::string::npos);
  EXPECT_TRUE(fetcher.take().empty());
  auto share = share_file(*other, "a", path_of("model.gguf"), hash);
  ASSERT_TRUE(share && other->flush(wait_s));
  std::vector<Fetched> came;
  while (came.empty()) {
    came = fetcher.take();
    std::this_thread::yield();
  }
  EXPECT_EQ(came[0].file, model);
  EXPECT_TRUE(read(came[0].path) == content);
  EXPECT_EQ(fetcher.status().fault, "");
  EXPECT_EQ(fetcher.status().model, "");
  // Its name tells the next life what it is.
  const std::string name = std::filesystem::path(came[0].path).filename();
  const auto again = parse_fetched_name(name);
  ASSERT_TRUE(again) << name;
  EXPECT_EQ(again->name, model.name);
  EXPECT_EQ(again->content_hash, hash);
  for (const std::string& wrong :
       {std::string(""), std::string("m.gguf"), hash + ".gguf", "=4." + hash + ".gguf",
        "m." + hash + ".part", "m." + std::string(64, 'x') + ".gguf"}) {
    EXPECT_FALSE(parse_fetched_name(wrong)) << wrong;
  }
}

TEST_F(FileShareTest, HostileAnswersEndItAndNameWhoSentThem) {
  FileChunk chunk{.site = "evil", .bytes = 100, .offset = 0, .data = std::string(10, 'x')};
  const auto with = [&](auto change) {
    FileChunk other_chunk = chunk;
    change(other_chunk);
    return chunk_text(other_chunk);
  };
  const std::pair<std::string, const char*> answers[] = {
      {"", "has no header"},
      {std::string(2000, '{'), "has no header"},
      {"{}\n", "v"},
      {with([](FileChunk& c) { c.site = "a b"; }), "site"},
      {with([](FileChunk& c) { c.bytes = model_bytes_max + 1; }), "bytes"},
      {with([](FileChunk& c) { c.offset = 101; }), "offset"},
      {with([](FileChunk& c) { c.offset = 5; }), "sent 10 bytes at 5"},
      {with([](FileChunk& c) { c.bytes = 5; }), "sent 10 bytes at 0 of 5"},
      {with([](FileChunk& c) { c.data.clear(); }), "sent 0 bytes"},
      {with([](FileChunk& c) { c.data.assign(chunk_bytes_max + 1, 'x'); }), "524289 bytes"},
      {with([](FileChunk& c) { c.error = "go away"; }), "'evil' says: go away"},
  };
  for (const auto& [answer, words] : answers) {
    auto evil = other->subscribe(file_subject(hash), "sites", [&, text = answer](const Message& m) {
      EXPECT_TRUE(other->publish(m.reply, text));
    });
    ASSERT_TRUE(evil && other->flush(wait_s));
    const auto got = fetch_file(*bus, config(), on);
    ASSERT_FALSE(got) << words;
    EXPECT_NE(got.error().message.find(words), std::string::npos) << got.error().message;
    evil->reset();
    ASSERT_TRUE(other->flush(wait_s));
  }
  // And hostile askers get told.
  auto share = share_file(*other, "a", path_of("model.gguf"), hash);
  ASSERT_TRUE(share && other->flush(wait_s));
  for (const char* request :
       {"", "x", R"({"v":1})", R"({"v":1,"offset":-1})", R"({"v":1,"offset":99999999999})"}) {
    const auto answer = bus->request(file_subject(hash), request, wait_s);
    ASSERT_TRUE(answer) << answer.error().message;
    const auto told = parse_chunk(*answer);
    ASSERT_TRUE(told) << told.error().message;
    EXPECT_FALSE(told->error.empty()) << request;
    EXPECT_TRUE(told->data.empty());
  }
  EXPECT_FALSE(share_file(*other, "a", path_of("not there"), hash));
}

}  // namespace
}  // namespace noroshi::fleet
