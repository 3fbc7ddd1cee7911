#include "site/emulation.h"

#include <algorithm>
#include <cmath>

namespace noroshi::site {
namespace {

double linear(double db) { return std::pow(10.0, db / 10); }

// Streams of the seed: noise is 1 and 2, a handset's channels follow.
constexpr std::uint64_t uplink_noise_stream = 1;
constexpr std::uint64_t downlink_noise_stream = 2;

std::uint64_t channel_seed(std::uint64_t seed, std::uint16_t rnti, int direction) {
  return Prng(seed, 0x10000u + 2 * std::uint64_t{rnti} + static_cast<std::uint64_t>(direction))();
}

}  // namespace

Emulation::Emulation(const CellConfig& cell, std::uint64_t seed)
    : carrier_(cell.carrier),
      antennas_(cell.receive_antennas),
      uplink_noise_(seed, uplink_noise_stream),
      downlink_noise_(seed, downlink_noise_stream),
      light_(cell.light_air),
      transmit_(static_cast<std::size_t>(nr::slot_samples_max(cell.carrier))) {
  if (!light_) return;
  recurring_noise_.resize(2 * transmit_.size());
  air::add_noise(uplink_noise_power, uplink_noise_, recurring_noise_);
}

Result<Emulation> Emulation::make(const CellConfig& cell, std::uint64_t seed) {
  Emulation emulation(cell, seed);
  const nr::Carrier& carrier = cell.carrier;
  const int samples_max = nr::slot_samples_max(carrier);
  int antennas_max = 1;
  for (const HandsetChannel& handset : cell.channels) {
    Result<air::ChannelProfile> profile =
        air::channel_profile(handset.profile, handset.delay_spread_ns * 1e-9);
    if (!profile) return profile.error();
    air::ChannelConfig config;
    config.profile = *profile;
    config.doppler_hz = handset.doppler_hz;
    config.sample_rate_hz = carrier.sample_rate_hz();
    config.receive_antennas = cell.receive_antennas;
    config.timing_offset_s = handset.timing_offset_ns * 1e-9;
    config.seed = channel_seed(seed, handset.rnti, 0);
    air::Channel uplink(config, samples_max);
    // A handset keeps its own time by the downlink: no offset there.
    config.receive_antennas = handset.receive_antennas;
    config.timing_offset_s = 0;
    config.seed = channel_seed(seed, handset.rnti, 1);
    air::Channel downlink(config, samples_max);
    antennas_max = std::max(antennas_max, handset.receive_antennas);
    emulation.users_.push_back(
        {.handset = air::Handset(carrier, handset.rnti, seed,
                                 {.iterations_max = cell.ldpc_iterations_max, .early_stop = true}),
         .uplink = std::move(uplink),
         .downlink = std::move(downlink),
         .uplink_gain = std::sqrt(static_cast<float>(linear(handset.snr_db)) * uplink_noise_power),
         .downlink_noise_power = static_cast<float>(linear(-handset.snr_db)),
         .snr_db = static_cast<float>(handset.snr_db),
         .antennas = handset.receive_antennas});
  }
  emulation.receive_.resize(static_cast<std::size_t>(antennas_max) * samples_max);
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
  const View<cf32, 2> receive(out.samples.data(), antennas_, samples);
  std::ranges::fill(receive, cf32{});
  out.slot = grants.slot;
  out.compare = true;
  out.sent.clear();
  const View<cf32, 1> transmit(transmit_.data(), samples);
  for (int i = 0; i < grants.count; ++i) {
    const Grant& grant = grants.grants[i];
    User* user = find(grant.rnti);
    if (user == nullptr) continue;
    const View<const std::uint8_t, 1> tb = user->handset.transmit_pusch(
        grants.slot, grant.channel, grant.harq_id, grant.new_data, transmit);
    out.sent.add(grant.rnti, grant.harq_id, tb);
    if (light_) {
      light_uplink(*user, transmit, receive);
    } else {
      user->uplink.apply(grants.slot * samples, user->uplink_gain, transmit, receive);
    }
  }
  for (int antenna = 0; antenna < antennas_; ++antenna) {
    if (light_) {
      add_recurring_noise(receive[antenna]);
    } else {
      air::add_noise(uplink_noise_power, uplink_noise_, receive[antenna]);
    }
  }
}

void Emulation::light_uplink(const User& user, View<const cf32, 1> transmit,
                             View<cf32, 2> receive) {
  for (int antenna = 0; antenna < antennas_; ++antenna) {
    const View<cf32, 1> out = receive[antenna];
    const float gain = antenna % 2 == 0 ? user.uplink_gain : -user.uplink_gain;  // not all alike
    for (std::size_t i = 0; i < transmit.size(); ++i) out.data()[i] += gain * transmit.data()[i];
  }
}

void Emulation::add_recurring_noise(View<cf32, 1> samples) {
  const cf32* noise = recurring_noise_.data() + uplink_noise_.below(samples.size());
  for (std::size_t i = 0; i < samples.size(); ++i) samples.data()[i] += noise[i];
}

int Emulation::downlink(const DownlinkSlot& slot, fapi::UciIndication& uci) {
  const int samples = nr::slot_samples_max(carrier_);
  const SlotName name = slot_name(slot.grants.slot, carrier_.scs_khz);
  uci.sfn = static_cast<std::uint16_t>(name.sfn);
  uci.slot = static_cast<std::uint16_t>(name.slot);
  uci.n_ucis = 0;
  int mismatches = 0;
  for (int i = 0; i < slot.grants.count; ++i) {
    const Grant& grant = slot.grants.grants[i];
    User* user = find(grant.rnti);
    if (user == nullptr) continue;
    if (light_) {
      uci.ucis[uci.n_ucis++] = {.rnti = grant.rnti,
                                .harq_id = grant.harq_id,
                                .harq_value = 1,
                                .dl_sinr_db = user->snr_db};
      continue;
    }
    const View<cf32, 2> receive(receive_.data(), user->antennas, samples);
    std::ranges::fill(receive, cf32{});
    // One layer on the first port; the other transmit antennas are silent.
    const View<const cf32, 1> transmit(slot.samples.data(), samples);
    user->downlink.apply(slot.grants.slot * samples, 1, transmit, receive);
    for (int antenna = 0; antenna < user->antennas; ++antenna)
      air::add_noise(user->downlink_noise_power, downlink_noise_, receive[antenna]);
    const air::Handset::DownlinkReport report = user->handset.receive_pdsch(
        slot.grants.slot, grant.channel, grant.harq_id, grant.new_data, receive);
    uci.ucis[uci.n_ucis++] = {.rnti = grant.rnti,
                              .harq_id = grant.harq_id,
                              .harq_value = static_cast<std::uint8_t>(report.phy.crc_ok ? 1 : 0),
                              .dl_sinr_db = report.phy.sinr_db};
    if (report.phy.crc_ok &&
        !std::ranges::equal(report.tb, slot.sent.find(grant.rnti, grant.harq_id)))
      ++mismatches;
  }
  return mismatches;
}

}  // namespace noroshi::site
