// Catches: an instruction set that decodes differently, a plan taken from another one, a decoder
// that depends on the soft bits' scale, has an error floor from saturation, or misreads 0, full
// scale or -128; a configuration that is not refused.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/every_target.h"
#include "base/prng.h"
#include "fec/ldpc/ldpc.h"
#include "fec/ldpc/ldpc_graph.h"
#include "fec/ldpc/ldpc_test_link.h"

namespace noroshi::fec {
namespace {

// The same noise at amplitudes 2 to 200, so from soft bits of a few steps to nearly all saturated:
// 40 dB. In between, quantisation costs nothing that would show in a few frames.
TEST(LdpcDecode, WorksAtEveryScaleOfTheSoftBits) {
  constexpr std::uint64_t seed = 15;
  constexpr int frames = 20;
  LdpcWorkspace workspace;
  for (const Link& link : links) {
    for (double amplitude : {2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 200.0}) {
      const bool coarse = amplitude < 4 || amplitude > 100;
      Prng prng(seed);
      int errors = 0;
      for (int frame = 0; frame < frames; ++frame) {
        LdpcDecodeConfig config;
        config.base_graph = link.base_graph;
        config.zc = link.zc;
        const int information = ldpc_information_bits(link.base_graph, link.zc);
        const Bits bits = random_bits(information, 0, prng);
        const Bits codeword = encode(link.base_graph, link.zc, bits, link.count);
        // 1.4 dB above where the links stand; hard decisions want 2 dB more.
        const double sigma = link.sigma * (coarse ? 0.68 : 0.85);
        const auto llr = soft_bits(codeword, link.count, amplitude, sigma, prng);
        errors += decode(config, llr, workspace).bits != bits;
      }
      EXPECT_LE(errors, 1) << "seed " << seed << " base graph " << link.base_graph << " zc "
                           << link.zc << " bits " << link.count << " amplitude " << amplitude;
    }
  }
}

void expect_the_same(const LdpcDecodeConfig& config, const std::vector<SoftBit>& llr,
                     LdpcWorkspace& workspace) {
  const Decoded best = decode(config, llr, workspace);
  SCOPED_TRACE(testing::Message() << "base graph " << config.base_graph << " zc " << config.zc
                                  << " soft bits " << llr.size());
  on_each_target([&] {
    const Decoded other = decode(config, llr, workspace);
    EXPECT_EQ(other.bits, best.bits);
    EXPECT_EQ(other.result.iterations, best.result.iterations);
    EXPECT_EQ(other.result.parity_ok, best.result.parity_ok);
    // The workspace's plan is another set's now, which the best one may not take for its own.
    use_target(0);
    EXPECT_EQ(decode(config, llr, workspace).bits, best.bits);
  });
}

struct Asked {
  int times = 0;
};
bool yes(const std::uint8_t* /*bits*/, void* context) {
  ++static_cast<Asked*>(context)->times;
  return true;
}

// All instruction sets give the same bits, iterations and verdict, also where decoding fails.
TEST(LdpcDecode, IsTheSameWithEveryInstructionSet) {
  Prng prng(17);
  LdpcWorkspace workspace;
  for (const Link& link : links) {
    LdpcDecodeConfig config;
    config.base_graph = link.base_graph;
    config.zc = link.zc;
    const Bits bits = random_bits(ldpc_information_bits(link.base_graph, link.zc), 0, prng);
    const Bits codeword = encode(link.base_graph, link.zc, bits, link.count);
    for (double more_noise : {0.7, 1.0, 1.3}) {
      const auto llr = soft_bits(codeword, link.count, 20, link.sigma * more_noise, prng);
      expect_the_same(config, llr, workspace);
      // Asked as soon as the core's parities hold, so never later.
      Asked asked;
      LdpcDecodeConfig with_judge = config;
      with_judge.accept = yes;
      with_judge.accept_context = &asked;
      expect_the_same(with_judge, llr, workspace);
      EXPECT_LE(decode(with_judge, llr, workspace).result.iterations,
                decode(config, llr, workspace).result.iterations);
    }
  }
}

// The same for every size and any length, filler and factor, on soft bits that are no codeword's,
// -128 among them.
TEST(LdpcDecode, IsTheSameWithEveryInstructionSetOnAnything) {
  constexpr std::uint64_t seed = 21;
  Prng prng(seed);
  LdpcWorkspace workspace;
  for (int base_graph : {1, 2}) {
    for (int zc : ldpc_lifting_sizes()) {
      LdpcDecodeConfig config;
      config.base_graph = base_graph;
      config.zc = zc;
      config.iterations_max = 3;
      const auto information = static_cast<std::uint64_t>(ldpc_information_bits(base_graph, zc));
      config.filler_bits = static_cast<int>(prng.below(information));
      const int factor = static_cast<int>(prng.below(10));
      config.min_sum_scale_x16 = factor == 9 ? 0 : 8 + factor;
      config.bits_per_symbol = 2 * (1 + static_cast<int>(prng.below(5)));
      const auto full = static_cast<std::uint64_t>(ldpc_codeword_bits(base_graph, zc));
      std::vector<SoftBit> llr(1 + prng.below(full));
      for (auto& soft_bit : llr) soft_bit = static_cast<SoftBit>(prng());
      expect_the_same(config, llr, workspace);
    }
  }
}

// Every code rate's own rule, for every order of modulation, is the same on every instruction set:
// the test above meets each of them by chance only.
TEST(LdpcDecode, IsTheSameWithEveryRuleOfMinSum) {
  constexpr std::uint64_t seed = 24;
  Prng prng(seed);
  LdpcWorkspace workspace;
  for (int base_graph : {1, 2}) {
    for (int bits_per_symbol : {1, 2, 4, 6, 8, 10}) {
      LdpcDecodeConfig config;
      config.base_graph = base_graph;
      config.zc = 22;
      config.iterations_max = 3;
      config.bits_per_symbol = bits_per_symbol;
      const int columns = ldpc_codeword_columns(base_graph);
      for (int sent = ldpc_information_columns(base_graph) + 2; sent <= columns; sent += 3) {
        std::vector<SoftBit> llr(static_cast<std::size_t>(sent * config.zc));
        for (auto& soft_bit : llr) soft_bit = static_cast<SoftBit>(20 * prng.normal());
        expect_the_same(config, llr, workspace);
      }
    }
  }
}

// Each row once, and the first step already tells something about a column that was not sent.
TEST(LdpcSchedule, HasEachRowOnceAndBeginsWhereSomethingIsLearned) {
  for (int base_graph : {1, 2}) {
    const LdpcGraph graph = ldpc_graph(base_graph, 2);
    for (int rows = ldpc_core_rows; rows <= graph.rows; ++rows) {
      SCOPED_TRACE(testing::Message() << "base graph " << base_graph << " rows " << rows);
      const LdpcSchedule schedule = ldpc_schedule(base_graph, rows);
      std::vector<int> times(static_cast<std::size_t>(rows), 0);
      for (int step = 0; step < rows; ++step) {
        ASSERT_LT(schedule.row[step], rows);
        ++times[schedule.row[step]];
      }
      EXPECT_EQ(times, std::vector<int>(times.size(), 1));
      // Columns 0 and 1 are known in turn: each step that has an unknown one has one alone, until
      // both are known.
      bool known[2] = {};
      int learned = 0;
      for (int step = 0; step < rows; ++step) {
        const int row = schedule.row[step];
        int unknown = -1, count = 0;
        for (int e = graph.row_begin[row]; e < graph.row_begin[row + 1]; ++e) {
          if (graph.column[e] >= 2 || known[graph.column[e]]) continue;
          unknown = graph.column[e];
          ++count;
        }
        EXPECT_LT(count, 2) << "step " << step << " learns nothing";
        if (count == 1) known[unknown] = true;
        learned += count == 1;
      }
      EXPECT_EQ(learned, 2);
    }
  }
}

// Parities of extension columns alone, so that the information bits are not known at once: zeros
// fulfil the core's rows and any CRC, but not the parities received.
TEST(LdpcDecode, TakesZerosForADecisionOnlyIfAllParitiesHold) {
  constexpr std::uint64_t seed = 25;
  Prng prng(seed);
  LdpcWorkspace workspace;
  for (const auto decoder : {&cpu::ldpc_decode, &ref::ldpc_decode}) {
    for (const bool zeros_sent : {false, true}) {
      LdpcDecodeConfig config;
      config.base_graph = 2;
      config.zc = 36;
      config.iterations_max = 3;
      const int count = 30 * config.zc;
      Bits bits = random_bits(10 * config.zc, 0, prng);
      if (zeros_sent) bits.assign(bits.size(), 0);
      auto llr = soft_bits(encode(2, config.zc, bits, count), count, 20, 0.1, prng);
      // Nothing but the columns of rows 4 to 21.
      std::fill_n(llr.begin(), 12 * config.zc, SoftBit{0});
      Asked asked;
      config.accept = yes;
      config.accept_context = &asked;
      Bits decoded(bits.size(), 0xff);
      const LdpcDecodeResult result = decoder(config, llr, decoded, workspace);
      EXPECT_EQ(result.accepted, decoded == bits) << "seed " << seed << " zeros " << zeros_sent;
      EXPECT_EQ(asked.times > 0, result.accepted);
      EXPECT_TRUE(result.accepted || !zeros_sent);
    }
  }
}

// What a row answers never exceeds what it was told, never shrinks as that grows, and large
// messages lose no more than the offset.
TEST(LdpcMinSum, CorrectsLargeMessagesByAnOffsetAtMost) {
  for (int base_graph : {1, 2}) {
    for (int bits_per_symbol : {1, 2, 4, 6, 8, 10}) {
      int before = 0;
      for (int rows = ldpc_core_rows; rows <= ldpc_graph(base_graph, 2).rows; ++rows) {
        LdpcDecodeConfig config;
        config.base_graph = base_graph;
        config.bits_per_symbol = bits_per_symbol;
        const LdpcMinSum rule = ldpc_min_sum(config, rows);
        SCOPED_TRACE(testing::Message() << "base graph " << base_graph << " bits "
                                        << bits_per_symbol << " rows " << rows);
        EXPECT_GE(rule.factor_x16, 8);
        EXPECT_LE(rule.factor_x16, 16);
        EXPECT_GE(rule.offset, 1);
        if (rows <= ldpc_rows_few) {
          EXPECT_EQ(rule.offset, ldpc_message_max);
          continue;
        }
        EXPECT_GE(rule.offset, before);  // the lower the rate, the finer the steps
        EXPECT_LE(rule.offset, 6);
        before = rule.offset;
      }
      EXPECT_GT(before, 0);
    }
  }
  LdpcDecodeConfig own;
  own.min_sum_scale_x16 = 9;
  EXPECT_EQ(ldpc_min_sum(own, 40).factor_x16, 9);
  EXPECT_EQ(ldpc_min_sum(own, 40).offset, ldpc_message_max);
}

// A posterior that loses what it cannot hold has an error floor here: one block in ten fails,
// against one in a thousand.
TEST(LdpcDecode, HasNoFloorFromFullPosteriors) {
  constexpr std::uint64_t seed = 22;
  constexpr int frames = 150;
  Prng prng(seed);
  LdpcWorkspace workspace;
  LdpcDecodeConfig config;
  config.base_graph = 2;
  config.zc = 64;
  config.iterations_max = 20;
  int errors = 0;
  for (int frame = 0; frame < frames; ++frame) {
    const Bits bits = random_bits(10 * 64, 0, prng);
    const auto llr = soft_bits(encode(2, 64, bits, 30 * 64), 30 * 64, 20, 1.0, prng);
    errors += decode(config, llr, workspace).bits != bits;
  }
  EXPECT_LE(errors, 3) << "of " << frames << ", seed " << seed;
}

// What is special among soft bits: nothing known, everything certain, and the value that saturation
// never makes.
TEST(LdpcDecode, TakesZerosFullScaleAndMinus128) {
  constexpr std::uint64_t seed = 23;
  Prng prng(seed);
  LdpcWorkspace workspace;
  for (const Link& link : links) {
    LdpcDecodeConfig config;
    config.base_graph = link.base_graph;
    config.zc = link.zc;
    config.iterations_max = 20;
    const auto count = static_cast<std::size_t>(link.count);
    const std::vector<SoftBit> nothing(count, 0);
    const Decoded zeros = decode(config, nothing, workspace);
    EXPECT_TRUE(zeros.result.parity_ok);
    EXPECT_EQ(zeros.bits, Bits(zeros.bits.size(), 0));

    const Bits bits = random_bits(ldpc_information_bits(link.base_graph, link.zc), 0, prng);
    const Bits codeword = encode(link.base_graph, link.zc, bits, link.count);
    for (const int one : {-127, -128}) {
      std::vector<SoftBit> llr(count);
      for (std::size_t i = 0; i < count; ++i) {
        llr[i] = static_cast<SoftBit>(bit_at(codeword.data(), i) ? one : 127);
      }
      EXPECT_EQ(decode(config, llr, workspace).bits, bits) << one << ", seed " << seed;
    }
  }
}

TEST(LdpcDecode, RefusesWhatDoesNotExist) {
  const auto error = [](const LdpcDecodeConfig& config, std::size_t llr_size) {
    const auto result = check(config, llr_size);
    return result ? std::string() : result.error().message;
  };
  LdpcDecodeConfig good;
  good.base_graph = 2;
  good.zc = 7;
  EXPECT_EQ(error(good, 1), "");
  EXPECT_EQ(error(good, 50 * 7), "");
  EXPECT_NE(error(good, 0).find("soft bits is 0"), std::string::npos);
  EXPECT_NE(error(good, 351).find("soft bits is 351"), std::string::npos);
  LdpcDecodeConfig bad = good;
  bad.base_graph = 3;
  EXPECT_NE(error(bad, 1).find("base_graph is 3"), std::string::npos);
  bad = good;
  bad.zc = 17;
  EXPECT_NE(error(bad, 1).find("zc is 17"), std::string::npos);
  bad = good;
  bad.filler_bits = 70;
  EXPECT_NE(error(bad, 1).find("filler_bits is 70"), std::string::npos);
  bad = good;
  bad.iterations_max = 0;
  EXPECT_NE(error(bad, 1).find("iterations_max is 0"), std::string::npos);
  for (const int qm : {-2, 0, 3, 12}) {
    bad = good;
    bad.bits_per_symbol = qm;
    EXPECT_NE(error(bad, 1).find("bits_per_symbol is " + std::to_string(qm)), std::string::npos);
  }
  bad = good;
  bad.min_sum_scale_x16 = 7;
  EXPECT_NE(error(bad, 1).find("min_sum_scale_x16 is 7"), std::string::npos);
}

}  // namespace
}  // namespace noroshi::fec
