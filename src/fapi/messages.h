#pragma once

// SCF 222.10.04 (5G FAPI PHY API) P5/P7 messages as plain structs: names and fields of that
// document in snake case, only those that this version carries out. Fixed capacity, no pointers
// into someone's heap: a message can be copied through a ring in the slot.
// Fields that need PDCCH, PUCCH, PRACH, SSB, SRS or precoding follow when the radio has them.

#include <array>
#include <cstdint>

#include "base/view.h"

namespace noroshi::fapi {

inline constexpr int pdus_per_slot_max = 16;
inline constexpr int tb_bytes_max = 160'000;  // above one 100 MHz, 4-layer, 256QAM transport block

// 3.3.2 CONFIG.request (the TLVs in use).
struct ConfigRequest {
  std::uint16_t dl_bandwidth_mhz = 20;
  std::uint16_t ul_bandwidth_mhz = 20;
  std::uint32_t dl_frequency_khz = 3'500'000;
  std::uint16_t dl_grid_size = 51;
  std::uint16_t ul_grid_size = 51;
  std::uint8_t num_tx_ant = 1;
  std::uint8_t num_rx_ant = 2;
  std::uint16_t phy_cell_id = 1;
  std::uint8_t frame_duplex_type = 1;  // 0 FDD, 1 TDD
  std::uint8_t scs_common = 1;         // 0: 15 kHz, 1: 30 kHz
  std::uint8_t tdd_period_slots = 5;
  std::array<std::array<std::uint8_t, 14>, 20> slot_config{};  // 0 DL, 1 UL, 2 guard
};

// 3.4.1 SLOT.indication.
struct SlotIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
};

// The part of PDSCH and PUSCH PDUs (tables 3-72, 3-92) that both have.
struct SharedChannelPdu {
  std::uint16_t rnti = 0;
  std::uint16_t target_code_rate = 0;  // R * 1024 * 10
  std::uint8_t qam_mod_order = 2;
  std::uint8_t mcs_index = 0;
  std::uint8_t mcs_table = 0;  // 0: qam64, 1: qam256, 2: qam64LowSE
  std::uint16_t data_scrambling_id = 0;
  std::uint8_t num_layers = 1;
  std::uint16_t dmrs_symb_pos = 0;    // bitmap, bit 0 = symbol 0
  std::uint8_t dmrs_config_type = 0;  // 0: type 1, 1: type 2
  std::uint16_t dmrs_scrambling_id = 0;
  std::uint8_t scid = 0;
  std::uint8_t num_dmrs_cdm_grps_no_data = 2;
  std::uint16_t dmrs_ports = 1;
  std::uint16_t rb_start = 0;  // resource allocation type 1
  std::uint16_t rb_size = 0;
  std::uint8_t start_symbol_index = 0;
  std::uint8_t nr_of_symbols = 14;
  std::uint8_t rv_index = 0;
  std::uint32_t tb_size = 0;  // bytes
  std::uint8_t tb_size_lbrm_bytes_valid = 0;
  std::uint32_t tb_size_lbrm_bytes = 0;  // of limited-buffer rate matching; used when valid
};

struct PdschPdu : SharedChannelPdu {
  std::uint16_t pdu_index = 0;  // names the transport block in TX_DATA.request
};

struct PuschPdu : SharedChannelPdu {
  std::uint32_t handle = 0;  // comes back in CRC.indication and RX_DATA.indication
  std::uint8_t harq_process_id = 0;
  std::uint8_t new_data_indicator = 1;  // 1: first transmission of this transport block
};

// 3.4.2 DL_TTI.request.
struct DlTtiRequest {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_pdus = 0;
  std::array<PdschPdu, pdus_per_slot_max> pdus;
};

// 3.4.3 UL_TTI.request.
struct UlTtiRequest {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_pdus = 0;
  std::array<PuschPdu, pdus_per_slot_max> pdus;
};

// 3.4.6 TX_DATA.request. The bytes belong to the sender until the slot's end.
struct TxDataRequest {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_pdus = 0;
  struct Pdu {
    std::uint16_t pdu_index = 0;
    View<const std::uint8_t, 1> data;
  };
  std::array<Pdu, pdus_per_slot_max> pdus;
};

// 3.4.8 CRC.indication.
struct CrcIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_crcs = 0;
  struct Crc {
    std::uint32_t handle = 0;
    std::uint16_t rnti = 0;
    std::uint8_t harq_id = 0;
    std::uint8_t tb_crc_status = 0;  // 0 pass, 1 fail
    float ul_sinr_db = 0;            // SCF: int16 in 0.002 dB; kept as dB inside the process
    float timing_advance_offset_ns = 0;
    float rssi_dbfs = 0;
  };
  std::array<Crc, pdus_per_slot_max> crcs;
};

// 3.4.7 RX_DATA.indication. The bytes belong to the cell until the call returns.
struct RxDataIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_pdus = 0;
  struct Pdu {
    std::uint32_t handle = 0;
    std::uint16_t rnti = 0;
    std::uint8_t harq_id = 0;
    View<const std::uint8_t, 1> data;
  };
  std::array<Pdu, pdus_per_slot_max> pdus;
};

// 3.4.9 UCI.indication, reduced to what stands in for PUCCH until it exists: HARQ-ACK and a
// measured downlink SINR, handed over inside the process.
struct UciIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_ucis = 0;
  struct Uci {
    std::uint16_t rnti = 0;
    std::uint8_t harq_id = 0;
    std::uint8_t harq_value = 0;  // 1 ACK, 0 NACK
    float dl_sinr_db = 0;
  };
  std::array<Uci, pdus_per_slot_max> ucis;
};

}  // namespace noroshi::fapi
