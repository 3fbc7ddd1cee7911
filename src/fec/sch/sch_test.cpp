// Catches: a step of the shared channel's coding in the wrong order or with the wrong size, a
// retransmission that is not combined or that disturbs what is decoded already, silence taken for a
// block of zeros, a transport block passed although its own CRC is wrong, a bad configuration
// taken.

#include "fec/sch/sch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/prng.h"
#include "fec/crc/crc.h"
#include "fec/ldpc/ldpc.h"
#include "fec/rate_match/rate_match.h"
#include "fec/segment/segment.h"

namespace noroshi::fec {
namespace {

std::vector<std::uint8_t> random_bytes(Prng& prng, int bits) {
  std::vector<std::uint8_t> bytes(bytes_for_bits(static_cast<std::size_t>(bits)));
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(prng());
  return bytes;
}

// TS 38.212 6.2, clause by clause, one bit a byte, with the ref:: versions. parity_mask spoils the
// transport block's CRC.
std::vector<std::uint8_t> model_encode(const SchConfig& c, const std::vector<std::uint8_t>& tb,
                                       std::uint32_t parity_mask = 0) {
  std::vector<std::uint8_t> b;  // 6.2.1
  for (int i = 0; i < c.tb_bits; ++i) b.push_back(bit_at(tb.data(), static_cast<std::size_t>(i)));
  const Crc crc = c.tb_bits > 3824 ? Crc::crc24a : Crc::crc16;
  const std::uint32_t parity = ref::crc(crc, tb, b.size()) ^ parity_mask;
  for (int i = crc_bits(crc) - 1; i >= 0; --i) b.push_back((parity >> i) & 1);

  const double rate = c.code_rate_x10240 / 10240.0;  // 6.2.2
  const int graph = c.tb_bits <= 292 || (c.tb_bits <= 3824 && rate <= 0.67) || rate <= 0.25 ? 2 : 1;
  const auto s = make_segmentation(static_cast<int>(b.size()), graph).value();  // 6.2.3

  std::vector<std::uint8_t> g;
  const int units = c.coded_bits / (c.layers * c.bits_per_symbol);
  for (int r = 0; r < s.code_blocks; ++r) {
    std::vector<std::uint8_t> packed(bytes_for_bits(static_cast<std::size_t>(s.block_bits)));
    const int payload = static_cast<int>(b.size()) / s.code_blocks;
    for (int i = 0; i < payload; ++i) {
      set_bit(packed.data(), static_cast<std::size_t>(i),
              b[static_cast<std::size_t>(r * payload + i)] != 0);
    }
    if (s.code_blocks > 1) {
      const std::uint32_t p = ref::crc(Crc::crc24b, packed, static_cast<std::size_t>(payload));
      for (int i = 0; i < 24; ++i) {
        set_bit(packed.data(), static_cast<std::size_t>(payload + i), ((p >> (23 - i)) & 1) != 0);
      }
    }
    const int n = ldpc_codeword_bits(graph, s.lifting_size);  // 6.2.4
    std::vector<std::uint8_t> d(bytes_for_bits(static_cast<std::size_t>(n)));
    ref::ldpc_encode(graph, s.lifting_size, packed, d, n);

    RateMatch m;  // 6.2.5
    m.buffer_bits = c.limited_buffer_bits != 0 ? std::min(n, c.limited_buffer_bits) : n;
    m.start = rate_match_start(graph, s.lifting_size, m.buffer_bits, c.rv);
    m.filler_start = s.info_bits - 2 * s.lifting_size;
    m.filler_bits = s.block_bits - s.info_bits;
    m.bits_per_symbol = c.bits_per_symbol;
    const int more = r <= s.code_blocks - units % s.code_blocks - 1 ? 0 : s.code_blocks - 1;
    m.coded_bits = c.layers * c.bits_per_symbol * ((units + more) / s.code_blocks);
    std::vector<std::uint8_t> f(bytes_for_bits(static_cast<std::size_t>(m.coded_bits)));
    ref::rate_match(m, d, f, 0);
    for (std::size_t i = 0; i < static_cast<std::size_t>(m.coded_bits); ++i) {
      g.push_back(bit_at(f.data(), i));  // 6.2.6
    }
  }
  std::vector<std::uint8_t> packed(bytes_for_bits(g.size()));
  for (std::size_t i = 0; i < g.size(); ++i) set_bit(packed.data(), i, g[i] != 0);
  return packed;
}

std::vector<SoftBit> soften(const std::vector<std::uint8_t>& codeword, int coded_bits,
                            SoftBit amplitude) {
  std::vector<SoftBit> soft(static_cast<std::size_t>(coded_bits));
  for (std::size_t i = 0; i < soft.size(); ++i) {
    soft[i] = static_cast<SoftBit>(bit_at(codeword.data(), i) ? -amplitude : amplitude);
  }
  return soft;
}

// A size as TS 38.214 5.1.3.2 makes them: B divides into equal code blocks of whole bytes.
SchConfig random_config(Prng& prng) {
  SchConfig c;
  constexpr int qms[] = {1, 2, 4, 6, 8, 10};
  c.bits_per_symbol = qms[prng.below(6)];
  c.layers = 1 + static_cast<int>(prng.below(4));
  c.rv = static_cast<int>(prng.below(4));
  c.code_rate_x10240 = 800 + static_cast<int>(prng.below(8700));
  switch (prng.below(3)) {
    case 0:
      c.tb_bits = 8 * (1 + static_cast<int>(prng.below(478)));  // up to 3824
      break;
    case 1:
      c.tb_bits = 8 * (479 + static_cast<int>(prng.below(570)));
      break;
    default:
      c.tb_bits = 8 * 6 * (200 + static_cast<int>(prng.below(600))) - 24;
      break;
  }
  while (!make_segmentation(c.tb_bits + (c.tb_bits > 3824 ? 24 : 16),
                            choose_base_graph(c.tb_bits, c.code_rate_x10240))) {
    c.tb_bits -= 8;
  }
  const int unit = c.bits_per_symbol * c.layers;
  c.coded_bits = (static_cast<int>(c.tb_bits * 10240.0 / c.code_rate_x10240) / unit + 12) * unit;
  if (prng.below(4) == 0) {
    c.limited_buffer_bits = 2000 + static_cast<int>(prng.below(20'000));
  }
  return c;
}

std::string describe(const SchConfig& c) {
  return "tb " + std::to_string(c.tb_bits) + " rate " + std::to_string(c.code_rate_x10240) +
         " Qm " + std::to_string(c.bits_per_symbol) + " layers " + std::to_string(c.layers) +
         " rv " + std::to_string(c.rv) + " G " + std::to_string(c.coded_bits) + " Nref " +
         std::to_string(c.limited_buffer_bits);
}

TEST(Sch, EncodeIsTheModel) {
  constexpr std::uint64_t seed = 41;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  SchWorkspace workspace;
  for (int round = 0; round < 60; ++round) {
    const SchConfig config = random_config(prng);
    SCOPED_TRACE(describe(config));
    ASSERT_TRUE(check(config).ok()) << check(config).error().message;
    const auto tb = random_bytes(prng, config.tb_bits);
    std::vector<std::uint8_t> codeword(bytes_for_bits(static_cast<std::size_t>(config.coded_bits)),
                                       0xff);
    sch_encode(config, tb, codeword, workspace);
    ASSERT_EQ(codeword, model_encode(config, tb));
  }
}

TEST(Sch, FourVersionsTogetherDecode) {
  // Without noise all four versions hold every bit of the codeword unless the buffer is limited.
  constexpr std::uint64_t seed = 42;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  SchWorkspace workspace;
  HarqBuffer buffer(40'000);
  for (int round = 0; round < 25; ++round) {
    SchConfig config = random_config(prng);
    config.limited_buffer_bits = 0;
    SCOPED_TRACE(describe(config));
    const auto tb = random_bytes(prng, config.tb_bits);
    std::vector<std::uint8_t> decoded(tb.size());
    SchDecodeResult result;
    for (const int rv : {0, 2, 3, 1}) {
      config.rv = rv;
      result = sch_decode(config, soften(model_encode(config, tb), config.coded_bits, 10), rv == 0,
                          {}, buffer, decoded, workspace);
      if (rv == 0 && result.crc_ok) {
        EXPECT_EQ(decoded, tb);
        EXPECT_LE(result.iterations, 8 * result.code_blocks);
      }
    }
    EXPECT_TRUE(result.crc_ok);
    EXPECT_EQ(result.code_blocks_ok, result.code_blocks);
    EXPECT_EQ(decoded, tb);
  }
}

// Three code blocks of base graph 1.
SchConfig three_blocks() {
  SchConfig c;
  c.tb_bits = 3 * 8 * 1000 - 24;
  c.code_rate_x10240 = 8000;
  c.bits_per_symbol = 6;
  c.coded_bits = 30'000;
  return c;
}

TEST(Sch, RetransmissionBringsWhatTheFirstLacked) {
  Prng prng(43);
  SchConfig config = three_blocks();
  config.coded_bits = 18'000;  // fewer than the information bits: nobody can decode this alone
  const auto tb = random_bytes(prng, config.tb_bits);
  SchWorkspace workspace;
  HarqBuffer buffer(config.tb_bits);
  std::vector<std::uint8_t> decoded(tb.size());
  const auto first = soften(model_encode(config, tb), config.coded_bits, 20);
  EXPECT_FALSE(sch_decode(config, first, true, {}, buffer, decoded, workspace).crc_ok);
  config.rv = 2;
  const auto second = soften(model_encode(config, tb), config.coded_bits, 20);
  EXPECT_TRUE(sch_decode(config, second, false, {}, buffer, decoded, workspace).crc_ok);
  EXPECT_EQ(decoded, tb);
  // The second alone, as new data, does not decode: it was the sum. (It has no systematic bit, so
  // the decoder's guess is zeros, whose CRC is right.)
  EXPECT_FALSE(sch_decode(config, second, true, {}, buffer, decoded, workspace).crc_ok);
}

TEST(Sch, DecodedBlocksAreLeftAlone) {
  Prng prng(44);
  const SchConfig config = three_blocks();
  const auto tb = random_bytes(prng, config.tb_bits);
  SchWorkspace workspace;
  HarqBuffer buffer(config.tb_bits);
  std::vector<std::uint8_t> decoded(tb.size());
  const auto clean = soften(model_encode(config, tb), config.coded_bits, 20);
  auto broken = clean;
  std::fill(broken.begin() + 10'000, broken.begin() + 20'000, SoftBit{0});  // the second of three
  auto result = sch_decode(config, broken, true, {}, buffer, decoded, workspace);
  EXPECT_FALSE(result.crc_ok);
  EXPECT_EQ(result.code_blocks, 3);
  EXPECT_EQ(result.code_blocks_ok, 2);

  auto garbage = clean;  // good only where it is still needed
  for (std::size_t i = 0; i < garbage.size(); ++i) {
    if (i < 10'000 || i >= 20'000) garbage[i] = static_cast<SoftBit>(-garbage[i]);
  }
  result = sch_decode(config, garbage, false, {}, buffer, decoded, workspace);
  EXPECT_TRUE(result.crc_ok);
  EXPECT_LE(result.iterations, 8);
  EXPECT_EQ(decoded, tb);

  // Once more, for example because the acknowledgement was lost: nothing is decoded again.
  std::fill(decoded.begin(), decoded.end(), std::uint8_t{0});
  result = sch_decode(config, garbage, false, {}, buffer, decoded, workspace);
  EXPECT_TRUE(result.crc_ok);
  EXPECT_EQ(result.iterations, 0);
  EXPECT_EQ(decoded, tb);
}

TEST(Sch, SilenceIsNoBlockOfZeros) {
  for (const int tb_bits : {64, three_blocks().tb_bits}) {
    SchConfig config = three_blocks();
    config.tb_bits = tb_bits;
    SchWorkspace workspace;
    HarqBuffer buffer(config.tb_bits);
    std::vector<std::uint8_t> decoded(static_cast<std::size_t>(tb_bits) / 8, 1);
    const std::vector<SoftBit> silence(static_cast<std::size_t>(config.coded_bits));
    const auto result = sch_decode(config, silence, true, {}, buffer, decoded, workspace);
    EXPECT_FALSE(result.crc_ok);
    EXPECT_EQ(result.code_blocks_ok, 0);
    // But a block of zeros that was sent is one.
    const auto sent = soften(std::vector<std::uint8_t>(10'000), config.coded_bits, 3);
    EXPECT_TRUE(sch_decode(config, sent, true, {}, buffer, decoded, workspace).crc_ok);
    EXPECT_EQ(std::ranges::count(decoded, 0), tb_bits / 8);
  }
}

TEST(Sch, TransportBlockCrcHasTheLastWord) {
  Prng prng(45);
  const SchConfig config = three_blocks();
  const auto tb = random_bytes(prng, config.tb_bits);
  SchWorkspace workspace;
  HarqBuffer buffer(config.tb_bits);
  std::vector<std::uint8_t> decoded(tb.size());
  const auto spoilt = soften(model_encode(config, tb, 1), config.coded_bits, 10);
  auto result = sch_decode(config, spoilt, true, {}, buffer, decoded, workspace);
  EXPECT_EQ(result.code_blocks_ok, 3);
  EXPECT_FALSE(result.crc_ok);
  const auto right = soften(model_encode(config, tb), config.coded_bits, 30);
  result = sch_decode(config, right, false, {}, buffer, decoded, workspace);
  EXPECT_TRUE(result.crc_ok);
  EXPECT_EQ(decoded, tb);
}

TEST(Sch, Minus128IsASoftBit) {
  Prng prng(46);
  const SchConfig config = three_blocks();
  const auto tb = random_bytes(prng, config.tb_bits);
  SchWorkspace workspace;
  HarqBuffer buffer(config.tb_bits);
  std::vector<std::uint8_t> decoded(tb.size());
  auto soft = soften(model_encode(config, tb), config.coded_bits, 127);
  std::ranges::replace(soft, SoftBit{-127}, SoftBit{-128});
  for (const bool new_data : {true, false}) {
    EXPECT_TRUE(sch_decode(config, soft, new_data, {}, buffer, decoded, workspace).crc_ok);
    EXPECT_EQ(decoded, tb);
  }
}

TEST(Sch, NoEarlyStopDecodesToo) {
  Prng prng(47);
  const SchConfig config = three_blocks();
  const auto tb = random_bytes(prng, config.tb_bits);
  SchWorkspace workspace;
  HarqBuffer buffer(config.tb_bits);
  std::vector<std::uint8_t> decoded(tb.size());
  const auto soft = soften(model_encode(config, tb), config.coded_bits, 20);
  const auto result = sch_decode(config, soft, true, {4, false}, buffer, decoded, workspace);
  EXPECT_TRUE(result.crc_ok);
  EXPECT_EQ(result.iterations, 12);
  EXPECT_EQ(decoded, tb);
}

TEST(Sch, OneBufferServesManyBlocks) {
  // Each block is sent until it decodes, with nothing changed but rv, half of each codeword erased,
  // and the buffer is then used for the next, of another size, modulation and buffer limit.
  constexpr std::uint64_t seed = 48;
  RecordProperty("seed", std::to_string(seed));
  Prng prng(seed);
  SchWorkspace workspace;
  HarqBuffer buffer(40'000);
  int sent = 0;
  int limited = 0;
  for (int round = 0; round < 40; ++round) {
    SchConfig config = random_config(prng);
    const auto segmentation =
        make_segmentation(config.tb_bits + crc_bits(tb_crc(config.tb_bits)),
                          choose_base_graph(config.tb_bits, config.code_rate_x10240));
    // A limit that leaves enough of the codeword to decode from.
    const int least = segmentation->info_bits * 3 / 2;
    if (config.limited_buffer_bits != 0) {
      config.limited_buffer_bits = std::max(config.limited_buffer_bits, least);
    }
    limited +=
        config.limited_buffer_bits != 0 && config.limited_buffer_bits < segmentation->coded_bits();
    if (round % 3 == 0) config.bits_per_symbol = round % 2 == 0 ? 1 : 10;
    const int unit = config.bits_per_symbol * config.layers;
    config.coded_bits = (config.coded_bits + unit - 1) / unit * unit;
    SCOPED_TRACE(describe(config));
    const auto tb = random_bytes(prng, config.tb_bits);
    std::vector<std::uint8_t> decoded(tb.size());
    SchDecodeResult result;
    for (int turn = 0; turn < 12 && !result.crc_ok; ++turn, ++sent) {
      constexpr int rvs[] = {0, 2, 3, 1};
      config.rv = rvs[turn % 4];
      auto soft = soften(model_encode(config, tb), config.coded_bits, 10);
      for (auto& s : soft) s = (prng() & 1) != 0 ? s : SoftBit{0};
      ASSERT_TRUE(check_harq(config, buffer, turn == 0).ok());
      result = sch_decode(config, soft, turn == 0, {}, buffer, decoded, workspace);
    }
    ASSERT_TRUE(result.crc_ok);
    ASSERT_EQ(decoded, tb);
  }
  EXPECT_GT(sent, 60);
  EXPECT_GT(limited, 2);
}

TEST(Sch, ForeignHarqBuffersAreRefused) {
  const SchConfig config = three_blocks();
  SchWorkspace workspace;
  HarqBuffer small(config.tb_bits - 8);
  HarqBuffer buffer(config.tb_bits + 80);
  const auto message = [](const Result<void>& result) {
    return result.ok() ? std::string("accepted") : result.error().message;
  };
  const auto has = [&](const Result<void>& result, const char* part) {
    EXPECT_NE(message(result).find(part), std::string::npos) << message(result);
  };
  has(check_harq(config, small, true), "tb_bits is 23976");
  has(check_harq(config, buffer, false), "new_data is 0");
  std::vector<std::uint8_t> decoded(static_cast<std::size_t>(config.tb_bits) / 8);
  const std::vector<SoftBit> silence(static_cast<std::size_t>(config.coded_bits));
  sch_decode(config, silence, true, {}, buffer, decoded, workspace);
  EXPECT_EQ(message(check_harq(config, buffer, false)), "accepted");
  SchConfig other = config;
  other.rv = 2;
  other.coded_bits = 24'000;
  other.limited_buffer_bits = 20'000;
  EXPECT_EQ(message(check_harq(other, buffer, false)), "accepted");
  other = config;
  other.tb_bits -= 48;
  has(check_harq(other, buffer, false), "tb_bits is 23928");
  EXPECT_EQ(message(check_harq(other, buffer, true)), "accepted");
  other = config;
  other.code_rate_x10240 = 2000;
  has(check_harq(other, buffer, false), "code_rate_x10240 is 2000");
}

TEST(Segment, RefusesWhatIsNoBlock) {
  const auto has = [](int bits, int base_graph, const char* part) {
    const auto s = make_segmentation(bits, base_graph);
    ASSERT_FALSE(s.ok());
    EXPECT_NE(s.error().message.find(part), std::string::npos) << s.error().message;
  };
  has(0, 1, "0 bits");
  has(-24, 2, "-24 bits");
  has(1000, 3, "base_graph is 3");
  has(8449, 1, "8449 bits");
  EXPECT_TRUE(make_segmentation(8448, 1).ok());
}

TEST(Segment, BaseGraphsOfTheClause) {
  // TS 38.212 6.2.2 at its borders.
  EXPECT_EQ(choose_base_graph(292, 9000), 2);
  EXPECT_EQ(choose_base_graph(296, 9000), 1);
  EXPECT_EQ(choose_base_graph(3824, 6860), 2);
  EXPECT_EQ(choose_base_graph(3824, 6861), 1);
  EXPECT_EQ(choose_base_graph(3832, 6860), 1);
  EXPECT_EQ(choose_base_graph(100'000, 2560), 2);
  EXPECT_EQ(choose_base_graph(100'000, 2561), 1);
}

TEST(Segment, LiftingSizeIsTheSmallestThatFits) {
  for (const int graph : {1, 2}) {
    for (int bits = 24; bits <= (graph == 1 ? 8448 : 3840); bits += 7) {
      const auto s = make_segmentation(bits, graph).value();
      const int columns = graph == 1 ? 22 : bits > 640 ? 10 : bits > 560 ? 9 : bits > 192 ? 8 : 6;
      int expected = 0;
      for (const int zc : ldpc_lifting_sizes()) {
        if (columns * zc < bits) continue;
        expected = zc;
        break;
      }
      ASSERT_EQ(s.lifting_size, expected) << "bits " << bits << " graph " << graph;
      ASSERT_EQ(s.block_bits, (graph == 1 ? 22 : 10) * expected);
    }
  }
}

TEST(Sch, BadConfigurationsAreNamed) {
  const auto message = [](auto change) {
    SchConfig config = three_blocks();
    change(config);
    const auto result = check(config);
    return result.ok() ? std::string("accepted") : result.error().message;
  };
  EXPECT_EQ(message([](SchConfig&) {}), "accepted");
  const auto expect_names = [&](const char* field, const char* value, auto change) {
    const std::string text = message(change);
    EXPECT_NE(text.find(std::string(field) + " is " + value), std::string::npos) << text;
  };
  expect_names("tb_bits", "0", [](SchConfig& c) { c.tb_bits = 0; });
  expect_names("tb_bits", "-8", [](SchConfig& c) { c.tb_bits = -8; });
  expect_names("tb_bits", "23977", [](SchConfig& c) { c.tb_bits += 1; });
  expect_names("tb_bits", "1278000", [](SchConfig& c) { c.tb_bits = 1'278'000; });
  expect_names("tb_bits", "23984", [](SchConfig& c) { c.tb_bits += 8; });
  expect_names("code_rate_x10240", "0", [](SchConfig& c) { c.code_rate_x10240 = 0; });
  expect_names("code_rate_x10240", "10241", [](SchConfig& c) { c.code_rate_x10240 = 10'241; });
  expect_names("bits_per_symbol", "3", [](SchConfig& c) { c.bits_per_symbol = 3; });
  expect_names("layers", "0", [](SchConfig& c) { c.layers = 0; });
  expect_names("layers", "5", [](SchConfig& c) { c.layers = 5; });
  expect_names("rv", "4", [](SchConfig& c) { c.rv = 4; });
  expect_names("limited_buffer_bits", "-1", [](SchConfig& c) { c.limited_buffer_bits = -1; });
  expect_names("coded_bits", "30001", [](SchConfig& c) { c.coded_bits += 1; });
  expect_names("coded_bits", "0", [](SchConfig& c) { c.coded_bits = 0; });
  expect_names("coded_bits", "-6", [](SchConfig& c) { c.coded_bits = -6; });
  expect_names("coded_bits", "12", [](SchConfig& c) { c.coded_bits = 12; });
  expect_names("coded_bits", "600000000", [](SchConfig& c) { c.coded_bits = 600'000'000; });
}

}  // namespace
}  // namespace noroshi::fec
