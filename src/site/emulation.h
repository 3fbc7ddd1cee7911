#pragma once

// The emulated air: handsets and their radio channels, both ways. Pure: no thread, no clock, chance
// from the seed; nothing allocates after construction.
//
//   uplink    y_a = sum over handsets h, their antennas p of  g_h (c_hap * x_hp) + n_a
//   downlink  y_b = sum over the cell's T antennas p of  (c_bp * x_p) / sqrt(T) + n_b
//
// at receive antenna a of the cell and b of a handset with a grant. Channels have mean power 1 and
// fade by themselves. snr_db is the mean signal power of a resource element over its noise power,
// at one receive antenna, when all transmit antennas of the cell have power 1 or the handset's one
// together: all handsets meet the same uplink noise with their own gain, and each downlink has its
// own noise.
//
// Light air (CellConfig::light_air) costs a tenth: c_hap is a root of unity, the noise of the
// uplink recurs, and handsets acknowledge every downlink block without looking.

#include <vector>

#include "air/channel.h"
#include "air/handset.h"
#include "fapi/messages.h"
#include "nr/pusch_precoding.h"
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
    std::vector<air::Channel> uplink, downlink;  // of each antenna that transmits
    std::vector<cf32> light;                     // [antenna, antenna of the cell]: c in light air
    float uplink_gain;
    float downlink_noise_power;
    float snr_db;
    int receive_antennas, transmit_antennas;
    // What it made of the last PDSCH of each process, and when; the SINR of the last of so many
    // layers.
    struct Ack {
      SlotCount slot = -1;
      std::uint8_t codewords = 0;  // bit q: codeword q is right
    };
    std::array<Ack, air::harq_processes> acks{};
    std::array<std::optional<double>, nr::layers_max> sinr_db{};
  };
  Emulation(const CellConfig& cell, std::uint64_t seed);
  User* find(std::uint16_t rnti);
  void light_uplink(const User& user, std::size_t antenna, View<const cf32, 1> transmit,
                    View<cf32, 2> receive);
  static phy::UciPayload make_uci(const User& user, const Grant& grant,
                                  std::array<std::uint8_t, 8>& bytes);
  void receive_pdsch(const DownlinkSlot& slot, const Grant& grant, User& user,
                     fapi::UciIndication::Uci& uci, int& mismatches);
  void add_recurring_noise(View<cf32, 1> samples);

  nr::Carrier carrier_;
  int receive_antennas_, transmit_antennas_;
  std::vector<User> users_;
  Prng uplink_noise_, downlink_noise_;
  bool light_;
  std::vector<cf32> recurring_noise_;  // [two slots of samples], in light air
  std::vector<cf32> transmit_;         // [antenna of a handset, sample]
  std::vector<cf32> receive_;          // [antenna of a handset, sample]
};

}  // namespace noroshi::site
