// The update of one row of the LDPC decoder, for the current Highway target: what its bits' columns
// tell it, and its answers.

#if defined(NOROSHI_FEC_LDPC_ROW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_FEC_LDPC_ROW_INL_H_
#undef NOROSHI_FEC_LDPC_ROW_INL_H_
#else
#define NOROSHI_FEC_LDPC_ROW_INL_H_
#endif

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "fec/ldpc/ldpc_bytes-inl.h"
#include "fec/ldpc/ldpc_graph.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::fec {
namespace HWY_NAMESPACE {

// What one row's update walks through.
struct RowWalk {
  std::size_t vectors;
  std::size_t wrap;  // zc: where a column's first vector is repeated
  const Scaling& scaling;
  const std::uint16_t* read;
  const std::uint16_t* write;
  const std::int8_t* periodic;
  std::int8_t* posterior;
  std::int8_t* message;
  const std::int8_t* extension_llr;
  std::int8_t* extension_posterior;
};

// What is compiled apart.
//   first: the messages are all zero and not yet stored.
//   exact: what is stored as the message is by how much the posterior changed, so that a posterior
//   at its limit never loses what it did not get. Without, columns of high degree drift towards
//   zero: an error floor from about ten rows on. Fewer rows need not pay for it.
//   narrow: a column is one vector, rotated in registers.
template <bool first_, bool exact_, bool narrow_>
struct Kind {
  static constexpr bool first = first_;
  static constexpr bool exact = exact_;
  static constexpr bool narrow = narrow_;
};

template <int degree, bool extension, class Kind>
HWY_NOINLINE void update_row(const RowWalk& walk) {
  const std::uint16_t* HWY_RESTRICT read = walk.read;
  const std::uint16_t* HWY_RESTRICT write = walk.write;
  std::int8_t* posterior = walk.posterior;
  std::int8_t* message = walk.message;
  const std::size_t end = Kind::narrow ? lanes : walk.vectors * lanes;
  for (std::size_t at = 0; at < end; at += lanes) {
    Bytes x[degree];
    Bytes min1 = set(ldpc_message_max);
    Bytes min2 = min1;
    Bytes sign = zero();
    Bytes channel = zero();
    if (extension) {
      channel = load(walk.extension_llr + at);
      min1 = smaller(min1, magnitude(channel));
      sign = channel;
    }
    NOROSHI_UNROLL
    for (int i = 0; i < degree; ++i) {
      x[i] = Kind::narrow
                 ? permuted(load(posterior + write[i]), load_unaligned(walk.periodic + read[i]))
                 : load_unaligned(posterior + read[i]);
      if (!Kind::first) {
        x[i] = sub_saturated(x[i], load(message + static_cast<std::size_t>(i) * lanes));
      }
      const Bytes size = magnitude(x[i]);
      min2 = smaller(min2, larger(min1, size));
      min1 = smaller(min1, size);
      sign = exclusive_or(sign, x[i]);
    }
    const Bytes scaled1 = scaled_magnitude(min1, walk.scaling);
    const Bytes scaled2 = scaled_magnitude(min2, walk.scaling);
    const Bytes answer1 = if_negative(sign, negated(scaled1), scaled1);
    const Bytes answer2 = if_negative(sign, negated(scaled2), scaled2);
    NOROSHI_UNROLL
    for (int i = 0; i < degree; ++i) {
      const Bytes answer = answer_to(x[i], min1, answer1, answer2);
      const Bytes sum = add_saturated(x[i], answer);
      store(Kind::exact ? subtracted(sum, x[i]) : answer,
            message + static_cast<std::size_t>(i) * lanes);
      store(sum, posterior + write[i] + at);
    }
    if (extension) {
      store(add_saturated(channel, answer_to(channel, min1, answer1, answer2)),
            walk.extension_posterior + at);
    }
    read += degree;
    message += static_cast<std::size_t>(degree) * lanes;
  }
  if (Kind::narrow) return;
  for (int i = 0; i < degree; ++i) {
    std::int8_t* column = posterior + write[i];
    store_unaligned(load(column), column + walk.wrap);
  }
}

template <class Kind>
void update_row(int degree, bool extension, const RowWalk& walk) {
  if (extension) {
    switch (degree) {
      case 2:
        return update_row<2, true, Kind>(walk);
      case 3:
        return update_row<3, true, Kind>(walk);
      case 4:
        return update_row<4, true, Kind>(walk);
      case 5:
        return update_row<5, true, Kind>(walk);
      case 6:
        return update_row<6, true, Kind>(walk);
      case 7:
        return update_row<7, true, Kind>(walk);
      case 8:
        return update_row<8, true, Kind>(walk);
      case 9:
        return update_row<9, true, Kind>(walk);
    }
  } else {
    switch (degree) {
      case 8:
        return update_row<8, false, Kind>(walk);
      case 10:
        return update_row<10, false, Kind>(walk);
      case 19:
        return update_row<19, false, Kind>(walk);
    }
  }
  assert(false);
}

}  // namespace HWY_NAMESPACE
}  // namespace noroshi::fec
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
