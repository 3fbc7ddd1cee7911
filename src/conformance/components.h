#pragma once

// One check a component; the names are those of the folders.

#include <string_view>

#include "conformance/outcome.h"

namespace noroshi::conformance {

struct Check {
  std::string_view component;
  Outcome (*run)(const VectorCase& vector_case);
};

// coding_checks.cpp: TS 38.212 5, sequences.
Outcome check_crc(const VectorCase& c);
Outcome check_prbs(const VectorCase& c);
Outcome check_ldpc_segment(const VectorCase& c);
Outcome check_ldpc_encode(const VectorCase& c);
Outcome check_ldpc_rate_match(const VectorCase& c);
Outcome check_ldpc_chain(const VectorCase& c);

// polar_checks.cpp: TS 38.212 5.3.1, 5.4.1, 7.1, 7.3.
Outcome check_polar_encode(const VectorCase& c);
Outcome check_polar_rate_match(const VectorCase& c);
Outcome check_polar_rate_recover(const VectorCase& c);
Outcome check_dci_encode(const VectorCase& c);
Outcome check_mib(const VectorCase& c);

// sch_checks.cpp: TS 38.212 6.2.
Outcome check_ulsch(const VectorCase& c);
Outcome check_sch_scrambled(const VectorCase& c);

// uci_checks.cpp: TS 38.212 5.3.3, 6.3.
Outcome check_small_block(const VectorCase& c);
Outcome check_polar_segment(const VectorCase& c);
Outcome check_polar_uci(const VectorCase& c);
Outcome check_ulsch_uci(const VectorCase& c);

// signal_checks.cpp: TS 38.211.
Outcome check_modulation(const VectorCase& c);
Outcome check_demodulation(const VectorCase& c);
Outcome check_low_papr(const VectorCase& c);
Outcome check_ofdm(const VectorCase& c);

// downlink_checks.cpp, uplink_checks.cpp: whole physical channels.
Outcome check_pdsch(const VectorCase& c);
Outcome check_dlsch(const VectorCase& c);
Outcome check_dl_mixed(const VectorCase& c);
Outcome check_test_model(const VectorCase& c);
Outcome check_pusch(const VectorCase& c);
Outcome check_pusch_dmrs(const VectorCase& c);
Outcome check_pusch_precoding(const VectorCase& c);

inline constexpr Check checks[] = {
    {"crc", check_crc},
    {"prbs", check_prbs},
    {"modulation", check_modulation},
    {"demodulation", check_demodulation},
    {"low_papr", check_low_papr},
    {"ldpc_segment", check_ldpc_segment},
    {"ldpc_encode", check_ldpc_encode},
    {"ldpc_rate_match", check_ldpc_rate_match},
    {"ldpc_chain", check_ldpc_chain},
    {"polar_encode", check_polar_encode},
    {"polar_rate_match", check_polar_rate_match},
    {"polar_rate_recover", check_polar_rate_recover},
    {"dci_encode", check_dci_encode},
    {"mib", check_mib},
    {"sch_scrambled", check_sch_scrambled},
    {"ulsch", check_ulsch},
    {"small_block", check_small_block},
    {"polar_segment", check_polar_segment},
    {"polar_uci", check_polar_uci},
    {"ulsch_uci", check_ulsch_uci},
    {"ofdm", check_ofdm},
    {"pdsch", check_pdsch},
    {"dlsch", check_dlsch},
    {"dl_mixed", check_dl_mixed},
    {"test_model", check_test_model},
    {"pusch", check_pusch},
    {"pusch_dmrs", check_pusch_dmrs},
    {"pusch_precoding", check_pusch_precoding},
};

}  // namespace noroshi::conformance
