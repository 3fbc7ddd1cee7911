// Handset to cell and cell to handset without noise to speak of, over random channels of the
// standard: every layer count, DM-RS configuration, hop, interleaver, reservation, PT-RS, waveform
// and UCI. Catches any break between what is sent and what is received: no bit may differ.

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "air/handset.h"
#include "fec/uci/pusch_uci.h"
#include "fec/uci/uci.h"
#include "phy/shared_channel/shared_channel_test_configs.h"

namespace noroshi::air {
namespace {

using phy::RandomPayload;

nr::Carrier small_carrier() {
  const Result<nr::Carrier> carrier = nr::make_carrier(30, 20);
  EXPECT_TRUE(carrier.ok());
  return *carrier;
}

// Ports to antennas: orthogonal columns of unlike powers, each port late by its own delay.
class Matrix {
 public:
  Matrix(Prng& prng, std::size_t antennas, std::size_t ports) : antennas_(antennas) {
    for (std::size_t p = 0; p < ports; ++p) {
      std::vector<cf64> column(antennas);
      for (cf64& value : column) value = {prng.normal(), prng.normal()};
      for (const auto& other : columns_) {
        cf64 along = 0;
        double size = 0;
        for (std::size_t a = 0; a < antennas; ++a)
          along += std::conj(other[a]) * column[a], size += std::norm(other[a]);
        for (std::size_t a = 0; a < antennas; ++a) column[a] -= other[a] * along / size;
      }
      double size = 0;
      for (const cf64& value : column) size += std::norm(value);
      for (cf64& value : column) value *= (0.7 + 0.7 * prng.uniform()) / std::sqrt(size);
      columns_.push_back(column);
      delays_.push_back(0.004 * (prng.uniform() - 0.3));
    }
  }

  // received += the sent ports from `first` of the matrix on. Grids: [port or antenna, symbol,
  // subcarrier].
  void pass(View<const cf32, 3> sent, std::size_t first, View<cf32, 3> received) const {
    for (std::size_t p = 0; p < sent.extent(0); ++p)
      for (std::size_t l = 0; l < sent.extent(1); ++l)
        for (std::size_t k = 0; k < sent.extent(2); ++k) {
          if (sent(p, l, k) == cf32(0)) continue;
          const cf64 late =
              cf64(sent(p, l, k)) *
              std::polar(1.0, -2 * std::numbers::pi * delays_[first + p] * static_cast<double>(k));
          for (std::size_t a = 0; a < antennas_; ++a)
            received(a, l, k) += cf32(columns_[first + p][a] * late);
        }
  }

