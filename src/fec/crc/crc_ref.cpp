#include "fec/crc/crc.h"

namespace noroshi::fec::ref {

std::uint32_t crc(Crc crc, View<const std::uint8_t, 1> packed, std::size_t bits) {
  assert(bytes_for_bits(bits) <= packed.size());
  const int length = crc_bits(crc);
  const std::uint32_t polynomial = crc_polynomial(crc);
  const std::uint32_t all = (1u << length) - 1;
  std::uint32_t remainder = 0;
  for (std::size_t i = 0; i < bits; ++i) {
    const bool carry = (((remainder >> (length - 1)) & 1) != 0) != bit_at(packed.data(), i);
    remainder = ((remainder << 1) & all) ^ (carry ? polynomial : 0);
  }
  return remainder;
}

std::uint32_t crc_of_parts(Crc crc, View<const std::uint32_t, 1> parities, std::size_t part_bits) {
  const std::uint32_t top = 1u << (crc_bits(crc) - 1);
  std::uint32_t p = 0;
  for (const std::uint32_t part : parities) {
    for (std::size_t i = 0; i < part_bits; ++i)
      p = ((p & (top - 1)) << 1) ^ ((p & top) != 0 ? crc_polynomial(crc) : 0);
    p ^= part;
  }
  return p;
}

}  // namespace noroshi::fec::ref
