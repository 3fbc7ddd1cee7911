// Catches: a context that arrives changed, at another session's or another model's asking, or in a
// slot that is in use; a site that is asked again and again though it fails; a wait that is longer
// than computing; a context that stays behind in a file or the store; a sealed context that opens
// to whoever has not its name.

#include "live/contexts/mover.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "fleet/real_server_test.h"
#include "gateway/handover/fake_slots.h"
#include "live/contexts/folder.h"
#include "live/contexts/seal.h"

namespace noroshi::live {
namespace {

using fleet::Watched;
using gateway::ContextFetched;
using gateway::FakeSlots;

constexpr std::uint32_t seed = 77;

// A site with one engine: what it answers for is in the test's hand.
struct TestSite {
  TestSite(const std::string& url, const std::filesystem::path& folder, const std::string& name)
      : engine(folder / name), bus(fleet::connect_to(url, name)) {
    address = std::make_shared<gateway::SiteAddress>();
    address->host = "127.0.0.1";
    address->tcp_port = engine.tcp_port();
    mover = std::make_unique<ContextMover>(
        *bus, clock,
        MoverConfig{.region = "east",
                    .site = name,
                    .folder = (folder / name).string(),
                    .seed = std::hash<std::string>()(name)},
        MoverCalls{.last_turn =
                       [this](std::string_view session) {
                         return session == "ann" ? std::optional(gateway::TurnPlace{address, seed})
                                                 : std::nullopt;
                       },
                   .content_of = [this](int) { return content; }});
    EXPECT_TRUE(mover->start().ok());
    EXPECT_TRUE(fleet::ensure_session_store(*bus, fleet::wait_s).ok());
    EXPECT_TRUE(bus->flush(fleet::wait_s).ok());
  }
  ContextFetched fetch(const std::string& from, double tokens_per_s = 10,
                       const std::string& session = "ann") {
    Watched<std::optional<ContextFetched>> told;
    mover->fetch({.session = session,
                  .from = from,
                  .engine = address,
                  .tokens = 1001,
                  .prompt_tokens_per_s = tokens_per_s},
                 [&](ContextFetched fetched) {
                   told.change([&](auto& value) { value = std::move(fetched); });
                 });
    EXPECT_TRUE(told.wait([](const auto& value) { return value.has_value(); }));
    return told.get().value_or(ContextFetched{});
  }

  MonotonicClock clock;
  FakeSlots engine;
  std::string content = "hash";
  std::shared_ptr<gateway::SiteAddress> address;
  std::unique_ptr<fleet::Bus> bus;
  std::unique_ptr<ContextMover> mover;
};

struct MoverTest : testing::Test {
  MoverTest() {
    a.engine.slots = {{.id = 0, .seed = 5, .task = 9, .context = "another session's"},
                      {.id = 1, .seed = seed, .task = 8, .context = context}};
    b.engine.slots = {{.id = 0, .seed = 1, .task = 3, .context = "young"},
                      {.id = 1, .seed = 2, .task = 2, .context = "old"},
                      {.id = 2, .busy = true}};
  }
  int files() const {
    int count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path)) {
      count += entry.is_regular_file() && entry.path().string().find("/nats/") == std::string::npos;
    }
    return count;
  }
  const std::string context = std::string(4000, 'x') + "end.";
  fleet::TemporaryFolder folder;
  fleet::NatsServer server = fleet::start_server({.folder = (folder.path / "nats").string()});
  TestSite a{server.status().url, folder.path, "a"};
  TestSite b{server.status().url, folder.path, "b"};
};

TEST_F(MoverTest, AContextFollowsItsSession) {
  const ContextFetched fetched = b.fetch("east/a");
  EXPECT_EQ(fetched.tokens, 1001) << fetched.why;
  EXPECT_EQ(b.engine.slots[1].context, context) << "in the slot used longest ago";
  EXPECT_EQ(b.engine.slots[0].context, "young");
  EXPECT_EQ(a.mover->counters().sent, 1u);
  // The next one's slot is another while the first waits for its question.
  EXPECT_EQ(b.fetch("east/a").tokens, 1001);
  EXPECT_EQ(b.engine.slots[0].context, context);
  const ContextFetched full = b.fetch("east/a");
  EXPECT_EQ(full.why, "no slot of the engine is free");
  EXPECT_TRUE(full.tried);
  EXPECT_EQ(files(), 0);
  while (a.bus->stream_state("OBJECTS_sessions", fleet::wait_s)->messages > 0) {
  }
}

TEST_F(MoverTest, WhatIsCheaperIsDone) {
  EXPECT_EQ(b.fetch("east/a", 10).tokens, 1001) << "nothing is measured: it is tried";
  const ContextFetched fetched = b.fetch("east/a", 1e9);
  EXPECT_EQ(fetched.tokens, 0);
  EXPECT_FALSE(fetched.tried);
  EXPECT_TRUE(fetched.why.starts_with("moving takes ")) << fetched.why;
  EXPECT_EQ(a.mover->counters().sent, 1u);
}

