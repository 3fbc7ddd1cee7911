// Who may connect, as a person lists them. Would catch a key that silently becomes another region's
// while its site runs, one that comes back after it was removed, and keys made in a folder that is
// no fleet's.

#include "fleet/folder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include "fleet/fleet_command.h"

namespace noroshi::fleet {
namespace {

struct Folder {
  std::string path = testing::TempDir() + "noroshi-keys-XXXXXX";
  Folder() {
    if (mkdtemp(path.data()) == nullptr) std::abort();
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

std::string text_in(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Keys, AKeyOfAnotherRegionIsRefusedAndTheListStaysAsItWas) {
  const Folder folder;
  ASSERT_TRUE(add_user(folder.path, "site", "site1", "east"));
  const std::string before = text_in(folder.path + "/users.json");
  const auto moved = add_user(folder.path, "site", "site1", "north");
  ASSERT_FALSE(moved);
  EXPECT_NE(moved.error().message.find("site 'site1' has a key for region 'east', not 'north'"),
            std::string::npos)
      << moved.error().message;
  EXPECT_EQ(text_in(folder.path + "/users.json"), before);
  EXPECT_TRUE(add_user(folder.path, "site", "site1", "east")) << "it is listed already";
  EXPECT_EQ(text_in(folder.path + "/users.json"), before);
  EXPECT_TRUE(add_user(folder.path, "gateway", "site1", "north")) << "another role's";
  ASSERT_TRUE(remove_user(folder.path, "site", "site1"));
  EXPECT_TRUE(add_user(folder.path, "site", "site1", "north")) << "nobody has the name now";
}

// A site of region "fleet" would read the fleet's own bucket, one of "turns" be heard by gateways.
TEST(Keys, ARegionHasNoneOfTheFleetsOwnWords) {
  const Folder folder;
  for (const char* region : {"fleet", "turns", "quotas", "control", "context", "digest"}) {
    for (const char* role : {"site", "gateway"}) {
      const auto added = add_user(folder.path, role, "x", region);
      ASSERT_FALSE(added) << region;
      EXPECT_NE(added.error().message.find(std::string("region '") + region + "' of " + role +
                                           " 'x' is one of the fleet's own words"),
                std::string::npos)
          << added.error().message;
    }
  }
  EXPECT_TRUE(add_user(folder.path, "site", "x", "fleets"));
}

std::string public_key(const Folder& folder) { return read_users(folder.path)->at(0).public_key; }

TEST(Keys, ARemovedKeyNeverComesBack) {
  const Folder folder;
  const std::string path = folder.path + "/keys/site-s.nk";
  std::set<std::string> keys;
  for (int i = 1; i <= 3; ++i) {
    ASSERT_TRUE(add_user(folder.path, "site", "s", "east"));
    keys.insert(public_key(folder));
    const std::string seed = text_in(path);
    ASSERT_TRUE(add_user(folder.path, "site", "s", "east"));
    EXPECT_EQ(text_in(path), seed) << "listed: as it is";
    const auto aside = remove_user(folder.path, "site", "s");
    ASSERT_TRUE(aside) << aside.error().message;
    EXPECT_EQ(*aside, path + ".removed-" + std::to_string(i));
    EXPECT_EQ(text_in(*aside), seed);
    EXPECT_EQ(std::filesystem::status(*aside).permissions(), std::filesystem::perms(0600));
    EXPECT_FALSE(std::filesystem::exists(path));
  }
  EXPECT_EQ(keys.size(), 3u);
  EXPECT_FALSE(remove_user(folder.path, "site", "s")) << "it is gone";
}

TEST(Keys, ASeedThatNobodyListsIsNotTakenForAKey) {
  const Folder folder;
  ASSERT_TRUE(add_user(folder.path, "site", "s", "east"));
  const std::string before = public_key(folder);
  ASSERT_TRUE(write_users(folder.path, {}));  // as an older noroshi removed it
  ASSERT_TRUE(add_user(folder.path, "site", "s", "east"));
  EXPECT_NE(public_key(folder), before);
  EXPECT_TRUE(std::filesystem::exists(folder.path + "/keys/site-s.nk.removed-1"));
  // One whose seed was taken elsewhere is removed all the same.
  std::filesystem::remove(folder.path + "/keys/site-s.nk");
  const auto aside = remove_user(folder.path, "site", "s");
  ASSERT_TRUE(aside) << aside.error().message;
  EXPECT_EQ(*aside, "");
  EXPECT_TRUE(read_users(folder.path)->empty());
}

// The list cannot be written: nothing has changed.
TEST(Keys, AKeyThatStaysListedKeepsItsSeed) {
  const Folder folder;
  ASSERT_TRUE(add_user(folder.path, "site", "s", "east"));
  const std::string path = folder.path + "/keys/site-s.nk";
  const std::string seed = text_in(path);
  const std::string blocked = folder.path + "/users.json.new";
  ASSERT_TRUE(std::filesystem::create_directory(blocked));
  const auto removed = remove_user(folder.path, "site", "s");
  ASSERT_FALSE(removed);
  std::filesystem::remove_all(blocked);
  EXPECT_EQ(text_in(path), seed);
  EXPECT_EQ(read_users(folder.path)->size(), 1u);
}

TEST(Keys, CommandsWantAFleetsFolderAndTellTheAuditLog) {
  const Folder folder;
  const FleetKeys keys{.folder = folder.path, .role = "site", .name = "s", .region = "east"};
  EXPECT_EQ(add_key(keys), 1);
  EXPECT_EQ(list_keys(keys), 1);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path)) << "nothing is made in a mistyped folder";
  ASSERT_TRUE(write_access(folder.path, {.url = "nats://127.0.0.1:1"}));
  EXPECT_EQ(add_key(keys), 1) << "a fleet without keys";
  ASSERT_TRUE(write_access(folder.path, {.url = "tls://127.0.0.1:1", .ca = "ca.pem"}));
  EXPECT_EQ(add_key(keys), 0);
  FleetKeys north = keys;
  north.region = "north";
  EXPECT_EQ(add_key(north), 1);
  testing::internal::CaptureStdout();
  EXPECT_EQ(list_keys(keys), 0);
  const std::string table = testing::internal::GetCapturedStdout();
  EXPECT_NE(table.find(read_users(folder.path)->at(0).public_key), std::string::npos) << table;
  testing::internal::CaptureStdout();
  EXPECT_EQ(remove_key(keys), 0);
  EXPECT_NE(testing::internal::GetCapturedStdout().find("site-s.nk.removed-1"), std::string::npos);
  EXPECT_EQ(remove_key(keys), 1) << "it is gone";
  const std::string audit = text_in(folder.path + "/audit.jsonl");
  EXPECT_EQ(std::ranges::count(audit, '\n'), 4) << audit;
  for (const char* words :
       {"keys add site s of east\",\"by\":\"", "\"outcome\":\"done\"",
        "has a key for region 'east'", "keys remove site s", "its seed is set aside as "}) {
    EXPECT_NE(audit.find(words), std::string::npos) << words << " in " << audit;
  }
}

}  // namespace
}  // namespace noroshi::fleet
