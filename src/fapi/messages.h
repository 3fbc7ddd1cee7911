#pragma once

// SCF 222.10.04 (5G FAPI PHY API) P5/P7 messages as plain structs: names and fields of that
// document in snake case, only those that this version carries out or refuses. Fixed capacity, no
// pointers into someone's heap: a message can be copied through a ring in the slot.
// PDCCH, PUCCH, PRACH and SRS follow when the radio has them. SSB and CSI-RS say which elements are
// theirs, which no PDSCH gets that names them; what they carry is not sent yet.
//
// Indications keep physical units (dB, ns) as floats inside the process; the document's integers
// and their steps stand beside them.

#include <array>
#include <cstdint>

#include "base/view.h"

namespace noroshi::fapi {

inline constexpr int pdus_per_slot_max = 16;
inline constexpr int groups_per_slot_max = pdus_per_slot_max;
inline constexpr int ues_per_group_max = 8;
inline constexpr int rbs_max = 275;
inline constexpr int rb_bitmap_bytes = 36;
inline constexpr int tb_bytes_max = 320'000;  // above two codewords of 100 MHz and 4 layers each
inline constexpr int uci_bytes_max = 214;     // 1706 bits (TS 38.212 5.2.1)

// 3.3.2, precoding matrix (PM) PDU: weights in steps of 2^-14, layer after layer, ports within.
inline constexpr int ports_max = 8;
inline constexpr int layers_max = 8;
inline constexpr int precoding_matrices_max = 64;
inline constexpr int weight_one = 1 << 14;
struct PrecoderWeight {
  std::int16_t re = 0;
  std::int16_t im = 0;
};
struct PrecodingMatrix {
  std::uint16_t pm_idx = 0;  // 1..65535; 0 stands for none: layer i on port i
  std::uint16_t num_layers = 0;
  std::uint16_t num_ant_ports = 0;
  std::array<PrecoderWeight, std::size_t{layers_max} * ports_max> pre_coder_weight{};
};

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
  int num_precoding_matrices = 0;
  std::array<PrecodingMatrix, precoding_matrices_max> precoding_matrices{};
};

// 3.4.1 SLOT.indication.
struct SlotIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
};

// Bandwidth part of a PDU (TS 38.213 12): resource blocks of the PDU count from bwp_start.
// bwp_size 0: the whole carrier.
struct Bwp {
  std::uint16_t bwp_size = 0;
  std::uint16_t bwp_start = 0;          // CRB
  std::uint8_t subcarrier_spacing = 1;  // 0: 15 kHz, 1: 30 kHz
  std::uint8_t cyclic_prefix = 0;       // 0: normal
};

// Allocation in frequency and time, of PDSCH and PUSCH alike.
struct Allocation {
  std::uint8_t resource_alloc = 1;  // type 0: rb_bitmap; type 1: rb_start, rb_size
  std::array<std::uint8_t, rb_bitmap_bytes> rb_bitmap{};  // lowest bit of byte 0: (V)RB 0
  std::uint16_t rb_start = 0;
  std::uint16_t rb_size = 0;
  std::uint8_t vrb_to_prb_mapping = 0;  // 0: not interleaved, 1: bundles of 2, 2: of 4
  std::uint8_t start_symbol_index = 0;
  std::uint8_t nr_of_symbols = 14;
};

// DM-RS; a pair of symbols in the bitmap is double-symbol DM-RS.
struct DmrsFields {
  std::uint16_t dmrs_symb_pos = 0;    // dlDmrsSymbPos, ulDmrsSymbPos: bit 0 = symbol 0
  std::uint8_t dmrs_config_type = 0;  // 0: type 1, 1: type 2
  std::uint16_t dmrs_scrambling_id = 0;
  std::uint8_t scid = 0;
  std::uint8_t num_dmrs_cdm_grps_no_data = 2;
  std::uint16_t dmrs_ports = 1;
};

struct CodewordFields {
  std::uint16_t target_code_rate = 0;  // R * 1024 * 10
  std::uint8_t qam_mod_order = 2;
  std::uint8_t mcs_index = 0;
  std::uint8_t mcs_table = 0;  // 0: qam64, 1: qam256, 2: qam64LowSE, 3: qam1024
  std::uint8_t rv_index = 0;
  std::uint32_t tb_size = 0;  // bytes
};

// TX precoding and beamforming PDU. num_prgs 0: layer i on port i.
struct TxPrecodingAndBeamforming {
  std::uint16_t num_prgs = 0;  // 1, or as many as the allocation spans
  std::uint16_t prg_size = 0;  // blocks of a group; groups are cut at its multiples of CRB 0
  std::uint8_t dig_bf_interfaces = 0;
  std::array<std::uint16_t, rbs_max> pm_idx{};
};