 private:
  std::size_t antennas_;
  std::vector<std::vector<cf64>> columns_;
  std::vector<double> delays_;
};

void add_noise(Prng& prng, double power, std::vector<cf32>& grid) {
  const double sigma = std::sqrt(power / 2);
  for (cf32& value : grid) value += cf32(cf64{sigma * prng.normal(), sigma * prng.normal()});
}

// Whether a transmission of redundancy version 0 can be decoded: there is room for the systematic
// bits and some more, in what is sent and in a limited buffer (of 1.5 times a small block there is
// not).
bool decodable(int tb_bits, int limited_buffer_bits, int coded_bits) {
  return tb_bits + 200 < 0.9 * coded_bits && (limited_buffer_bits == 0 || tb_bits > 1000);
}

std::string describe(const nr::SharedChannel& c) {
  std::string text =
      "rbs " + std::to_string(c.rbs.count()) + " symbols " + std::to_string(c.symbol_start) + "+" +
      std::to_string(c.symbol_count) + " layers " + std::to_string(c.layers) + " Qm " +
      std::to_string(nr::bits_per_symbol(c.modulation)) + " R " +
      std::to_string(c.code_rate_x10240) + " tb " + std::to_string(c.tb_bits) + " dmrs type " +
      std::to_string(c.dmrs.type) + " mask " + std::to_string(c.dmrs.symbol_mask) + " ports " +
      std::to_string(c.dmrs.port_mask) + " groups " +
      std::to_string(c.dmrs.cdm_groups_without_data);
  if (c.dmrs.double_symbol) text += " double";
  if (c.ptrs.present) text += " ptrs";
  if (c.transform_precoding) text += " dft";
  if (c.second_hop_rb >= 0) text += " hop " + std::to_string(c.second_hop_rb);
  if (c.vrb.bundle_rbs > 0) text += " interleaved";
  if (c.reserved_count > 0) text += " reserved";
  if (c.uci.any())
    text += " uci " + std::to_string(c.uci.harq_bits) + "," + std::to_string(c.uci.csi1_bits) +
            "," + std::to_string(c.uci.csi2_bits);
  return text;
}

// coded: bits that carry the part. With a handful of them (or what HARQ-ACK leaves of them) a
// message is not told from noise, or not there at all.
void expect_uci(const std::vector<std::uint8_t>& sent, int bits, int coded,
                const phy::UciPart& got) {
  if (bits == 0 || coded < 2 * (bits + fec::uci_crc_bits(bits)) + 24) return;
  ASSERT_GE(got.bits, bits);
  EXPECT_TRUE(got.ok) << bits << " bits in " << coded;
  for (int i = 0; i < bits; ++i)
    ASSERT_EQ(bit_at(sent.data(), static_cast<std::size_t>(i)),
              bit_at(got.message.data(), static_cast<std::size_t>(i)))
        << "bit " << i << " of " << bits;
}

// Bits of a part among a PUSCH's coded bits, less those that HARQ-ACK overwrites.
int part_bits(const nr::SharedChannel& pusch, fec::PuschPart part) {
  if (!pusch.uci.any()) return part == fec::PuschPart::ul_sch ? nr::coded_bits(pusch) : 0;
  fec::PuschUciLayout layout;
  EXPECT_TRUE(fec::make_pusch_uci_layout(fec::pusch_uci_config(pusch).value(), layout).ok());
  return layout.coded_bits(part) -
         static_cast<int>(layout.punctured(part).size()) * layout.element_bits();
}

// A handset with other ports on the same blocks; false: there are none left.
bool make_companion(Prng& prng, const nr::Carrier& carrier, const nr::SharedChannel& first,
                    nr::SharedChannel& second) {
  second = first;
  second.rnti = static_cast<std::uint16_t>(first.rnti ^ 1);
  second.uci = {};
  second.ptrs.present = false;
  std::uint32_t free = 0;
  for (int p = 0; p < phy::dmrs_ports(first.dmrs.type, first.dmrs.double_symbol); ++p)
    if ((first.dmrs.port_mask >> p & 1) == 0 &&
        phy::dmrs_port(first.dmrs.type, p).cdm_group < first.dmrs.cdm_groups_without_data)
      free |= 1u << p;
  if (free == 0) return false;
  second.layers = first.transform_precoding ? 1 : 1 + static_cast<int>(prng.below(2));
  second.layers = std::min(second.layers, std::popcount(free));
  second.dmrs.port_mask = 0;
  for (int i = 0; i < second.layers; ++i, free &= free - 1)
    second.dmrs.port_mask = static_cast<std::uint16_t>(second.dmrs.port_mask | (free & -free));
  phy::pick_block(prng, second, 0);
  second.rv = 0;
  return phy::check_pusch(carrier, second).ok();
}

struct Sent {
  nr::SharedChannel channel;
  RandomPayload payload;
};

void receive_uplink(const nr::Carrier& carrier, int slot, const std::vector<Sent>& handsets,
                    View<const cf32, 3> grid, phy::ReceiveWorkspace& workspace) {
  const std::size_t count = handsets.size();
  std::vector<fec::HarqBuffer> harq;
  std::vector<std::vector<std::uint8_t>> tbs(count);
  std::vector<phy::UciResult> uci(count);
  std::vector<phy::Reception> receptions(count);
  std::vector<phy::ReceiveResult> results(count);
  std::vector<const nr::SharedChannel*> group;
  for (const Sent& sent : handsets) {
    harq.emplace_back(std::max(24, sent.channel.tb_bits));
    group.push_back(&sent.channel);
  }
  for (std::size_t i = 0; i < count; ++i) {
    tbs[i].resize(static_cast<std::size_t>(handsets[i].channel.tb_bits) / 8);
    receptions[i].channel = &handsets[i].channel;
    receptions[i].harq = &harq[i];
    receptions[i].tb = tbs[i];
    receptions[i].uci = &uci[i];
  }
  const Result<void> allowed = phy::check_pusch_group(carrier, group);
  ASSERT_TRUE(allowed.ok()) << allowed.error().message;
  phy::shared_channel_receive(carrier, slot, receptions, grid, {}, results, workspace);
  for (std::size_t i = 0; i < count; ++i) {
    const nr::SharedChannel& channel = handsets[i].channel;
    SCOPED_TRACE("handset " + std::to_string(i) + ": " + describe(channel));
    const RandomPayload& payload = handsets[i].payload;
    expect_uci(payload.harq, channel.uci.harq_bits, part_bits(channel, fec::PuschPart::harq),
               uci[i].harq);
    expect_uci(payload.csi1, channel.uci.csi1_bits, part_bits(channel, fec::PuschPart::csi1),
               uci[i].csi1);
    expect_uci(payload.csi2, channel.uci.csi2_bits, part_bits(channel, fec::PuschPart::csi2),
               uci[i].csi2);
    if (channel.tb_bits == 0 || !decodable(channel.tb_bits, channel.limited_buffer_bits,
                                           part_bits(channel, fec::PuschPart::ul_sch)))
      continue;
    ASSERT_TRUE(results[i].crc_ok) << "SINR " << results[i].sinr_db << " EVM " << results[i].evm;
    ASSERT_EQ(tbs[i], payload.tb[0]);
    ASSERT_LT(results[i].evm, 0.05f);
  }
}

TEST(Loop, HandsetsToCell) {
  constexpr std::uint64_t seed = 91;
  Prng prng(seed);
  const nr::Carrier carrier = small_carrier();
  phy::TransmitWorkspace transmit(carrier);
  phy::ReceiveWorkspace receive(carrier, nr::layers_max);
  const std::size_t plane = static_cast<std::size_t>(nr::symbols_per_slot * carrier.subcarriers());
  for (int round = 0; round < 600; ++round) {
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round));
    nr::SharedChannel first = phy::random_pusch(prng, carrier, true);
    first.rv = 0;
    std::vector<Sent> handsets;
    handsets.push_back({first, RandomPayload(prng, first)});
    nr::SharedChannel second;
    if (round % 3 == 0 && make_companion(prng, carrier, first, second))
      handsets.push_back({second, RandomPayload(prng, second)});
    std::size_t layers = 0;
    for (const Sent& sent : handsets) layers += static_cast<std::size_t>(sent.channel.layers);
    const std::size_t antennas = layers + prng.below(nr::receive_antennas_max - layers + 1);
    const Matrix matrix(prng, antennas, layers);
    const int slot = static_cast<int>(prng.below(20));
    std::vector<cf32> received(antennas * plane);
    const View<cf32, 3> grid(received.data(), antennas, nr::symbols_per_slot,
                             carrier.subcarriers());
    std::size_t port = 0;
    for (const Sent& sent : handsets) {
      const std::size_t ports = static_cast<std::size_t>(sent.channel.layers);
      std::vector<cf32> out(ports * plane);
      const View<cf32, 3> sent_grid(out.data(), ports, nr::symbols_per_slot, carrier.subcarriers());
      pusch_transmit(carrier, slot, sent.channel, sent.payload.view(), {}, sent_grid, transmit);
      matrix.pass(sent_grid, port, grid);
      port += ports;
    }
    add_noise(prng, 1e-5, received);
    receive_uplink(carrier, slot, handsets, grid, receive);
    if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) return;
  }
}

