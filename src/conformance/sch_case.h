#pragma once

// The shared channels' coding side of a case, in the parameter names of the MATLAB 5G Toolbox.

#include <string_view>

#include "conformance/outcome.h"
#include "nr/shared_channel.h"

namespace noroshi::conformance {

// Allocation, modulation, code rate, DM-RS and TBS (from the transport block's length, 0 where
// EnableULSCH is 0) of a pdsch, ulsch or ulsch_uci case. Identities stay 0. Errors name the
// parameter.
Result<nr::SharedChannel> matlab_shared_channel(const VectorCase& c);

// Encodes the transport block once for each row of the expected codewords, with the redundancy
// version that rv_out has for the row's slot, and compares.
Outcome check_codewords(const VectorCase& c, const nr::SharedChannel& channel,
                        std::string_view tb_name, std::string_view codeword_name);

}  // namespace noroshi::conformance