// PDSCH PDU.
inline constexpr std::uint16_t pdsch_bitmap_ptrs = 1 << 0;
inline constexpr std::uint16_t pdsch_bitmap_cbg = 1 << 1;
inline constexpr int prb_sym_rm_patterns_max = 4;
inline constexpr int coreset_rm_patterns_max = 5;
inline constexpr int ssb_pdus_max = 2;  // of a slot
inline constexpr int csi_rs_pdus_max = 16;
inline constexpr std::uint16_t pdu_index_none = 0xffff;

struct PdschPtrs {
  std::uint8_t port_index = 1;    // bitmap of DM-RS ports
  std::uint8_t time_density = 0;  // 0: 1, 1: 2, 2: 4 (L_PT-RS)
  std::uint8_t freq_density = 0;  // 0: 2, 1: 4 (K_PT-RS)
  std::uint8_t re_offset = 0;
  std::uint8_t epre_ratio = 0;  // nEpreRatioOfPDSCHToPTRS: TS 38.214 table 4.1-2, 0 or 1
};

// Maintenance parameters of FAPI version 3.
enum class PdschTransType : std::uint8_t {
  non_interleaved_common = 0,  // by DCI 1_0 in a common search space: blocks count from the CORESET
  non_interleaved_other = 1,
  interleaved_common_type0_coreset0 = 2,
  interleaved_common_coreset0_present = 3,
  interleaved_common_coreset0_absent = 4,
  interleaved_other = 5,
};
struct PrbSymRateMatchPattern {
  std::array<std::uint8_t, 35> freq_domain_rb{};  // lowest bit of byte 0: CRB 0
  std::uint16_t symbols_in_rb = 0;
};
struct CoresetRateMatchPattern {
  std::array<std::uint8_t, 6> freq_domain_resources{};  // highest bit of byte 0: CRB 0 to 5
  std::uint16_t symbols_pattern = 0;
};
inline constexpr std::int16_t power_offset_none = -32768;  // use the profile NR

struct PdschMaintenance {
  PdschTransType trans_type = PdschTransType::non_interleaved_other;
  std::uint16_t coreset_start_point = 0;  // CRB
  std::uint16_t initial_dl_bwp_size = 0;
  std::uint8_t ldpc_base_graph = 0;      // 1, 2; 0: by size and rate
  std::uint32_t tb_size_lbrm_bytes = 0;  // TBS_LBRM; 0: no limit
  std::uint8_t num_prb_sym_rm_patterns_by_value = 0;
  std::array<PrbSymRateMatchPattern, prb_sym_rm_patterns_max> prb_sym_rm_patterns{};
  std::uint8_t num_coreset_rm_patterns = 0;
  std::array<CoresetRateMatchPattern, coreset_rm_patterns_max> coreset_rm_patterns{};
  // ssb_pdu_index and csi_rs_pdu_index of PDUs in the same message.
  std::array<std::uint16_t, ssb_pdus_max> ssb_pdus_for_rate_matching = {pdu_index_none,
                                                                        pdu_index_none};
  std::uint16_t ssb_config_for_rate_matching = 0;
  std::uint8_t lte_crs_rate_match_pattern_bitmap_size = 0;
  std::uint8_t num_csi_rs_for_rate_matching = 0;
  std::array<std::uint16_t, csi_rs_pdus_max> csi_rs_for_rate_matching{};
  // Steps of 0.001 dB over the SSS; power_offset_none: by the profile NR.
  std::int16_t pdsch_dmrs_power_offset_profile_sss = power_offset_none;
  std::int16_t pdsch_data_power_offset_profile_sss = power_offset_none;
  std::uint8_t max_num_cbg_per_tb = 0;
};

struct PdschPdu {
  std::uint16_t pdu_bitmap = 0;
  std::uint16_t rnti = 0;
  std::uint16_t pdu_index = 0;  // names the transport blocks in TX_DATA.request
  Bwp bwp;
  std::uint8_t nr_of_codewords = 1;
  std::array<CodewordFields, 2> codewords{};
  std::uint16_t n_id_pdsch = 0;
  std::uint8_t nr_of_layers = 1;
  std::uint8_t transmission_scheme = 0;  // 0: up to 8 layers (TS 38.214 5.1.1)
  std::uint8_t ref_point = 0;            // 0: CRB 0, 1: the lowest block of CORESET 0
  DmrsFields dmrs;
  Allocation allocation;
  PdschPtrs ptrs;  // with pdsch_bitmap_ptrs
  TxPrecodingAndBeamforming precoding_and_beamforming;
  std::uint8_t power_control_offset_profile_nr = 8;     // 0..23: -8..15 dB over the CSI-RS
  std::uint8_t power_control_offset_ss_profile_nr = 1;  // 0..3: CSI-RS at -3, 0, 3, 6 dB over SSB
  PdschMaintenance maintenance;
};

