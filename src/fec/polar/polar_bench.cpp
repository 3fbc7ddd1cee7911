#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "fec/polar/polar.h"

namespace noroshi::fec {
namespace {

// SNR is Es/N0 of QPSK: amplitude 1 and noise of variance 1/SNR a bit.
struct Link {
  const char* name;
  PolarConfig config;
  Crc crc;
  double clear_snr_db;  // 3 dB above an error rate of 1 % with one path
  double first_snr_db;  // of the curves, in steps of 0.5 dB
  int points;
};

constexpr Link links[] = {
    {"pbch", {56, 864, 9, true, false}, Crc::crc24c, -4, -10, 10},
    {"dci k64 e432", {64, 432, 9, true, false}, Crc::crc24c, -0.5, -6, 9},
    {"uci k300 e1024", {300, 1024, 10, false, true}, Crc::crc11, 2.5, -2.5, 7},
    {"uci k20 e60", {20, 60, 10, false, true}, Crc::crc6, 5, -2, 9},
};

struct Word {
  std::vector<std::uint8_t> message;
  std::vector<double> received;
};

Word transmit(const PolarCode& code, Crc crc, double snr_db, Prng& prng) {
  const std::size_t k = code.message_position.size();
  Word word;
  word.message.resize(bytes_for_bits(k));
  for (std::size_t i = 0; i < k; ++i) set_bit(word.message.data(), i, prng.below(2) != 0);
  crc_attach(crc, word.message, k - static_cast<std::size_t>(crc_bits(crc)));
  std::vector<std::uint8_t> sent(bytes_for_bits(code.coded_source.size()));
  cpu::polar_encode(code, word.message, sent, 0);
  const double noise = std::pow(10, -snr_db / 20);
  for (std::size_t i = 0; i < code.coded_source.size(); ++i) {
    word.received.push_back((bit_at(sent.data(), i) ? -1 : 1) + noise * prng.normal());
  }
  return word;
}

// The scale of phy/demap: the mean magnitude is far from both ends of 8 bits.
std::vector<SoftBit> soft_bits(const std::vector<double>& received, double snr_db) {
  const double amplitude = 24 / (1 + std::pow(10, -snr_db / 20));
  std::vector<SoftBit> out;
  for (const double r : received) {
    out.push_back(static_cast<SoftBit>(std::clamp(std::round(r * amplitude), -127.0, 127.0)));
  }
  return out;
}

NOROSHI_BENCH(polar_encode) {
  for (const Link& link : links) {
    const PolarCode code = *make_polar_code(link.config);
    Prng prng(1);
    std::vector<std::uint8_t> message(bytes_for_bits(code.message_position.size()));
    for (auto& byte : message) byte = static_cast<std::uint8_t>(prng());
    std::vector<std::uint8_t> out(bytes_for_bits(code.coded_source.size()));
    bench.time_us(link.name, [&] {
      cpu::polar_encode(code, message, out, 0);
      return hash_bytes(out.data(), 8);
    });
  }
}

// Rate recovery, decoding and the CRC of words that arrive without error, another one each time.
NOROSHI_BENCH(polar_decode) {
  PolarWorkspace workspace;
  for (const Link& link : links) {
    const PolarCode code = *make_polar_code(link.config);
    for (const int list : {1, 2, 4, 8}) {
      const std::string name = link.name + std::string(" l") + std::to_string(list);
      if (!bench.wants(name)) continue;
      Prng prng(2);
      std::vector<Word> words;
      std::vector<std::vector<SoftBit>> received;
      for (int i = 0; i < 32; ++i) {
        words.push_back(transmit(code, link.crc, link.clear_snr_db, prng));
        received.push_back(soft_bits(words.back().received, link.clear_snr_db));
      }
      std::vector<std::uint8_t> message(words.front().message.size());
      std::size_t next = 0;
      bool all_right = true;
      bench.time_us(name, [&] {
        const std::size_t i = next++ % words.size();
        const auto result =
            cpu::polar_decode(code, received[i], list, PolarCrc{link.crc}, message, workspace);
        all_right = all_right && result.crc_ok && message == words[i].message;
        return all_right ? 1u : 0u;
      });
    }
  }
}

NOROSHI_BENCH(bler_polar) {
  PolarWorkspace workspace;
  for (const Link& link : links) {
    const PolarCode code = *make_polar_code(link.config);
    for (const int list : {1, 2, 4, 8}) {
      for (const bool reference : {false, true}) {
        for (int point = 0; point < link.points; ++point) {
          const double snr_db = link.first_snr_db + 0.5 * point;
          char snr[16];
          std::snprintf(snr, sizeof snr, "%.1f", snr_db);
          const std::string name = link.name + std::string(" l") + std::to_string(list) +
                                   (reference ? " ref" : "") + " snr" + snr;
          if (!bench.wants(name)) continue;
          std::vector<std::uint8_t> message;
          bench.failure_rate(name, 100, reference ? 2000 : 20'000, [&](std::uint64_t trial) {
            Prng prng(7, trial);  // the same words for every decoder
            const Word word = transmit(code, link.crc, snr_db, prng);
            message.resize(word.message.size());
            if (reference) {
              ref::polar_decode(code, word.received, list, PolarCrc{link.crc}, message);
            } else {
              cpu::polar_decode(code, soft_bits(word.received, snr_db), list, PolarCrc{link.crc},
                                message, workspace);
            }
            // A wrong message that passes its CRC is an error too. Bits behind K are zero.
            return message != word.message;
          });
        }
      }
    }
  }
}

}  // namespace
}  // namespace noroshi::fec
