#include "site/slot_data.h"

#include <cassert>
#include <cstring>

namespace noroshi::site {

std::size_t slot_payload_bytes(const nr::Carrier& carrier, int layers) {
  // No transport block is longer than its resource elements at 8 bits a layer; the sizes of
  // TS 38.214 5.1.3.2 round, by less than 1024 bytes a block.
  return static_cast<std::size_t>(carrier.subcarriers()) * nr::symbols_per_slot *
             static_cast<std::size_t>(layers) +
         fapi::pdus_per_slot_max * std::size_t{1024};
}

void PayloadStore::add(std::uint16_t rnti, int harq_id, int codeword,
                       View<const std::uint8_t, 1> bytes) {
  assert(count_ < 2 * fapi::pdus_per_slot_max && used_ + bytes.size() <= bytes_.size());
  items_[count_++] = {rnti, harq_id, codeword, used_, bytes.size()};
  std::memcpy(bytes_.data() + used_, bytes.data(), bytes.size());
  used_ += bytes.size();
}

View<const std::uint8_t, 1> PayloadStore::find(std::uint16_t rnti, int harq_id,
                                               int codeword) const {
  for (int i = 0; i < count_; ++i) {
    const Item& item = items_[i];
    if (item.rnti == rnti && item.harq_id == harq_id && item.codeword == codeword)
      return {bytes_.data() + item.offset, item.bytes};
  }
  return {};
}

}  // namespace noroshi::site
