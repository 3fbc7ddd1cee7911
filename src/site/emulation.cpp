#include "site/emulation.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "site/cell.h"

namespace noroshi::site {
namespace {

double linear(double db) { return std::pow(10.0, db / 10); }

// Streams of the seed: noise is 1 and 2, a handset's channels follow.
constexpr std::uint64_t uplink_noise_stream = 1;
constexpr std::uint64_t downlink_noise_stream = 2;

std::uint64_t channel_seed(std::uint64_t seed, std::uint16_t rnti, int direction, int antenna) {
  const std::uint64_t stream = 0x10000u + 2 * std::uint64_t{rnti} +
                               static_cast<std::uint64_t>(direction) +
                               (static_cast<std::uint64_t>(antenna) << 20);
  return Prng(seed, stream)();
}

// c of light air: orthogonal columns, and for one antenna 1, -1, 1, -1: not all alike.
std::vector<cf32> light_channel(int column, int transmit_antennas, int receive_antennas) {
  std::vector<cf32> c;
  for (int p = 0; p < transmit_antennas; ++p)
    for (int a = 0; a < receive_antennas; ++a) {
      const double turn = 0.5 + static_cast<double>(column + p) / receive_antennas;
      const double angle = 2 * std::numbers::pi * a * turn;
      c.emplace_back(static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle)));
    }
  return c;
}

}  // namespace

Emulation::Emulation(const CellConfig& cell, std::uint64_t seed)
    : carrier_(cell.carrier),
      receive_antennas_(cell.receive_antennas),
      transmit_antennas_(cell.transmit_antennas),
      uplink_noise_(seed, uplink_noise_stream),
      downlink_noise_(seed, downlink_noise_stream),
      light_(cell.light_air) {
  if (!light_) return;
  recurring_noise_.resize(2 * static_cast<std::size_t>(nr::slot_samples_max(carrier_)));
  air::add_noise(uplink_noise_power, uplink_noise_, recurring_noise_);
}

Result<Emulation> Emulation::make(const CellConfig& cell, std::uint64_t seed) {
  Emulation emulation(cell, seed);
  const nr::Carrier& carrier = cell.carrier;
  const int samples_max = nr::slot_samples_max(carrier);
  int receive_max = 1, transmit_max = 1;
  for (const HandsetChannel& handset : cell.channels) {
    Result<air::ChannelProfile> profile =
        air::channel_profile(handset.profile, handset.delay_spread_ns * 1e-9);
    if (!profile) return profile.error();
    const int ports = handset.transmit_antennas;
    const int uplink_layers = std::min(cell.uplink_layers_max, ports);
    const int downlink_layers = std::min(cell.downlink_layers_max, handset.receive_antennas);
    User user{
        .handset = air::Handset(carrier, handset.rnti, seed,
                                {.iterations_max = cell.ldpc_iterations_max, .early_stop = true},
                                {.transmit_antennas = ports,
                                 .receive_antennas = handset.receive_antennas,
                                 .uplink_layers = uplink_layers,
                                 .downlink_layers = downlink_layers}),
        .uplink = {},
        .downlink = {},
        .light = {},
        .uplink_gain = std::sqrt(static_cast<float>(linear(handset.snr_db)) * uplink_noise_power),
        .downlink_noise_power = static_cast<float>(linear(-handset.snr_db)),
        .snr_db = static_cast<float>(handset.snr_db),
        .receive_antennas = handset.receive_antennas,
        .transmit_antennas = ports};
    air::ChannelConfig config;
    config.profile = *profile;
    config.doppler_hz = handset.doppler_hz;
    config.sample_rate_hz = carrier.sample_rate_hz();
    config.receive_antennas = cell.receive_antennas;
    config.timing_offset_s = handset.timing_offset_ns * 1e-9;
    for (int antenna = 0; antenna < ports; ++antenna) {
      config.seed = channel_seed(seed, handset.rnti, 0, antenna);
      user.uplink.emplace_back(config, samples_max);
    }
    // A handset keeps its own time by the downlink: no offset there.
    config.receive_antennas = handset.receive_antennas;
    config.timing_offset_s = 0;
    for (int antenna = 0; antenna < cell.transmit_antennas; ++antenna) {
      config.seed = channel_seed(seed, handset.rnti, 1, antenna);
      user.downlink.emplace_back(config, samples_max);
    }
    // Handsets that the MAC pairs must be told apart.
    const int column = cell.uplink_group_layers > 1
                           ? static_cast<int>(emulation.users_.size()) * uplink_layers
                           : 0;
    user.light = light_channel(column, ports, cell.receive_antennas);
    receive_max = std::max(receive_max, handset.receive_antennas);
    transmit_max = std::max(transmit_max, ports);
    emulation.users_.push_back(std::move(user));
  }
  const auto samples = static_cast<std::size_t>(samples_max);
  emulation.receive_.resize(static_cast<std::size_t>(receive_max) * samples);
  emulation.transmit_.resize(static_cast<std::size_t>(transmit_max) * samples);
  return emulation;
}

