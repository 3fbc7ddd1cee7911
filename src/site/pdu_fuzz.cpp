// Any PDU is either refused with field and value or carried out without a fault: fields of a PDSCH
// or PUSCH PDU that the cell knows, or of an SSB or CSI-RS that a PDSCH goes around, are
// overwritten byte by byte with what the input says.
//
//   kind, then (offset low, offset high, value) again and again; offsets behind the PDU end it

#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "base/prng.h"
#include "site/cell.h"
#include "site/pdu_test_samples.h"

namespace {

using namespace noroshi;
using namespace noroshi::site;

struct Cells {
  CellLimits limits = sample_cell();
  CellDownlink downlink{limits, PrecodingTable::make(sample_config()).value()};
  CellUplink uplink{limits, {17, 18}, {.ldpc_iterations_max = 2, .equalizer = {}}};
  std::vector<NamedPdsch> pdschs = sample_pdschs();
  std::vector<NamedPusch> puschs = sample_puschs();
  std::vector<cf32> sent, received;
  std::vector<std::uint8_t> bytes;
  fapi::DlTtiRequest dl_tti;
  fapi::TxDataRequest tx_data;
  fapi::UlTtiRequest ul_tti;
  UplinkReport report;

  Cells() {
    const auto samples = static_cast<std::size_t>(nr::slot_samples_max(limits.carrier));
    sent.resize(samples * static_cast<std::size_t>(limits.transmit_antennas));
    received.resize(samples * static_cast<std::size_t>(limits.receive_antennas));
    bytes.resize(2 * fapi::tb_bytes_max);
    report.bytes.resize(slot_payload_bytes(limits.carrier, 4));
    Prng prng(1);
    for (cf32& x : received)
      x = {static_cast<float>(prng.normal()), static_cast<float>(prng.normal())};
  }
};

template <class Pdu>
Pdu bent(const Pdu& from, const std::uint8_t* data, std::size_t size) {
  static_assert(std::is_trivially_copyable_v<Pdu>);
  Pdu pdu = from;
  for (std::size_t i = 0; i + 3 <= size; i += 3) {
    const std::size_t offset = data[i] + 256u * data[i + 1];
    if (offset >= sizeof pdu) break;
    std::memcpy(reinterpret_cast<char*>(&pdu) + offset, data + i + 2, 1);
  }
  return pdu;
}

void expect_words(const RefusedPdus& refused) {
  for (int i = 0; i < refused.count; ++i)
    if (words_of(refused.list[static_cast<std::size_t>(i)]).find("allowed: ") == std::string::npos)
      std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Cells cells;
  if (size < 1) return 0;
  const std::size_t kind = data[0] / 2;
  if (data[0] % 2 == 0) {
    const std::size_t which = kind % (cells.pdschs.size() + 2);
    // The last but two goes around SSB and CSI-RS.
    const std::size_t around = cells.pdschs.size() - 3;
    fapi::PdschPdu pdu = cells.pdschs[which < cells.pdschs.size() ? which : around].pdu;
    cells.dl_tti.n_ssbs = cells.dl_tti.n_csi_rs = 0;
    if (names_signals(pdu)) add_signals(cells.dl_tti);
    if (which == cells.pdschs.size()) {
      cells.dl_tti.ssbs[0] = bent(cells.dl_tti.ssbs[0], data + 1, size - 1);
    } else if (which > cells.pdschs.size()) {
      cells.dl_tti.csi_rs[1] = bent(cells.dl_tti.csi_rs[1], data + 1, size - 1);
    } else {
      pdu = bent(pdu, data + 1, size - 1);
    }
    cells.dl_tti.n_pdus = 2;
    cells.dl_tti.pdus[0] = pdu;
    cells.dl_tti.pdus[1] = plain_pdsch();
    cells.tx_data.n_pdus = 1;
    const View<const std::uint8_t, 1> all(cells.bytes.data(), cells.bytes.size());
    cells.tx_data.pdus[0].pdu_index = pdu.pdu_index;
    for (std::size_t q = 0; q < 2; ++q)
      cells.tx_data.pdus[0].data[q] =
          all.subview(0, std::min<std::size_t>(pdu.codewords[q].tb_size, all.size()));
    const auto antennas = static_cast<std::size_t>(cells.limits.transmit_antennas);
    cells.downlink.transmit(
        cells.dl_tti, cells.tx_data,
        View<cf32, 2>(cells.sent.data(), antennas, cells.sent.size() / antennas));
    expect_words(cells.downlink.refused());
    return 0;
  }
  cells.ul_tti.n_pdus = 2;
  cells.ul_tti.pdus[0] = bent(cells.puschs[kind % cells.puschs.size()].pdu, data + 1, size - 1);
  cells.ul_tti.pdus[1] = plain_pusch();
  cells.ul_tti.pdus[1].rnti = 18;
  cells.ul_tti.n_groups = kind % 3 == 0 ? 1 : 0;
  cells.ul_tti.groups[0] = {2, {1, 0}};
  const auto antennas = static_cast<std::size_t>(cells.limits.receive_antennas);
  cells.uplink.receive(
      cells.ul_tti,
      View<const cf32, 2>(cells.received.data(), antennas, cells.received.size() / antennas),
      cells.report);
  expect_words(cells.uplink.refused());
  return 0;
}
