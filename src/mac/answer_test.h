#pragma once

// A cell's answer to a grant, for tests of the MAC.

#include "mac/mac.h"

namespace noroshi::mac {

// Answers one grant at once.
inline void answer(Mac& mac, const SlotPlan& plan, const Grant& grant, bool ok, double sinr_db) {
  if (grant.uplink) {
    fapi::CrcIndication crc;
    crc.n_crcs = 1;
    crc.crcs[0].handle = plan.ul_tti.pdus[grant.pdu].handle;
    crc.crcs[0].rnti = grant.rnti;
    crc.crcs[0].harq_id = grant.harq_id;
    crc.crcs[0].tb_crc_status = ok ? 0 : 1;
    crc.crcs[0].ul_sinr_db = static_cast<float>(sinr_db);
    mac.on_crc(crc);
    return;
  }
  fapi::UciIndication uci;
  uci.sfn = plan.dl_tti.sfn;
  uci.slot = plan.dl_tti.slot;
  uci.n_ucis = 1;
  const int codewords = plan.dl_tti.pdus[static_cast<std::size_t>(grant.pdu)].nr_of_codewords;
  uci.ucis[0] = {grant.rnti, grant.harq_id,
                 static_cast<std::uint8_t>(ok ? (1 << codewords) - 1 : 0),
                 static_cast<float>(sinr_db)};
  mac.on_uci(uci);
}

}  // namespace noroshi::mac