Emulation::User* Emulation::find(std::uint16_t rnti) {
  for (User& user : users_) {
    if (user.handset.rnti() == rnti) return &user;
  }
  return nullptr;
}

void Emulation::uplink(const Grants& grants, UplinkSlot& out) {
  // With a normal cyclic prefix at 15 and 30 kHz every slot holds one long prefix a half subframe,
  // so that all slots are of one length.
  const int samples = nr::slot_samples_max(carrier_);
  const View<cf32, 2> receive(out.samples.data(), receive_antennas_, samples);
  std::ranges::fill(receive, cf32{});
  out.slot = grants.slot;
  out.compare = true;
  out.sent.clear();
  for (int i = 0; i < grants.count; ++i) {
    const Grant& grant = grants.grants[i];
    User* user = find(grant.rnti);
    if (user == nullptr) continue;
    const auto precoder = nr::pusch_precoder(user->transmit_antennas, grant.channel.layers,
                                             grant.tpmi, grant.channel.transform_precoding);
    if (!precoder) continue;  // more layers than its antennas: it cannot send that
    // With one antenna there is nothing to precode.
    View<const cf32, 2> precoding;
    if (user->transmit_antennas > 1) precoding = precoder->matrix();
    std::array<std::uint8_t, 8> uci_bytes{};
    const View<cf32, 2> transmit(transmit_.data(), user->transmit_antennas, samples);
    const View<const std::uint8_t, 1> tb =
        user->handset.transmit_pusch(grants.slot, grant.channel, grant.harq_id, grant.new_data,
                                     precoding, make_uci(*user, grant, uci_bytes), transmit);
    if (!tb.empty()) out.sent.add(grant.rnti, grant.harq_id, 0, tb);
    for (std::size_t antenna = 0; antenna < transmit.extent(0); ++antenna) {
      if (light_) {
        light_uplink(*user, antenna, transmit[antenna], receive);
      } else {
        user->uplink[antenna].apply(grants.slot * samples, user->uplink_gain, transmit[antenna],
                                    receive);
      }
    }
  }
  for (int antenna = 0; antenna < receive_antennas_; ++antenna) {
    if (light_) {
      add_recurring_noise(receive[antenna]);
    } else {
      air::add_noise(uplink_noise_power, uplink_noise_, receive[antenna]);
    }
  }
}

// HARQ-ACK in the order of the grant, then CSI part 1; a PDSCH that never came is a NACK.
phy::UciPayload Emulation::make_uci(const User& user, const Grant& grant,
                                    std::array<std::uint8_t, 8>& bytes) {
  if (!grant.channel.uci.any()) return {};
  constexpr std::size_t harq_bytes = 4;  // 16 processes of two codewords
  std::size_t bit = 0;
  for (int a = 0; a < grant.n_acks; ++a) {
    const mac::Grant::Ack& ack = grant.acks[static_cast<std::size_t>(a)];
    const User::Ack& last = user.acks[ack.harq_id];
    const unsigned right = last.slot == ack.slot ? last.codewords : 0u;
    for (int q = 0; q < ack.codewords; ++q, ++bit)
      if ((right >> q & 1) != 0)
        bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] | 0x80 >> bit % 8);
  }
  const auto layers = static_cast<std::size_t>(grant.csi_layers);
  bytes[harq_bytes] =
      static_cast<std::uint8_t>(mac::sinr_to_csi(user.sinr_db[layers - 1]) << (8 - mac::csi_bits));
  phy::UciPayload payload;
  payload.harq = {bytes.data(),
                  bytes_for_bits(static_cast<std::size_t>(grant.channel.uci.harq_bits))};
  payload.csi1 = {bytes.data() + harq_bytes,
                  bytes_for_bits(static_cast<std::size_t>(grant.channel.uci.csi1_bits))};
  return payload;
}

