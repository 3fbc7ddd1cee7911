#include <algorithm>
#include <cassert>

#include "fec/rate_match/rate_match.h"
#include "fec/rate_match/stretches.h"

namespace noroshi::fec {

int rate_match_start(int base_graph, int lifting_size, int buffer_bits, int rv) {
  assert(rv >= 0 && rv < 4 && (base_graph == 1 || base_graph == 2));
  constexpr int columns[2][4] = {{0, 17, 33, 56}, {0, 13, 25, 43}};
  const int all_columns = base_graph == 1 ? 66 : 50;
  return columns[base_graph - 1][rv] * buffer_bits / (all_columns * lifting_size) * lifting_size;
}

int rate_match_end(const RateMatch& match) {
  const Selection selection(match);
  int end = 0;
  // One turn of the buffer reaches all that more turns reach.
  for_stretches(selection, 0, std::min(match.coded_bits, selection.kept),
                [&](int position, int, int count) { end = std::max(end, position + count); });
  return end;
}

namespace ref {
namespace {

bool is_filler(const RateMatch& match, int position) {
  return position >= match.filler_start && position < match.filler_start + match.filler_bits;
}

// Calls visit(k, position in d) for e(0) ... e(E - 1) (TS 38.212 5.4.2.1).
template <class Visit>
void select(const RateMatch& match, Visit visit) {
  assert(match.start >= 0 && match.start < match.buffer_bits);
  assert(match.filler_start > 0 || match.filler_bits < match.buffer_bits);
  int k = 0;
  for (int j = 0; k < match.coded_bits; ++j) {
    const int position = (match.start + j) % match.buffer_bits;
    if (!is_filler(match, position)) visit(k++, position);
  }
}

// Where e(k) lies in f (TS 38.212 5.4.2.2).
std::size_t interleaved(const RateMatch& match, int k) {
  const int symbols = match.coded_bits / match.bits_per_symbol;
  return static_cast<std::size_t>(k / symbols + k % symbols * match.bits_per_symbol);
}

}  // namespace

void rate_match(const RateMatch& match, View<const std::uint8_t, 1> codeword,
                View<std::uint8_t, 1> out, std::size_t out_bit) {
  assert(match.coded_bits % match.bits_per_symbol == 0);
  select(match, [&](int k, int position) {
    set_bit(out.data(), out_bit + interleaved(match, k),
            bit_at(codeword.data(), static_cast<std::size_t>(position)));
  });
}

int rate_recover(const RateMatch& match, View<const SoftBit, 1> soft_bits, View<SoftBit, 1> buffer,
                 int valid) {
  assert(match.coded_bits % match.bits_per_symbol == 0);
  int end = valid;
  select(match, [&](int, int position) { end = std::max(end, position + 1); });
  std::fill(buffer.data() + valid, buffer.data() + end, SoftBit{0});
  select(match, [&](int k, int position) {
    SoftBit& sum = buffer[static_cast<std::size_t>(position)];
    const int wide = sum + soft_bits[interleaved(match, k)];
    sum = static_cast<SoftBit>(std::clamp(wide, -soft_bit_max, soft_bit_max));
  });
  return end;
}

}  // namespace ref
}  // namespace noroshi::fec
