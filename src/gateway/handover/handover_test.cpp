// Catches: a context that is moved when computing it again is cheaper, or the other way; one that
// arrives changed or in part; files that stay behind; an engine's refusal that is taken for
// success.

#include "gateway/handover/handover.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "gateway/handover/fake_slots.h"

namespace noroshi::gateway {
namespace {

namespace fs = std::filesystem;

struct Handover : testing::Test {
  Handover()
      : folder(fs::temp_directory_path() / ("noroshi-handover-" + std::to_string(::getpid()))),
        a(folder / "a"),
        b(folder / "b"),
        store((folder / "store").string()) {
    fs::create_directories(folder / "store");
    a.slots = {{.id = 3, .seed = 77, .task = 4, .context = std::string(4000, 'x') + "end."}};
    b.slots = {{.id = 5}};
  }
  ~Handover() override { fs::remove_all(folder); }
  Result<Moved> move(const std::string& name = "session-1") {
    return move_slot(a.place(3), b.place(5), store, name);
  }
  int files() const {
    int count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      count += entry.is_regular_file() ? 1 : 0;
    }
    return count;
  }
  fs::path folder;
  FakeSlots a, b;
  FolderStore store;
};

TEST_F(Handover, TheContextArrivesWholeAndLeavesNothingBehind) {
  const auto moved = move();
  ASSERT_TRUE(moved.ok()) << moved.error().message;
  EXPECT_EQ(moved->tokens, 1001);
  EXPECT_EQ(moved->bytes, 4004u);
  EXPECT_EQ(b.slots[0].context, a.slots[0].context);
  EXPECT_EQ(files(), 0);
}

TEST_F(Handover, EveryFailureIsNamedAndLeavesNothingBehind) {
  const auto fails = [&](const Result<Moved>& moved, const char* says) {
    ASSERT_FALSE(moved.ok()) << says;
    EXPECT_NE(moved.error().message.find(says), std::string::npos) << moved.error().message;
    EXPECT_EQ(files(), 0) << says;
  };
  fails(move("../../etc/passwd"), "name '../../etc/passwd'");
  fails(move(""), "must have 1..60");
  a.status = 501;
  fails(move(), "save: answered 501");
  a.status = 200;
  a.answer = "[]";
  fails(move(), "no count 'n_saved'");
  a.answer = R"({"n_saved":-1})";
  fails(move(), "no count 'n_saved'");
  a.answer.clear();
  b.answer = R"({"n_restored":7})";
  fails(move(), "1001 tokens were saved and 7 restored");
  b.answer.clear();
  fails(move_slot(a.place(3), {.tcp_port = 1, .slot = 5, .save_folder = (folder / "b").string()},
                  store, "s"),
        "restore: ");
  FolderStore nowhere((folder / "no" / "such").string());
  fails(move_slot(a.place(3), b.place(5), nowhere, "s"), "blob 's'");
  a.slots[0].context.clear();
  fails(move(), "holds no context");
}

TEST_F(Handover, HalvesOfAMoveLeaveOnlyTheBlob) {
  const auto sent = send_slot(a.place(3), store, "half");
  ASSERT_TRUE(sent.ok()) << sent.error().message;
  EXPECT_EQ(files(), 1);
  EXPECT_FALSE(receive_slot(b.place(5), store, "half", sent->tokens + 1).ok()) << "another count";
  const auto received = receive_slot(b.place(5), store, "half", sent->tokens);
  ASSERT_TRUE(received.ok()) << received.error().message;
  EXPECT_EQ(received->bytes, sent->bytes);
  ASSERT_TRUE(store.remove("half").ok());
  EXPECT_EQ(files(), 0);
}

TEST_F(Handover, SlotsAreReadAsTheServerShowsThem) {
  a.slots.push_back({.id = 4, .busy = true});
  const auto slots = read_slots(a.place(0));
  ASSERT_TRUE(slots.ok()) << slots.error().message;
  ASSERT_EQ(slots->size(), 2u);
  EXPECT_EQ((*slots)[0].seed, 77u);
  EXPECT_EQ((*slots)[0].task, 4);
  EXPECT_EQ((*slots)[0].tokens, 1001);
  EXPECT_FALSE((*slots)[0].busy);
  EXPECT_EQ((*slots)[1].id, 4);
  EXPECT_TRUE((*slots)[1].busy);
  EXPECT_FALSE((*slots)[1].seed);
  for (const auto& [text, says] : {std::pair("{}", "no list"), std::pair("[1]", "slots[0] is no"),
                                   std::pair(R"([{"id":-1}])", "slots[0].id is no count"),
                                   std::pair(R"([{"id":0}])", "slots[0].is_processing")}) {
    const auto refused = parse_slots(text);
    ASSERT_FALSE(refused.ok()) << text;
    EXPECT_NE(refused.error().message.find(says), std::string::npos) << refused.error().message;
  }
  EXPECT_FALSE(parse_slots("[" + std::string(3000, ' ') + "null]").ok());
}

TEST_F(Handover, AServerThatSaysNothingIsWaitedForNoLongerThanAsked) {
  a.silent = true;
  SlotPlace place = a.place(3);
  place.timeout_s = 0.05;
  const auto slots = read_slots(place);
  ASSERT_FALSE(slots.ok());
  EXPECT_NE(slots.error().message.find("slots at 127.0.0.1"), std::string::npos);
}

TEST(HandoverCosts, ARequestWaitsNoLongerThanItPays) {
  HandoverCosts costs;
  EXPECT_EQ(patience_s(costs, 1000), 0) << "nobody knows what computing takes";
  costs.prompt_tokens_per_s = 500;
  EXPECT_NEAR(patience_s(costs, 1000), 0.5, 1e-9) << "a quarter, to learn";
  learn(costs,
        {.tokens = 1000, .bytes = 1'000'000, .save_s = 0.1, .transfer_s = 0.2, .restore_s = 0.1});
  EXPECT_NEAR(patience_s(costs, 1000), 0.6, 1e-9) << "half as long again as moving";
  costs.prompt_tokens_per_s = 100;
  EXPECT_NEAR(patience_s(costs, 1000), 2.5, 1e-9) << "a quarter of ten seconds";
  costs.prompt_tokens_per_s = 2000;
  EXPECT_NEAR(patience_s(costs, 1000), 0.5, 1e-9) << "never longer than computing";
  costs.prompt_tokens_per_s = 3000;
  EXPECT_EQ(patience_s(costs, 1000), 0) << "computing is cheaper";
}

TEST(HandoverCosts, TheCheaperWayIsTakenAndNothingIsGuessed) {
  HandoverCosts costs;
  EXPECT_FALSE(moving_pays(costs, 1000)) << "nothing is measured";
  learn(
      costs,
      {.tokens = 1000, .bytes = 2'000'000, .save_s = 0.002, .transfer_s = 0.2, .restore_s = 0.002});
  EXPECT_FALSE(moving_pays(costs, 1000)) << "the prompt rate is not";
  costs.prompt_tokens_per_s = 2000;
  costs.round_trip_s = 0.01;
  EXPECT_NEAR(moving_s(costs, 1000), 0.224, 1e-9);
  EXPECT_NEAR(recomputing_s(costs, 1000), 0.5, 1e-9);
  EXPECT_TRUE(moving_pays(costs, 1000));
  EXPECT_FALSE(moving_pays(costs, 10)) << "two round trips for little";
  learn(
      costs,
      {.tokens = 1000, .bytes = 2'000'000, .save_s = 0.002, .transfer_s = 20, .restore_s = 0.002});
  EXPECT_LT(costs.bandwidth_bytes_per_s, 10'000'000);
  costs.bandwidth_bytes_per_s = 1'000'000;
  EXPECT_FALSE(moving_pays(costs, 1000)) << "a thin wire";
}

}  // namespace
}  // namespace noroshi::gateway
