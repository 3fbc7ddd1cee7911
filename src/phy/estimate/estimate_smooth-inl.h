// Smoothing of one stretch of pilots, for the current Highway target: out[0], and of a pair out[1],
// the port with the signs c(m) = 1, -1, ... With E and O the sums over even and odd pilots of a
// window that starts at pilot s, the ports are E + O and c(s) (E - O). On pilot m of that window
// they sum up to 2 E or 2 O, whichever the pilot itself is in: what they leave of it is known
// before they are stored.

#if defined(NOROSHI_PHY_ESTIMATE_SMOOTH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef NOROSHI_PHY_ESTIMATE_SMOOTH_INL_H_
#undef NOROSHI_PHY_ESTIMATE_SMOOTH_INL_H_
#else
#define NOROSHI_PHY_ESTIMATE_SMOOTH_INL_H_
#endif

#include <hwy/highway.h>
#include "phy/estimate/estimate_rows-inl.h"

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

// One stretch of one antenna and comb.
struct SmoothJob {
  const Smoother::Filter& filter;
  const Comb& comb;
  const Stretch& stretch;
  Planes z;        // pilots from `first` on
  int first = 0;   // pilot of the run: the first that a window of the stretch has
  Planes out[2];   // subcarriers of the stretch
  float* left[2];  // z - h0 - c h1 of the stretch's pilots, re and im; null: not wanted

  int pilots() const { return comb.kind.pilots_per_rb() * stretch.run.count; }
  int begin() const { return comb.kind.pilots_per_rb() * stretch.first; }
  int end() const { return comb.kind.pilots_per_rb() * (stretch.first + stretch.count); }
  // The pilots that windows of the stretch have, from `first` on.
  static int window_begin(const Smoother::Filter& filter, const Comb& comb, const Stretch& s) {
    return smoother_row(comb.kind, filter.taps, s.run.count, comb.delta, 12 * s.first).window_start;
  }
  static int window_end(const Smoother::Filter& filter, const Comb& comb, const Stretch& s) {
    const int last = 12 * (s.first + s.count) - 1;
    return smoother_row(comb.kind, filter.taps, s.run.count, comb.delta, last).window_start +
           filter.taps;
  }
};

// sum |z(m) - h0(m) - c(m) h1(m)|^2 over pilots m = from, ..., from + count - 1 of the run, from
// outputs that have been written. h: of the first of them on.
template <bool pair>
HWY_INLINE void add_residuals(const SmoothJob& job, int part, int from, std::size_t count,
                              const float* const* h, V& sum) {
  const D d;
  float on[2][Local::pilots_max + Local::padding];
  for (int i = 0; i < (pair ? 2 : 1); ++i) pick_pilots(job.comb, h[i], count, on[i]);
  const float* const z = (part == 0 ? job.z.re : job.z.im) + (from - job.first);
  float* const left_out = job.left[part];
  const Alternating sign(from % 2 == 0 ? 1.0f : -1.0f, from % 2 == 0 ? -1.0f : 1.0f);
  for (std::size_t m = 0; m < count; m += lane_count()) {
    V left = hn::Sub(hn::LoadU(d, z + m), hn::LoadU(d, on[0] + m));
    if constexpr (pair) left = hn::NegMulAdd(sign.at(m), hn::LoadU(d, on[1] + m), left);
    if (m + lane_count() > count) left = hn::IfThenElseZero(hn::FirstN(d, count - m), left);
    sum = hn::MulAdd(left, left, sum);
    if (left_out != nullptr) store_first(left, count - m, left_out + (from - job.begin()) + m);
  }
}

