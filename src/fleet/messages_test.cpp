// Everything that travels: would catch a field that is lost or changed on the way, a malformed or
// hostile message that is taken, or refused without naming what is wrong.

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>

#include "base/prng.h"
#include "fleet/command.h"
#include "fleet/desired.h"
#include "fleet/digest.h"
#include "fleet/json_fields.h"
#include "fleet/leadership.h"
#include "fleet/report.h"

namespace noroshi::fleet {
namespace {

std::string any_hash(Prng& prng) {
  std::string out;
  for (int i = 0; i < 64; ++i) out += "0123456789abcdef"[prng.below(16)];
  return out;
}

gateway::SiteState any_site(Prng& prng, const std::string& region) {
  gateway::SiteState site;
  site.name = "site" + std::to_string(prng.below(1'000'000));
  site.region = region;
  site.instance = prng();
  site.host = "10.0.0." + std::to_string(prng.below(256));
  site.tcp_port = static_cast<int>(1 + prng.below(65'535));
  if (prng.below(2) == 1) {
    for (std::uint8_t& byte : site.pin.bytes) byte = static_cast<std::uint8_t>(prng.below(256));
  }
  site.ready = prng.below(2) == 1;
  site.draining = prng.below(2) == 1;
  site.lease_share = static_cast<double>(prng.below(256)) / 255;
  site.lease_share_forecast = static_cast<double>(prng.below(256)) / 255;
  const std::uint64_t models = prng.below(5);
  for (std::uint64_t i = 0; i < models; ++i) {
    site.models.push_back({.name = "model-" + std::to_string(i) + ".q4:latest",
                           .content_hash = any_hash(prng),
                           .places = static_cast<int>(prng.below(64)),
                           .requests_in_flight = static_cast<int>(prng.below(1000)),
                           .requests_queued = static_cast<int>(prng.below(100'000)),
                           .prompt_tokens_per_s = static_cast<float>(1000 * prng.uniform()),
                           .tokens_per_s = static_cast<float>(100 * prng.uniform()),
                           .service_s_mean = static_cast<float>(prng.exponential()),
                           .cache_tokens = static_cast<int>(prng.below(1 << 20))});
  }
  return site;
}

// Boost.JSON 1.81 reads decimal fractions to the last bit but one.
void expect_same(const gateway::SiteState& a, const gateway::SiteState& b) {
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.region, b.region);
  EXPECT_EQ(a.instance, b.instance);
  EXPECT_EQ(a.host, b.host);
  EXPECT_EQ(a.tcp_port, b.tcp_port);
  EXPECT_EQ(a.pin, b.pin);
  EXPECT_EQ(a.ready, b.ready);
  EXPECT_EQ(a.draining, b.draining);
  EXPECT_NEAR(a.lease_share, b.lease_share, 1e-9);
  EXPECT_NEAR(a.lease_share_forecast, b.lease_share_forecast, 1e-9);
  ASSERT_EQ(a.models.size(), b.models.size());
  for (std::size_t i = 0; i < a.models.size(); ++i) {
    EXPECT_EQ(a.models[i].name, b.models[i].name);
    EXPECT_EQ(a.models[i].content_hash, b.models[i].content_hash);
    EXPECT_EQ(a.models[i].places, b.models[i].places);
    EXPECT_EQ(a.models[i].requests_in_flight, b.models[i].requests_in_flight);
    EXPECT_EQ(a.models[i].requests_queued, b.models[i].requests_queued);
    EXPECT_NEAR(a.models[i].prompt_tokens_per_s, b.models[i].prompt_tokens_per_s,
                1e-6 * b.models[i].prompt_tokens_per_s);
    EXPECT_NEAR(a.models[i].tokens_per_s, b.models[i].tokens_per_s,
                1e-6 * b.models[i].tokens_per_s);
    EXPECT_NEAR(a.models[i].service_s_mean, b.models[i].service_s_mean,
                1e-6 * b.models[i].service_s_mean);
    EXPECT_EQ(a.models[i].cache_tokens, b.models[i].cache_tokens);
  }
}

TEST(Report, ComesBackAsItWas) {
  Prng prng(11);
  std::printf("seed 11\n");
  for (int round = 0; round < 200; ++round) {
    SiteReport sent;
    sent.site = any_site(prng, "tokyo");
    sent.sequence = prng();
    sent.uptime_s = 1e6 * prng.uniform();
    sent.desired_revision = prng();
    sent.fault = "no file \"x\"\n";
    const auto read = parse_report(beat_subject("tokyo", sent.site.name), report_text(sent));
    ASSERT_TRUE(read) << read.error().message;
    expect_same(sent.site, read->site);
    EXPECT_EQ(sent.sequence, read->sequence);
    EXPECT_NEAR(sent.uptime_s, read->uptime_s, 1e-6);
    EXPECT_EQ(sent.desired_revision, read->desired_revision);
    EXPECT_EQ(sent.fault, read->fault);
  }
}

// A good report with one field changed, and what the refusal must say.
TEST(Report, RefusesWithFieldAndValue) {
  Prng prng(12);
  SiteReport sent;
  sent.site = any_site(prng, "tokyo");
  sent.site.models = {{.name = "m"}, {.name = "n"}};
  const std::string subject = beat_subject("tokyo", sent.site.name);
  const auto with = [&](const char* key, boost::json::value value) {
    boost::json::object object = boost::json::parse(report_text(sent)).as_object();
    object[key] = std::move(value);
    return boost::json::serialize(object);
  };
  const boost::json::array twice = {{{"name", "m"}}, {{"name", "m"}}};
  const std::pair<std::string, std::string> cases[] = {
      {with("v", 2), "v is 2"},
      {with("v", "1"), "v is '1'"},
      {with("name", "a b"), "name is 'a b'"},
      {with("name", "somebody-else"), "which is not the subject's"},
      {with("region", "osaka"), "which is not the subject's"},
      {with("tcp_port", 0), "tcp_port is 0"},
      {with("tcp_port", 1.5), "tcp_port is no whole number"},
      {with("tcp_port", 1e300), "tcp_port is 1E300"},
      {with("lease_share", 1.01), "lease_share is 1.01"},
      {with("lease_share", nullptr), "lease_share is null"},
      {with("instance", -1), "instance is -1"},
      {with("host", "evil host"), "host is 'evil host'"},
      {with("host", "a\r\nSet-Cookie: x"), "host is 'a??Set-Cookie: x'"},
      {with("pin", "0123"), "pin is '0123'"},
      {with("pin", "00000000000000000000000000000000"), "pin is '0000"},
      {with("pin", "0123456789abcdef0123456789abcdef0"), "pin"},
      {with("ready", 1), "ready is 1"},
      {with("fault", boost::json::value(boost::json::string(std::string(257, 'x')))),
       "fault has 257 bytes"},
      {with("models", twice), "models names 'm' twice"},
      {with("models", boost::json::array(65, boost::json::value(boost::json::object()))),
       "at most 64 objects"},
      {with("models", boost::json::array{1}), "models holds 1"},
      {with("models", boost::json::array{{{"name", "m"}, {"places", -1}}}),
       "models[0].places is -1"},
      {with("models", boost::json::array{{{"places", 1}}}), "models[0].name is missing"},
      {with("models", boost::json::array{{{"name", "m"}, {"tokens_per_s", "fast"}}}),
       "models[0].tokens_per_s is 'fast'"},
      {with("models", boost::json::array{{{"name", "m"}, {"tokens_per_s", -1}}}),
       "models[0].tokens_per_s is -1"},
      {with("models", boost::json::array{{{"name", "m"}, {"prompt_tokens_per_s", 1e300}}}),
       "models[0].prompt_tokens_per_s is 1E300"},
      {with("models", boost::json::array{{{"name", "m"}, {"service_s_mean", -1e-300}}}),
       "models[0].service_s_mean is -1E-300"},
      {with("models", boost::json::array{{{"name", "m"}, {"tokens_per_s", nullptr}}}),
       "models[0].tokens_per_s is null"},
      {"", "is not JSON"},
      {"[]", "is not a JSON object"},
      {std::string(100'000, '['), "has 100000 bytes"},
      {std::string(60'000, '['), "is not JSON"},
      {"{}", "v is missing"}};
  for (const auto& [bytes, words] : cases) {
    const auto read = parse_report(subject, bytes);
    ASSERT_FALSE(read) << words;
    EXPECT_NE(read.error().message.find(words), std::string::npos) << read.error().message;
    EXPECT_NE(read.error().message.find(subject), std::string::npos) << read.error().message;
    EXPECT_LT(read.error().message.size(), 400u);
  }
  EXPECT_TRUE(parse_report(subject, with("what_comes_next_year", 1))) << "unknown fields";
}

TEST(Digest, ComesBackAsItWas) {
  Prng prng(13);
  std::printf("seed 13\n");
  for (const std::size_t count : {0, 1, 7, 1000}) {
    Digest sent{.region = "hokkaido", .origin = prng(), .sequence = prng(), .part = 2, .parts = 3};
    for (std::size_t i = 0; i < count; ++i) {
      sent.sites.push_back({any_site(prng, "hokkaido"), static_cast<int>(prng.below(60'000))});
    }
    const auto read = parse_digest("noroshi.digest.hokkaido", digest_bytes(sent));
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->origin, sent.origin);
    EXPECT_EQ(read->sequence, sent.sequence);
    EXPECT_EQ(read->part, 2);
    EXPECT_EQ(read->parts, 3);
    ASSERT_EQ(read->sites.size(), count);
    for (std::size_t i = 0; i < count; ++i) {
      expect_same(read->sites[i].site, sent.sites[i].site);
      EXPECT_EQ(read->sites[i].age_ms, sent.sites[i].age_ms);
    }
  }
}

TEST(Digest, EachCutAndEachChangedByteIsReadOrRefused) {
  Prng prng(14);
  Digest sent{.region = "kyushu", .origin = 1, .sequence = 300};
  for (int i = 0; i < 3; ++i) sent.sites.push_back({any_site(prng, "kyushu"), 5});
  const std::string whole = digest_bytes(sent);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(parse_digest("noroshi.digest.kyushu", whole.substr(0, size))) << size;
  }
  EXPECT_FALSE(parse_digest("noroshi.digest.kyushu", whole + "x"));
  EXPECT_FALSE(parse_digest("noroshi.digest.tokyo", whole)) << "another region's subject";
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = whole;
    bytes[prng.below(bytes.size())] = static_cast<char>(prng());
    const auto read = parse_digest("noroshi.digest.kyushu", bytes);
    if (!read) continue;
    for (const DigestSite& entry : read->sites) {
      EXPECT_TRUE(std::isfinite(entry.site.lease_share));
      for (const auto& model : entry.site.models) EXPECT_TRUE(model.tokens_per_s >= 0);
    }
  }
}

TEST(Digest, ARegionIsCutIntoPartsThatFit) {
  Prng prng(15);
  std::vector<DigestSite> sites;
  for (int i = 0; i < 2500; ++i) {
    sites.push_back({any_site(prng, "kanto"), 0});
    // Long names and many models: a thousand of them would not fit.
    sites.back().site.models.clear();
    for (int m = 0; m < 30; ++m) {
      sites.back().site.models.push_back(
          {.name = std::string(100, 'm') + std::to_string(m), .content_hash = any_hash(prng)});
    }
  }
  const auto parts = digest_messages("kanto", 1, 1, sites);
  EXPECT_GT(parts.size(), 3u);
  std::size_t total = 0;
  for (const std::string& part : parts) {
    EXPECT_LE(part.size(), digest_bytes_max);
    const auto read = parse_digest("noroshi.digest.kanto", part);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->parts, static_cast<int>(parts.size()));
    total += read->sites.size();
  }
  EXPECT_EQ(total, 2500u);
  EXPECT_EQ(digest_messages("kanto", 1, 1, {}).size(), 1u) << "an empty region says so";
}

TEST(Desired, EveryDocumentComesBackAsItWas) {
  Prng prng(16);
  const ModelSpec spec{.name = "a/b:c",
                       .content_hash = any_hash(prng),
                       .previous_hash = any_hash(prng),
                       .memory_bytes = prng(),
                       .copies_min = 2,
                       .copies_max = 9,
                       .requests_per_copy = 3.5,
                       .regions = {"tokyo"},
                       .prefectures = {"chiba", "kanagawa"},
                       .labels = {"sovereign"}};
  const auto model = parse_model(model_text(spec));
  ASSERT_TRUE(model) << model.error().message;
  EXPECT_EQ(model_text(*model), model_text(spec));
  const ModelFile file{"m", any_hash(prng), prng()};
  const SiteFacts facts{.name = "s",
                        .region = "r",
                        .instance = prng(),
                        .prefecture = "chiba",
                        .labels = {"a"},
                        .memory_bytes = prng(),
                        .processors = 3,
                        .files = {file},
                        .configured = {"m"},
                        .version = "1"};
  const auto read = parse_facts(facts_text(facts));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(facts_text(*read), facts_text(facts));
  const DesiredSite desired{
      .term = prng(), .draining = true, .models = {file}, .refused_by = "kita-kyushu"};
  EXPECT_EQ(desired_text(*parse_desired(desired_text(desired))), desired_text(desired));
  const Rollout rollout{.model = "m",
                        .from_hash = any_hash(prng),
                        .to_hash = any_hash(prng),
                        .site = "s",
                        .done = {"a", "b"},
                        .state = RolloutState::rolled_back,
                        .reason = "why"};
  EXPECT_EQ(rollout_text(*parse_rollout(rollout_text(rollout))), rollout_text(rollout));
  EXPECT_TRUE(*parse_drain(drain_text(true)));
  EXPECT_FALSE(*parse_drain(drain_text(false)));
  const LeaderKey key{.holder = "c1-77", .term = 5, .renewals = 9};
  EXPECT_EQ(leader_text(*parse_leader(leader_text(key))), leader_text(key));
  const ModelWish wishes[] = {
      {.name = "a"},
      {.name = "a/b:c", .copies_min = 7},
      {.name = "b", .copies_max = 0, .regions = std::vector<std::string>{}, .force = true},
      {.name = "c",
       .content_hash = any_hash(prng),
       .memory_bytes = prng(),
       .copies_min = 2,
       .copies_max = 9,
       .requests_per_copy = 3.5,
       .regions = {{"tokyo"}},
       .prefectures = {{"chiba", "kanagawa"}},
       .labels = {{"sovereign"}}}};
  for (const ModelWish& wish : wishes) {
    const Command command{.kind = CommandKind::place, .by = "me", .model = wish};
    const auto again = parse_command(command_text(command));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(command_text(*again), command_text(command));
    EXPECT_EQ(again->model.copies_min, wish.copies_min);
    EXPECT_EQ(again->model.copies_max, wish.copies_max);
    EXPECT_EQ(again->model.regions, wish.regions);
  }
}

TEST(Desired, RefusesWithFieldAndValue) {
  const auto refusal = [](const auto& result) { return result.ok() ? "" : result.error().message; };
  const std::pair<std::string, std::string> cases[] = {
      {refusal(parse_model(R"({"v":1,"name":""})")), "name is empty"},
      {refusal(parse_model(R"({"v":1,"name":"m","content_hash":"XYZ"})")), "content_hash is 'XYZ'"},
      {refusal(parse_model(R"({"v":1,"name":"m","copies_min":3,"copies_max":2})")),
       "copies_max is 2, less than copies_min 3"},
      {refusal(parse_model(R"({"v":1,"name":"m","requests_per_copy":0})")),
       "requests_per_copy is 0"},
      {refusal(parse_facts(R"({"v":1,"name":"../x","region":"r"})")), "facts.name is '../x'"},
      {refusal(parse_desired(R"({"v":1})")), "desired.term is missing"},
      {refusal(parse_desired(R"({"v":1,"term":1,"refused_by":"a b"})")), "desired.refused_by"},
      {refusal(parse_desired(R"({"v":1,"term":1,"models":[{"name":"m","content_hash":"0"}]})")),
       "models[0].content_hash is '0'"},
      {refusal(parse_rollout(R"({"v":1,"model":"m","state":"odd"})")), "state is 'odd'"},
      {refusal(parse_drain(R"({"v":1,"draining":"yes"})")), "draining is 'yes'"},
      {refusal(parse_command(R"({"v":1,"command":"explode","site":"a"})")),
       "command is 'explode' (allowed: drain,"},
      {refusal(parse_command(R"({"v":1,"command":"drain","site":"*"})")), "site is '*'"},
      {refusal(parse_command(R"({"v":1,"command":"place"})")), "model is missing"}};
  for (const auto& [message, words] : cases) {
    EXPECT_NE(message.find(words), std::string::npos) << "'" << message << "' for " << words;
  }
}

TEST(Subjects, MatchAsNatsDoes) {
  EXPECT_TRUE(subject_matches("a.*.c", "a.b.c"));
  EXPECT_FALSE(subject_matches("a.*.c", "a.b.d"));
  EXPECT_FALSE(subject_matches("a.*", "a.b.c"));
  EXPECT_TRUE(subject_matches("a.>", "a.b.c"));
  EXPECT_FALSE(subject_matches("a.>", "a"));
  EXPECT_TRUE(subject_matches(">", "a"));
  EXPECT_FALSE(subject_matches("a.b", "a.b.c"));
  EXPECT_TRUE(is_word("site-1_x"));
  for (const char* bad : {"", "a.b", "a b", "*", ">", "a/b", "\xff"}) EXPECT_FALSE(is_word(bad));
  EXPECT_FALSE(is_word(std::string(65, 'a')));
  EXPECT_EQ(key_word("llama-3.1:8b"), "llama-3=2E1=3A8b");
}

}  // namespace
}  // namespace noroshi::fleet