// CSI-RS PDU.
struct CsiRsPdu {
  std::uint16_t csi_rs_pdu_index = 0;
  std::uint8_t subcarrier_spacing = 1;
  std::uint8_t cyclic_prefix = 0;
  std::uint16_t start_rb = 0;  // CRB
  std::uint16_t nr_of_rbs = 0;
  std::uint8_t csi_type = 1;  // 0: TRS, 1: NZP, 2: ZP
  std::uint8_t row = 1;       // of TS 38.211 table 7.4.1.5.3-1
  std::uint16_t freq_domain = 0;
  std::uint8_t symb_l0 = 0;
  std::uint8_t symb_l1 = 0;
  std::uint8_t cdm_type = 0;      // 0 none, 1 fd-CDM2, 2 cdm4-FD2-TD2, 3 cdm8-FD2-TD4
  std::uint8_t freq_density = 0;  // 0: one half, even blocks; 1: odd ones; 2: one; 3: three
  std::uint16_t scramb_id = 0;
};

// SSB PDU.
struct SsbPdu {
  std::uint16_t ssb_pdu_index = 0;
  std::uint16_t phys_cell_id = 0;
  std::uint8_t ssb_block_index = 0;
  std::uint8_t ssb_subcarrier_offset = 0;  // k_SSB
  std::uint16_t ssb_offset_point_a = 0;    // blocks of 15 kHz
  std::uint8_t ssb_case = 2;               // 0 A, 1 B, 2 C (TS 38.213 4.1)
  std::uint8_t subcarrier_spacing = 1;
  std::uint8_t l_max = 8;
};

// PUSCH PDU.
inline constexpr std::uint16_t pusch_bitmap_data = 1 << 0;
inline constexpr std::uint16_t pusch_bitmap_uci = 1 << 1;
inline constexpr std::uint16_t pusch_bitmap_ptrs = 1 << 2;
inline constexpr std::uint16_t pusch_bitmap_dfts_ofdm = 1 << 3;

struct PuschData {
  std::uint8_t rv_index = 0;
  std::uint8_t harq_process_id = 0;
  std::uint8_t new_data = 1;  // 1: first transmission of this transport block
  std::uint32_t tb_size = 0;  // bytes
  std::uint16_t num_cb = 0;   // of CBG retransmission
};
struct PuschUciFields {
  std::uint16_t harq_ack_bit_length = 0;
  std::uint16_t csi_part1_bit_length = 0;
  // 222.10.04 has flagCsiPart2, whose value 65535 leaves the size to what part 1 says; a size that
  // is known beforehand stands here as in 222.10.02.
  std::uint16_t csi_part2_bit_length = 0;
  std::uint8_t alpha_scaling = 3;         // 0: 0.5, 1: 0.65, 2: 0.8, 3: 1
  std::uint8_t beta_offset_harq_ack = 0;  // indices of TS 38.213 tables 9.3-1, 9.3-2
  std::uint8_t beta_offset_csi1 = 0;
  std::uint8_t beta_offset_csi2 = 0;
};
struct PuschPtrsPort {
  std::uint16_t port_index = 0;
  std::uint8_t dmrs_port = 0;
  std::uint8_t re_offset = 0;
};
struct PuschPtrs {
  std::uint8_t num_ports = 1;
  std::array<PuschPtrsPort, 2> ports{};
  std::uint8_t time_density = 0;   // 0: 1, 1: 2, 2: 4
  std::uint8_t freq_density = 0;   // 0: 2, 1: 4
  std::uint8_t ul_ptrs_power = 0;  // 0..3: 0, 3, 4.77, 6 dB
};
struct PuschDftsOfdm {
  std::uint8_t low_papr_group_number = 0;  // u of slot and identity; see pdu_check.h
  std::uint16_t low_papr_sequence_number = 0;
  std::uint8_t ul_ptrs_sample_density = 0;                    // 0: 2, 1: 4, 2: 8 groups
  std::uint8_t ul_ptrs_time_density_transform_precoding = 0;  // samples of a group: 0: 2, 1: 4
};
struct PuschMaintenance {
  std::uint8_t group_or_sequence_hopping = 0;  // 0 none, 1 group, 2 sequence
  std::uint16_t pusch_second_hop_prb = 0;
  std::uint8_t ldpc_base_graph = 0;
  std::uint32_t tb_size_lbrm_bytes = 0;  // 0: no limit
};