// Rows [row, row + rows) of one window, which starts at pilot `start`, to subcarrier `to` of the
// stretch.
template <bool pair>
HWY_INLINE void smooth_window(const SmoothJob& job, int row, int rows, int start, int to, V& sum) {
  const D d;
  const std::size_t count = static_cast<std::size_t>(rows);
  const float* weight = job.filter.weight.data() + row;
  const CombKind kind = job.comb.kind;
  // Of a pair the windows start at even pilots.
  for (int part = 0; part < 2; ++part) {
    const float* const x = (part == 0 ? job.z.re : job.z.im) + (start - job.first);
    float* out[2] = {(part == 0 ? job.out[0].re : job.out[0].im) + to, nullptr};
    if constexpr (pair) out[1] = (part == 0 ? job.out[1].re : job.out[1].im) + to;
    for (std::size_t k = 0; k < count; k += lane_count()) {
      V even = hn::Zero(d), odd = hn::Zero(d);
      for (int j = 0; j < job.filter.taps; j += 2) {  // a block has an even number of pilots
        const float* w = weight + static_cast<std::size_t>(j) * Smoother::row_stride + k;
        even = hn::MulAdd(hn::LoadU(d, w), hn::Set(d, x[j]), even);
        odd = hn::MulAdd(hn::LoadU(d, w + Smoother::row_stride), hn::Set(d, x[j + 1]), odd);
      }
      store_first(hn::Add(even, odd), count - k, out[0] + k);
      if constexpr (pair) store_first(hn::Sub(even, odd), count - k, out[1] + k);
    }
    const int per_rb = kind.pilots_per_rb();
    const int from = job.begin() + to * per_rb / 12;
    add_residuals<pair>(job, part, from, count * static_cast<std::size_t>(per_rb) / 12, out, sum);
  }
}

// Lanes of a and b in turn, the first `count` of each.
HWY_INLINE void store_both(V a, V b, std::size_t count, float* to) {
  if (count >= lane_count()) return hn::StoreInterleaved2(a, b, D(), to);
  alignas(64) float lanes[32];
  hn::StoreInterleaved2(a, b, D(), lanes);
  std::memcpy(to, lanes, 2 * count * sizeof(float));
}

// Type 1, the middle rows: for each pilot from q on a window, whose middle it is, and two outputs.
template <bool pair, int delta>
struct Middle {
  static constexpr std::size_t stride = Smoother::row_stride, taps = Smoother::taps_max;
  static constexpr std::size_t centre = taps / 2 - (delta == 0 ? 1 : 0);

  HWY_INLINE Middle(const SmoothJob& of, int q)
      : job(of),
        weight(of.filter.weight.data() + of.comb.kind.lead() - delta + 2 * centre),
        at(static_cast<std::size_t>(q - of.begin())),
        z(of.z + static_cast<std::size_t>(q - static_cast<int>(centre) - of.first)),
        sign((q - static_cast<int>(centre)) % 2 == 0 ? 1.0f : -1.0f,
             (q - static_cast<int>(centre)) % 2 == 0 ? -1.0f : 1.0f) {}

  // So many vectors of pilots from q + m on, the last of which has `rest` of them, with one reading
  // of the weights.
  template <std::size_t n>
  HWY_INLINE void step(std::size_t m, std::size_t rest, V& sum) const {
    const D d;
    const std::size_t lanes = lane_count();
    V even[2 * n][2], odd[2 * n][2];  // [vector, part][output]
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < 2 * n; ++i) {
      HWY_UNROLL(8)
      for (std::size_t o = 0; o < 2; ++o) even[i][o] = odd[i][o] = hn::Zero(d);
    }
    for (std::size_t j = 0; j < taps; j += 2) {
      const float* const w = weight + j * stride;
      const V u = hn::Set(d, w[0]), v = hn::Set(d, w[1]);
      const V p = hn::Set(d, w[stride]), o = hn::Set(d, w[stride + 1]);
      HWY_UNROLL(8)
      for (std::size_t i = 0; i < 2 * n; ++i) {
        const float* const from = (i % 2 == 0 ? z.re : z.im) + m + i / 2 * lanes + j;
        const V x = loaded(from), y = loaded(from + 1);
        even[i][0] = hn::MulAdd(u, x, even[i][0]), even[i][1] = hn::MulAdd(v, x, even[i][1]);
        odd[i][0] = hn::MulAdd(p, y, odd[i][0]), odd[i][1] = hn::MulAdd(o, y, odd[i][1]);
      }
    }
    HWY_UNROLL(8)
    for (std::size_t i = 0; i < 2 * n; ++i)
      finish(m + i / 2 * lanes, i / 2 + 1 == n ? rest : lanes, i % 2, even[i], odd[i], sum);
  }

  HWY_INLINE void finish(std::size_t m, std::size_t rest, std::size_t part, const V* even,
                         const V* odd, V& sum) const {
    const D d;
    const V h[2] = {hn::Add(even[0], odd[0]), hn::Add(even[1], odd[1])};
    const std::size_t k = 2 * (at + m);
    store_both(h[0], h[1], rest, (part == 0 ? job.out[0].re : job.out[0].im) + k);
    V left = hn::LoadU(d, (part == 0 ? z.re : z.im) + m + centre);
    if constexpr (pair) {
      const V c = sign.at(m);
      store_both(hn::Mul(c, hn::Sub(even[0], odd[0])), hn::Mul(c, hn::Sub(even[1], odd[1])), rest,
                 (part == 0 ? job.out[1].re : job.out[1].im) + k);
      left = hn::NegMulAdd(hn::Set(d, 2.0f), delta == 0 ? odd[0] : even[1], left);
    } else {
      left = hn::Sub(left, h[delta]);
    }
    if (rest < lane_count()) left = hn::IfThenElseZero(hn::FirstN(d, rest), left);
    sum = hn::MulAdd(left, left, sum);
    if (job.left[part] != nullptr) store_first(left, rest, job.left[part] + at + m);
  }

  const SmoothJob& job;
  const float* weight;
  std::size_t at;  // q, of the stretch's pilots
  Planes z;        // from the first window's first pilot on
  Alternating sign;
};

