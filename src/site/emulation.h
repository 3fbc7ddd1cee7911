#pragma once

// The emulated air: handsets and their radio channels, both ways. Pure: no thread, no clock, chance
// from the seed; nothing allocates after construction.
//
//   uplink    y_a = sum over handsets h of  g_h (c_ha * x_h) + n_a      per receive antenna a
//   downlink  y_h = c_h * x + n_h                                       per handset with a grant
//
// Channels have mean power 1. snr_db is the mean signal power of a resource element over its noise
// power, at one receive antenna: all handsets meet the same uplink noise with their own gain, and
// each downlink has its own noise.
//
// Light air (CellConfig::light_air) costs a tenth: c_ha is 1 or -1, the noise of the uplink
// recurs, and handsets acknowledge every downlink block without looking.

#include <vector>

#include "air/channel.h"
#include "air/handset.h"
#include "fapi/messages.h"
#include "site/site.h"
#include "site/slot_data.h"

namespace noroshi::site {

// Of a resource element and of a sample (the unitary scale of site/cell.h).
inline constexpr float uplink_noise_power = 1e-3f;

class Emulation {
 public:
  // Errors: a channel profile that does not exist.
  static Result<Emulation> make(const CellConfig& cell, std::uint64_t seed);

  // The samples of this slot at the cell's antennas, and the transport blocks in them.
  void uplink(const Grants& grants, UplinkSlot& out);

  // What the handsets with a grant make of this slot. Returns how many transport blocks passed
  // their CRC and are not what was sent.
  int downlink(const DownlinkSlot& slot, fapi::UciIndication& uci);

 private:
  struct User {
    air::Handset handset;
    air::Channel uplink, downlink;
    float uplink_gain;
    float downlink_noise_power;
    float snr_db;
    int antennas;
  };
  Emulation(const CellConfig& cell, std::uint64_t seed);
  User* find(std::uint16_t rnti);
  void light_uplink(const User& user, View<const cf32, 1> transmit, View<cf32, 2> receive);
  void add_recurring_noise(View<cf32, 1> samples);

  nr::Carrier carrier_;
  int antennas_;
  std::vector<User> users_;
  Prng uplink_noise_, downlink_noise_;
  bool light_;
  std::vector<cf32> recurring_noise_;  // [two slots of samples], in light air
  std::vector<cf32> transmit_;         // [sample]
  std::vector<cf32> receive_;          // [antenna of a handset, sample]
};

}  // namespace noroshi::site