TEST_F(MoverTest, WhoCannotGiveItSaysWhyAndIsLeftInPeace) {
  struct Case {
    const char* says;
    std::function<void()> change;
    const char* session = "ann";
  };
  const Case cases[] = {
      {"no turn of that session", [] {}, "bob"},
      {"another session has its slot", [&] { a.engine.slots[1].seed = 78; }},
      {"still answers", [&] { a.engine.slots[1].busy = true; }},
      {"answered 501", [&] { a.engine.status = 501; }},
      {"holds no context", [&] { a.engine.slots[1].context.clear(); }},
      {"another session has its slot", [&] { a.engine.seed_after_save = 79; }},
      {"does not open", [&] { a.content = "other"; }},
      {"is not known", [&] { a.content = ""; }},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.says);
    a.engine.slots[1] = {.id = 1, .seed = seed, .task = 8, .context = context};
    a.engine.status = 200;
    a.engine.seed_after_save.reset();
    a.content = "hash";
    c.change();
    TestSite fresh(server.status().url, folder.path, "c");
    fresh.engine.slots = {{.id = 0}};
    const ContextFetched fetched = fresh.fetch("east/a", 10, c.session);
    EXPECT_EQ(fetched.tokens, 0);
    EXPECT_TRUE(fetched.tried);
    EXPECT_NE(fetched.why.find(c.says), std::string::npos) << fetched.why;
    EXPECT_EQ(fresh.engine.slots[0].context, "");
    const ContextFetched again = fresh.fetch("east/a", 10, c.session);
    EXPECT_FALSE(again.tried);
    EXPECT_EQ(again.why, "east/a failed lately");
    EXPECT_EQ(files(), 0);
  }
}

TEST_F(MoverTest, NobodyIsWaitedForLongerThanItPays) {
  EXPECT_TRUE(b.fetch("east/nobody").tried);
  EXPECT_FALSE(b.fetch("no site", 10).why.empty());
  // One that hears the ask and says nothing.
  const auto mute = a.bus->subscribe("noroshi.context.east.mute", "", [](const fleet::Message&) {});
  ASSERT_TRUE(mute && a.bus->flush(fleet::wait_s));
  const std::int64_t from_ns = b.clock.now_ns();
  const ContextFetched late = b.fetch("east/mute", 10'000);  // a tenth of a second to compute
  EXPECT_TRUE(late.tried);
  EXPECT_EQ(late.tokens, 0);
  EXPECT_GE(b.clock.now_ns() - from_ns, 20'000'000) << "a quarter of it";
}

TEST_F(MoverTest, BytesThatAreNoAskAreAnsweredWithWhatIsWrong) {
  const auto answer = b.bus->request("noroshi.context.east.a", "{}", fleet::wait_s);
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_NE(answer->find("session is no text"), std::string::npos) << *answer;
  EXPECT_TRUE(b.bus->publish("noroshi.context.east.a", "no reply wanted"));
  EXPECT_EQ(b.fetch("east/a").tokens, 1001);
}

TEST(Seal, OpensToItsOwnNameAndModelAlone) {
  const std::string plain = std::string("a\0b", 3) + std::string(100'000, 'c');
  const auto sealed = seal(plain, "ann", "hash");
  ASSERT_TRUE(sealed);
  EXPECT_EQ(sealed->find("ccc"), std::string::npos);
  EXPECT_EQ(*unseal(*sealed, "ann", "hash"), plain);
  EXPECT_FALSE(unseal(*sealed, "bob", "hash"));
  EXPECT_FALSE(unseal(*sealed, "ann", "other"));
  EXPECT_NE(*seal(plain, "ann", "hash"), *sealed) << "never twice the same";
  for (const std::size_t at :
       {std::size_t{0}, std::size_t{5}, std::size_t{20}, sealed->size() - 1}) {
    std::string changed = *sealed;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(unseal(changed, "ann", "hash")) << at;
  }
  EXPECT_FALSE(unseal(std::string_view(*sealed).substr(0, 31), "ann", "hash"));
  EXPECT_EQ(*unseal(*seal("", "ann", ""), "ann", ""), "");
}

TEST(ContextFolder, IsOurOwnAndGoesWithUs) {
  std::string path;
  {
    const auto folder = ContextFolder::make("");
    ASSERT_TRUE(folder) << folder.error().message;
    path = folder->path();
    const auto all = std::filesystem::perms::group_all | std::filesystem::perms::others_all;
    EXPECT_EQ(std::filesystem::status(path).permissions() & all, std::filesystem::perms::none);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  const auto nowhere = ContextFolder::make("/dev/null/x");
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().message.find("fleet.contexts: /dev/null/x"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::live