template <bool pair, int delta>
HWY_INLINE void smooth_middle(const SmoothJob& job, int q, std::size_t count, V& sum) {
  // As many sums at once as registers hold.
  constexpr std::size_t together = hn::MaxLanes(D()) == 16 ? 2 : 1;
  const Middle<pair, delta> middle(job, q);
  const std::size_t lanes = lane_count();
  std::size_t m = 0;
  for (; m + together * lanes <= count; m += together * lanes)
    middle.template step<together>(m, lanes, sum);
  for (; m < count; m += lanes) middle.template step<1>(m, std::min(lanes, count - m), sum);
}

// Returns the sum of what is left on the pilots.
template <bool pair>
HWY_INLINE double smooth_stretch(const SmoothJob& job) {
  const CombKind kind = job.comb.kind;
  const int taps = job.filter.taps, per_rb = kind.pilots_per_rb(), delta = job.comb.delta;
  const int first_row = kind.lead() - delta;
  const Stretch& s = job.stretch;
  V sum = hn::Zero(D());
  if (per_rb * s.run.count == taps) {
    smooth_window<pair>(job, first_row, 12 * s.run.count, 0, 0, sum);
    return sum_of(sum);
  }
  if (kind.type == 2) {
    for (int rb = s.first; rb < s.first + s.count; ++rb) {
      const SmootherRow row = smoother_row(kind, taps, s.run.count, delta, 12 * rb);
      smooth_window<pair>(job, row.p + kind.lead(), 12, row.window_start, 12 * (rb - s.first), sum);
    }
    return sum_of(sum);
  }
  // The first window serves the pilots before its middle one too, the last one those behind.
  const int centre = taps / 2 - (delta == 0 ? 1 : 0);
  const int begin = job.begin(), end = job.end();
  const int last = job.pilots() - taps;  // where the last window starts, at an even pilot
  const int middle = std::clamp(centre, begin, end);
  const int behind = std::clamp(centre + last + 1, begin, end);
  if (begin < middle)
    smooth_window<pair>(job, first_row + 2 * begin, 2 * (middle - begin), 0, 0, sum);
  if (middle < behind) {
    const std::size_t count = static_cast<std::size_t>(behind - middle);
    delta == 0 ? smooth_middle<pair, 0>(job, middle, count, sum)
               : smooth_middle<pair, 1>(job, middle, count, sum);
  }
  if (behind < end)
    smooth_window<pair>(job, first_row + 2 * (behind - last), 2 * (end - behind), last,
                        2 * (behind - begin), sum);
  return sum_of(sum);
}

}  // namespace
}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