// A handset's room for a PDSCH of one or two codewords.
struct Receiver {
  explicit Receiver(const nr::SharedChannel& pdsch)
      : harq(pdsch.tb_bits), second_harq(std::max(24, pdsch.second.tb_bits)) {
    tb[0].resize(static_cast<std::size_t>(pdsch.tb_bits) / 8);
    tb[1].resize(static_cast<std::size_t>(pdsch.second.tb_bits) / 8);
    reception.channel = &pdsch;
    reception.harq = &harq;
    reception.tb = tb[0];
    reception.second_harq = &second_harq;
    reception.second_tb = tb[1];
  }
  Receiver(const Receiver&) = delete;
  Receiver& operator=(const Receiver&) = delete;

  fec::HarqBuffer harq, second_harq;
  std::array<std::vector<std::uint8_t>, 2> tb;
  phy::Reception reception;
};

TEST(Loop, CellToHandset) {
  constexpr std::uint64_t seed = 92;
  Prng prng(seed);
  const nr::Carrier carrier = small_carrier();
  phy::TransmitWorkspace transmit(carrier);
  phy::ReceiveWorkspace receive(carrier, nr::layers_max);
  const std::size_t plane = static_cast<std::size_t>(nr::symbols_per_slot * carrier.subcarriers());
  for (int round = 0; round < 600; ++round) {
    nr::SharedChannel pdsch = phy::random_pdsch(prng, carrier);
    while (!phy::check_pdsch_receive(carrier, pdsch)) pdsch = phy::random_pdsch(prng, carrier);
    pdsch.rv = pdsch.second.rv = 0;
    SCOPED_TRACE("seed " + std::to_string(seed) + " round " + std::to_string(round) + ": " +
                 describe(pdsch));
    const RandomPayload payload(prng, pdsch);
    const std::size_t layers = static_cast<std::size_t>(pdsch.layers);
    const std::size_t antennas = layers + prng.below(nr::receive_antennas_max - layers + 1);
    // Every third transmission is precoded, by another matrix in every group of blocks.
    phy::Precoding precoding;
    std::vector<cf32> weights;
    if (round % 3 == 0) {
      precoding.group_rbs = prng.below(2) == 0 ? 2 : 4;
      const int groups = phy::Precoding::groups(pdsch, precoding.group_rbs);
      for (int g = 0; g < groups; ++g)
        for (std::size_t p = 0; p < layers; ++p)
          for (std::size_t i = 0; i < layers; ++i)
            weights.push_back(p == (i + static_cast<std::size_t>(g)) % layers
                                  ? std::polar(1.0f, static_cast<float>(6.28 * prng.uniform()))
                                  : cf32(0));
      precoding.matrices = {weights.data(), static_cast<std::size_t>(groups), layers, layers};
    }
    const Matrix matrix(prng, antennas, layers);
    const int slot = static_cast<int>(prng.below(20));
    std::vector<cf32> out(layers * plane), received(antennas * plane);
    const View<cf32, 3> sent_grid(out.data(), layers, nr::symbols_per_slot, carrier.subcarriers());
    const View<cf32, 3> grid(received.data(), antennas, nr::symbols_per_slot,
                             carrier.subcarriers());
    phy::pdsch_transmit(carrier, slot, pdsch, payload.view().tb, precoding, sent_grid, transmit);
    matrix.pass(sent_grid, 0, grid);
    add_noise(prng, 1e-5, received);

    const Result<void> allowed = phy::check_pdsch_receive(carrier, pdsch);
    ASSERT_TRUE(allowed.ok()) << allowed.error().message;
    Receiver to(pdsch);
    phy::ReceiveOptions options;
    options.prg_rbs = precoding.group_rbs;
    const phy::ReceiveResult result =
        pdsch_receive(carrier, slot, to.reception, grid, options, receive);
    if (decodable(pdsch.tb_bits, pdsch.limited_buffer_bits, nr::coded_bits(pdsch, 0))) {
      ASSERT_TRUE(result.crc_ok) << "SINR " << result.sinr_db << " EVM " << result.evm;
      ASSERT_EQ(to.tb[0], payload.tb[0]);
    }
    if (nr::codewords(pdsch) == 2 &&
        decodable(pdsch.second.tb_bits, pdsch.second.limited_buffer_bits,
                  nr::coded_bits(pdsch, 1))) {
      ASSERT_TRUE(result.second.crc_ok) << "SINR " << result.sinr_db;
      ASSERT_EQ(to.tb[1], payload.tb[1]);
    }
  }
}