struct PuschPdu {
  std::uint16_t pdu_bitmap = pusch_bitmap_data;
  std::uint16_t rnti = 0;
  std::uint32_t handle = 0;  // comes back in the indications
  Bwp bwp;
  std::uint16_t target_code_rate = 0;
  std::uint8_t qam_mod_order = 2;
  std::uint8_t mcs_index = 0;
  std::uint8_t mcs_table = 0;  // 0: qam64, 1: qam256, 2: qam64LowSE; 3, 4: with transform precoding
  std::uint8_t transform_precoding = 1;  // 0: enabled, 1: disabled (as RRC counts)
  std::uint16_t n_id_pusch = 0;
  std::uint8_t nr_of_layers = 1;
  DmrsFields dmrs;
  std::uint16_t pusch_dmrs_identity = 0;  // n_ID^RS, with transform precoding
  Allocation allocation;
  std::uint8_t intra_slot_frequency_hopping = 0;
  std::uint16_t tx_direct_current_location = 3300;
  std::uint8_t uplink_frequency_shift_7p5khz = 0;
  PuschData data;      // with pusch_bitmap_data
  PuschUciFields uci;  // with pusch_bitmap_uci
  PuschPtrs ptrs;      // with pusch_bitmap_ptrs
  PuschDftsOfdm dfts_ofdm;
  PuschMaintenance maintenance;
};

// 3.4.2 DL_TTI.request.
struct DlTtiRequest {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_pdus = 0;
  std::array<PdschPdu, pdus_per_slot_max> pdus;
  int n_ssbs = 0;
  std::array<SsbPdu, ssb_pdus_max> ssbs;
  int n_csi_rs = 0;
  std::array<CsiRsPdu, csi_rs_pdus_max> csi_rs;
};

// 3.4.3 UL_TTI.request. The PDUs of a group share their resources (uplink MU-MIMO); one that no
// group names is alone.
struct UlTtiRequest {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_pdus = 0;
  std::array<PuschPdu, pdus_per_slot_max> pdus;
  int n_groups = 0;
  struct Group {
    std::uint8_t n_ue = 0;
    std::array<std::uint8_t, ues_per_group_max> pdu_idx{};
  };
  std::array<Group, groups_per_slot_max> groups{};
};

// 3.4.6 TX_DATA.request. The bytes belong to the sender until the slot's end; of two codewords one
// behind the other.
struct TxDataRequest {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_pdus = 0;
  struct Pdu {
    std::uint16_t pdu_index = 0;
    std::array<View<const std::uint8_t, 1>, 2> data;  // by codeword (TLVs)
  };
  std::array<Pdu, pdus_per_slot_max> pdus;
};

// What every uplink indication says of the channel.
struct UplinkMeasurement {
  float ul_sinr_db = 0;                      // SCF: int16 in 0.002 dB
  float timing_advance_offset_ns = 0;        // SCF: int16 in ns
  std::uint16_t timing_advance_offset = 31;  // T_A of TS 38.213 4.2, 0..63; 31: none to change
  float rssi_dbfs = 0;                       // of a resource element and antenna; SCF: 0.1 dB
  float rsrp_dbfs = 0;                       // the same of one layer's DM-RS; SCF: 0.1 dB
};

// 3.4.8 CRC.indication.
struct CrcIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_crcs = 0;
  struct Crc : UplinkMeasurement {
    std::uint32_t handle = 0;
    std::uint16_t rnti = 0;
    std::uint8_t harq_id = 0;
    std::uint8_t tb_crc_status = 0;  // 0 pass, 1 fail
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

// 3.4.9 UCI.indication, PDU of UCI on PUSCH.
enum class UciDetection : std::uint8_t {  // detection status
  crc_pass = 1,
  crc_failure = 2,
  dtx = 3,
  no_dtx = 4,
};
struct UciPart {
  std::uint16_t bit_len = 0;  // 0: not there
  UciDetection detection = UciDetection::dtx;
  std::array<std::uint8_t, uci_bytes_max> payload{};  // first bit: highest of byte 0
};
struct PuschUciIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_ucis = 0;
  struct Uci : UplinkMeasurement {
    std::uint32_t handle = 0;
    std::uint16_t rnti = 0;
    UciPart harq, csi_part1, csi_part2;
  };
  std::array<Uci, pdus_per_slot_max> ucis;
};

// UCI.indication as it stands in for PUCCH until that exists: HARQ-ACK and a measured downlink
// SINR, handed over inside the process.
struct UciIndication {
  std::uint16_t sfn = 0;
  std::uint16_t slot = 0;
  int n_ucis = 0;
  struct Uci {
    std::uint16_t rnti = 0;
    std::uint8_t harq_id = 0;
    std::uint8_t harq_value = 0;  // 1 ACK, 0 NACK; bit q: codeword q
    float dl_sinr_db = 0;
  };
  std::array<Uci, pdus_per_slot_max> ucis;
};

// 3.3.6.1 ERROR.indication, and what it leaves out: of which PDU.
inline constexpr std::uint8_t message_dl_tti_request = 0x80;
inline constexpr std::uint8_t message_ul_tti_request = 0x81;
inline constexpr std::uint8_t message_tx_data_request = 0x84;

}  // namespace noroshi::fapi
