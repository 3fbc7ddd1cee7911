// Catches: a turn that is changed on its way between gateways, a malformed or hostile message that
// is taken, or refused without naming what is wrong, one that does not fit.

#include "fleet/turns.h"

#include <gtest/gtest.h>

#include "base/prng.h"

namespace noroshi::fleet {
namespace {

constexpr std::int64_t ms = 1'000'000;

TurnsMessage any_message(Prng& prng, std::size_t places, std::size_t turns) {
  TurnsMessage message{.kind = static_cast<TurnsKind>(prng.below(3)),
                       .origin = prng(),
                       .asker = prng(),
                       .known = prng() >> prng.below(64)};
  for (std::size_t i = 0; i < places; ++i) {
    message.told.places.push_back({"site-" + std::to_string(prng.below(1'000'000)), prng()});
  }
  for (std::size_t i = 0; i < turns; ++i) {
    message.told.turns.push_back({prng() | 1, static_cast<std::uint32_t>(prng.below(places)),
                                  static_cast<int>(prng.below(1'000'000)),
                                  -static_cast<std::int64_t>(prng.below(10'000'000)) * ms});
  }
  return message;
}

TEST(Turns, ComeBackAsTheyWere) {
  Prng prng(71);
  for (int round = 0; round < 50; ++round) {
    const TurnsMessage sent = any_message(prng, 1 + prng.below(20), prng.below(100));
    const auto read = parse_turns("noroshi.turns.g", turns_bytes(sent));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->kind, sent.kind);
    EXPECT_EQ(read->origin, sent.origin);
    EXPECT_EQ(read->asker, sent.asker);
    EXPECT_EQ(read->known, sent.known);
    ASSERT_EQ(read->told.places.size(), sent.told.places.size());
    for (std::size_t i = 0; i < sent.told.places.size(); ++i) {
      EXPECT_EQ(read->told.places[i].site, sent.told.places[i].site);
      EXPECT_EQ(read->told.places[i].model, sent.told.places[i].model);
    }
    ASSERT_EQ(read->told.turns.size(), sent.told.turns.size());
    for (std::size_t i = 0; i < sent.told.turns.size(); ++i) {
      EXPECT_EQ(read->told.turns[i].session, sent.told.turns[i].session);
      EXPECT_EQ(read->told.turns[i].place, sent.told.turns[i].place);
      EXPECT_EQ(read->told.turns[i].tokens, sent.told.turns[i].tokens);
      EXPECT_EQ(read->told.turns[i].at_ns, sent.told.turns[i].at_ns);
    }
  }
}

TEST(Turns, OfASecondTakeThirteenBytesEachAndTheMostFit) {
  Prng prng(72);
  TurnsMessage message;
  for (int i = 0; i < 100; ++i) message.told.places.push_back({"site" + std::to_string(i), prng()});
  for (std::size_t i = 0; i < told_turns_max; ++i) {
    message.told.turns.push_back({prng() | 1, static_cast<std::uint32_t>(prng.below(100)),
                                  static_cast<int>(prng.below(16'000)),
                                  -static_cast<std::int64_t>(prng.below(200)) * ms});
  }
  const double each = static_cast<double>(turns_bytes(message).size()) / told_turns_max;
  std::printf("%.2f bytes a turn\n", each);
  EXPECT_LT(each, 13.5);
  // As long as they can be.
  message.told.places.clear();
  for (std::size_t i = 0; i < told_turns_max; ++i) {
    message.told.places.push_back({std::string(64, 's'), prng()});
    message.told.turns[i] = {~std::uint64_t{0}, told_turns_max - 1, 2'000'000'000,
                             std::numeric_limits<std::int64_t>::min() + 1};
  }
  const std::string bytes = turns_bytes(message);
  EXPECT_LE(bytes.size(), turns_bytes_max);
  const auto read = parse_turns("noroshi.turns.g", bytes);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->told.turns.size(), told_turns_max);
}

TEST(Turns, EachCutAndEachChangedByteIsReadOrRefused) {
  Prng prng(73);
  const std::string whole = turns_bytes(any_message(prng, 5, 20));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_turns("noroshi.turns.g", whole.substr(0, size))) << size;
  }
  EXPECT_FALSE(parse_turns("noroshi.turns.g", whole + "x"));
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = whole;
    bytes[prng.below(bytes.size())] = static_cast<char>(prng());
    const auto read = parse_turns("noroshi.turns.g", bytes);
    if (!read) continue;
    for (const auto& turn : read->told.turns) EXPECT_LT(turn.place, read->told.places.size());
  }
}

TEST(Turns, RefusesWithFieldAndValue) {
  const auto refused = [](const std::string& bytes, const std::string& words) {
    const auto read = parse_turns("noroshi.turns.g\n", bytes);
    ASSERT_FALSE(read) << words;
    EXPECT_NE(read.error().message.find(words), std::string::npos) << read.error().message;
    EXPECT_NE(read.error().message.find("noroshi.turns.g?"), std::string::npos);
  };
  refused("", "none of version 1");
  refused("NRT\x02", "none of version 1");
  refused(std::string(1 << 20, 'x'), "has 1048576 bytes (allowed: 786432)");
  const std::string head = std::string("NRT\x01\x00", 5) + std::string(16, '\1') + '\0';
  refused(std::string("NRT\x01\x03", 5) + head.substr(5) + std::string(2, '\0'), "kind is 3");
  refused(head + "\xff\xff\x03", "places is 65535 (allowed: 0 to 8192)");
  refused(head + std::string("\1\3a.b12345678", 13) + '\0',
          "site's name is 'a.b', which is no word");
  const std::string placed = head + std::string("\1\1a12345678", 11);
  refused(placed + "\xff\xff\x03", "turns is 65535 (allowed: 0 to 8192)");
  refused(placed + "\1" + std::string(8, '\0') + std::string(3, '\0'), "session is 0");
  refused(placed +
              "\1"
              "12345678\1" +
              std::string(2, '\0'),
          "turn's place is 1, of 1");
  refused(placed + std::string("\1"
                               "12345678\0\xff\xff\xff\xff\x7f\0",
                               15),
          "tokens is 34359738367");
  refused(placed + std::string("\1"
                               "12345678\0\0",
                               11),
          "age_ms is cut off");
  EXPECT_TRUE(parse_turns("noroshi.turns.g", placed + std::string(1, '\0')));
}

}  // namespace
}  // namespace noroshi::fleet