// The highest modulation and rate of the downlink, up to 8 layers in two codewords, at 42 dB a
// layer: R = 0.93 of 1024QAM needs about 35.
TEST(Loop, CellToHandsetWith1024Qam) {
  constexpr std::uint64_t seed = 93;
  SCOPED_TRACE("seed " + std::to_string(seed));
  Prng prng(seed);
  const nr::Carrier carrier = small_carrier();
  phy::TransmitWorkspace transmit(carrier);
  phy::ReceiveWorkspace receive(carrier, nr::layers_max);
  const std::size_t plane = static_cast<std::size_t>(nr::symbols_per_slot * carrier.subcarriers());
  for (const int mcs : {23, 26})
    for (const int layers : {1, 2, 4, 5, 8}) {
      SCOPED_TRACE("MCS " + std::to_string(mcs) + " layers " + std::to_string(layers));
      const nr::Mcs scheme = nr::mcs(nr::McsTable::qam1024, mcs).value();
      ASSERT_EQ(scheme.modulation, nr::Modulation::qam1024);
      nr::SharedChannel pdsch;
      pdsch.rnti = 77;
      for (int rb = 0; rb < carrier.rb_count; ++rb) pdsch.rbs.set(static_cast<std::size_t>(rb));
      pdsch.modulation = scheme.modulation;
      pdsch.code_rate_x10240 = scheme.code_rate_x10240;
      pdsch.layers = layers;
      pdsch.dmrs.double_symbol = layers > 4;
      pdsch.dmrs.symbol_mask = layers > 4 ? 0x0c0c : 0x0804;
      pdsch.dmrs.port_mask = static_cast<std::uint16_t>((1u << layers) - 1);
      const auto bits = [&](int codeword) {
        return nr::transport_block_bits(nr::data_resource_elements_per_rb(pdsch), carrier.rb_count,
                                        scheme, nr::codeword_layers(pdsch, codeword));
      };
      pdsch.tb_bits = bits(0);
      if (layers > 4) pdsch.second = {scheme.modulation, scheme.code_rate_x10240, 0, bits(1), 0};
      const Result<void> allowed = phy::check_pdsch_receive(carrier, pdsch);
      ASSERT_TRUE(allowed.ok()) << allowed.error().message;
      const RandomPayload payload(prng, pdsch);
      std::vector<cf32> out(static_cast<std::size_t>(layers) * plane), received(8 * plane);
      const View<cf32, 3> sent(out.data(), layers, nr::symbols_per_slot, carrier.subcarriers());
      const View<cf32, 3> grid(received.data(), 8, nr::symbols_per_slot, carrier.subcarriers());
      phy::pdsch_transmit(carrier, 5, pdsch, payload.view().tb, {}, sent, transmit);
      // A Butler matrix keeps the layers apart; noise is that of one antenna, of power 1 / 8 each.
      for (std::size_t layer = 0; layer < sent.extent(0); ++layer)
        for (std::size_t a = 0; a < 8; ++a) {
          const cf32 gain(std::polar(std::sqrt(1.0 / 8),
                                     2 * std::numbers::pi * static_cast<double>(a * layer) / 8));
          for (std::size_t i = 0; i < plane; ++i)
            received[a * plane + i] += gain * out[layer * plane + i];
        }
      add_noise(prng, std::pow(10.0, -4.2), received);
      Receiver to(pdsch);
      const phy::ReceiveResult result = pdsch_receive(carrier, 5, to.reception, grid, {}, receive);
      EXPECT_TRUE(result.crc_ok) << "SINR " << result.sinr_db << " EVM " << result.evm;
      EXPECT_EQ(to.tb[0], payload.tb[0]);
      if (layers > 4) {
        EXPECT_TRUE(result.second.crc_ok);
        EXPECT_EQ(to.tb[1], payload.tb[1]);
      }
    }
}

}  // namespace
}  // namespace noroshi::air