void Emulation::light_uplink(const User& user, std::size_t antenna, View<const cf32, 1> transmit,
                             View<cf32, 2> receive) {
  const bool plain = user.transmit_antennas == 1 && user.light[0].imag() == 0;
  for (std::size_t a = 0; a < receive.extent(0); ++a) {
    const View<cf32, 1> out = receive[a];
    const cf32 c = user.uplink_gain * user.light[antenna * receive.extent(0) + a];
    if (plain && std::abs(c.imag()) < 1e-6f * std::abs(c.real())) {
      for (std::size_t i = 0; i < transmit.size(); ++i)
        out.data()[i] += c.real() * transmit.data()[i];
    } else {
      for (std::size_t i = 0; i < transmit.size(); ++i) {
        const cf32 x = transmit.data()[i];  // spelt out: no check for infinities
        out.data()[i] += cf32(c.real() * x.real() - c.imag() * x.imag(),
                              c.real() * x.imag() + c.imag() * x.real());
      }
    }
  }
}

void Emulation::add_recurring_noise(View<cf32, 1> samples) {
  const cf32* noise = recurring_noise_.data() + uplink_noise_.below(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) samples.data()[i] += noise[i];
}

int Emulation::downlink(const DownlinkSlot& slot, fapi::UciIndication& uci) {
  const SlotName name = slot_name(slot.grants.slot, carrier_.scs_khz);
  uci.sfn = static_cast<std::uint16_t>(name.sfn);
  uci.slot = static_cast<std::uint16_t>(name.slot);
  uci.n_ucis = 0;
  int mismatches = 0;
  for (int i = 0; i < slot.grants.count; ++i) {
    const Grant& grant = slot.grants.grants[i];
    User* user = find(grant.rnti);
    if (user == nullptr) continue;
    fapi::UciIndication::Uci& answer = uci.ucis[static_cast<std::size_t>(uci.n_ucis++)];
    answer = {.rnti = grant.rnti, .harq_id = grant.harq_id, .harq_value = 0, .dl_sinr_db = 0};
    if (light_) {
      answer.harq_value = static_cast<std::uint8_t>((1 << nr::codewords(grant.channel)) - 1);
      answer.dl_sinr_db = user->snr_db - 10 * std::log10(static_cast<float>(grant.channel.layers));
    } else {
      receive_pdsch(slot, grant, *user, answer, mismatches);
    }
    user->acks[grant.harq_id] = {slot.grants.slot, answer.harq_value};
    user->sinr_db[static_cast<std::size_t>(grant.channel.layers - 1)] = answer.dl_sinr_db;
  }
  return mismatches;
}

void Emulation::receive_pdsch(const DownlinkSlot& slot, const Grant& grant, User& user,
                              fapi::UciIndication::Uci& uci, int& mismatches) {
  const int samples = nr::slot_samples_max(carrier_);
  const View<cf32, 2> receive(receive_.data(), user.receive_antennas, samples);
  std::ranges::fill(receive, cf32{});
  const View<const cf32, 2> transmit(slot.samples.data(), transmit_antennas_, samples);
  const float gain = 1 / std::sqrt(static_cast<float>(transmit_antennas_));
  for (std::size_t antenna = 0; antenna < transmit.extent(0); ++antenna)
    user.downlink[antenna].apply(slot.grants.slot * samples, gain, transmit[antenna], receive);
  for (int antenna = 0; antenna < user.receive_antennas; ++antenna)
    air::add_noise(user.downlink_noise_power, downlink_noise_, receive[antenna]);
  const air::Handset::DownlinkReport report = user.handset.receive_pdsch(
      slot.grants.slot, grant.channel, grant.harq_id, grant.new_data, receive, grant.prg_rbs);
  uci.dl_sinr_db = effective_sinr_db(report.phy);
  const std::array passed = {report.phy.crc_ok, report.phy.second.crc_ok};
  for (int q = 0; q < nr::codewords(grant.channel); ++q) {
    const auto at = static_cast<std::size_t>(q);
    if (!passed[at]) continue;
    uci.harq_value = static_cast<std::uint8_t>(uci.harq_value | 1 << q);
    if (!std::ranges::equal(report.tb[at], slot.sent.find(grant.rnti, grant.harq_id, q)))
      ++mismatches;
  }
}

}  // namespace noroshi::site
