#include <cassert>
#include <cstring>

#include "nr/carrier.h"
#include "phy/equalize/equalize.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/equalize/equalize_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
#include "phy/equalize/elements-inl.h"

// Loops over layers have their vectors in registers once they are unrolled, which -O2 does not do.
#ifndef NOROSHI_UNROLL
#ifdef __clang__
#define NOROSHI_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NOROSHI_UNROLL _Pragma("GCC unroll 8")
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

constexpr std::size_t block_size = cpu::subcarrier_block;
inline std::size_t lane_count() { return hn::Lanes(D()); }

// 1 / x to the last bits but one, x > 0 and not beyond 1e30 either way: a division takes as long as
// sixteen of these operations.
HWY_INLINE V reciprocal(V x) {
  const D d;
  const V two = hn::Set(d, 2.0f);
  V r = hn::ApproximateReciprocal(x);
  r = hn::Mul(r, hn::NegMulAdd(x, r, two));
  return hn::Mul(r, hn::NegMulAdd(x, r, two));
}

template <int L>
struct Factors {
  V re[L][L], im[L][L];  // below the diagonal: of L^-1 in G = L D L^H
  V inverse[L];          // 1 / D
  V scale[L];            // 1 / b
  V inverse_noise[L];
};

// One plane of R^-1 for a vector of subcarriers. 16 of them lie in two resource blocks, and the
// border is at a multiple of 4, so a vector's do too.
class BlockPair {
 public:
  BlockPair(View<const float, 2> planes, std::size_t subcarrier)
      : planes_(planes),
        block_(subcarrier / nr::subcarriers_per_rb),
        first_(hn::FirstN(D(), nr::subcarriers_per_rb - subcarrier % nr::subcarriers_per_rb)) {}
  V at(int plane) const {
    const float* x = &planes_(plane, block_);
    return hn::IfThenElse(first_, hn::Set(D(), x[0]), hn::Set(D(), x[1]));
  }

 private:
  View<const float, 2> planes_;
  std::size_t block_;
  hn::Mask<D> first_;
};

// t = R^-1 h of one vector of subcarriers. Both: [antenna, layer, re / im], block_size apart.
template <int L>
HWY_INLINE void whiten(const BlockPair& inverse, const float* h, int antennas, float* t) {
  const D d;
  for (int a = 0; a < antennas; ++a, t += 2 * L * block_size) {
    V re[L], im[L];
    NOROSHI_UNROLL
    for (int i = 0; i < L; ++i) re[i] = im[i] = hn::Zero(d);
    for (int b = 0; b < antennas; ++b) {
      const int plane = b <= a ? a * a + 2 * b : b * b + 2 * a;
      const V u = inverse.at(plane);
      const V v = b == a  ? hn::Zero(d)
                  : b < a ? inverse.at(plane + 1)
                          : hn::Neg(inverse.at(plane + 1));
      const float* x = h + static_cast<std::size_t>(2 * L * b) * block_size;
      NOROSHI_UNROLL
      for (int i = 0; i < L; ++i) {
        const V p = hn::LoadU(d, x + static_cast<std::size_t>(2 * i) * block_size);
        const V q = hn::LoadU(d, x + static_cast<std::size_t>(2 * i + 1) * block_size);
        re[i] = hn::MulAdd(u, p, hn::NegMulAdd(v, q, re[i]));
        im[i] = hn::MulAdd(u, q, hn::MulAdd(v, p, im[i]));
      }
    }
    NOROSHI_UNROLL
    for (int i = 0; i < L; ++i) {
      hn::StoreU(re[i], d, t + static_cast<std::size_t>(2 * i) * block_size);
      hn::StoreU(im[i], d, t + static_cast<std::size_t>(2 * i + 1) * block_size);
    }
  }
}

// The Gram matrix h^H t of one vector of subcarriers, with `ridge` on its diagonal: below the
// diagonal sum_a conj(h_ai) t_aj. h, t: [antenna, layer, re / im], block_size apart.
template <int L>
HWY_INLINE void coloured_gram(const float* h, const float* t, int antennas, V ridge, V* diagonal,
                              V (*re)[L], V (*im)[L]) {
  const D d;
  NOROSHI_UNROLL
  for (int i = 0; i < L; ++i) {
    diagonal[i] = ridge;
    NOROSHI_UNROLL
    for (int j = 0; j < i; ++j) re[i][j] = im[i][j] = hn::Zero(d);
  }
  for (int a = 0; a < antennas; ++a, h += 2 * L * block_size, t += 2 * L * block_size) {
    V r[L], s[L];
    NOROSHI_UNROLL
    for (int i = 0; i < L; ++i) {
      const V p = hn::LoadU(d, h + static_cast<std::size_t>(2 * i) * block_size);
      const V q = hn::LoadU(d, h + static_cast<std::size_t>(2 * i + 1) * block_size);
      r[i] = hn::LoadU(d, t + static_cast<std::size_t>(2 * i) * block_size);
      s[i] = hn::LoadU(d, t + static_cast<std::size_t>(2 * i + 1) * block_size);
      diagonal[i] = hn::MulAdd(p, r[i], hn::MulAdd(q, s[i], diagonal[i]));
      NOROSHI_UNROLL
      for (int j = 0; j < i; ++j) {
        re[i][j] = hn::MulAdd(p, r[j], hn::MulAdd(q, s[j], re[i][j]));
        im[i][j] = hn::MulAdd(p, s[j], hn::NegMulAdd(q, r[j], im[i][j]));
      }
    }
  }
}

// The same without colour: sum_a conj(h_ai) h_aj.
template <int L>
HWY_INLINE void gram(const float* h, int antennas, V ridge, V* diagonal, V (*re)[L], V (*im)[L]) {
  const D d;
  NOROSHI_UNROLL
  for (int i = 0; i < L; ++i) {
    diagonal[i] = ridge;
    NOROSHI_UNROLL
    for (int j = 0; j < i; ++j) re[i][j] = im[i][j] = hn::Zero(d);
  }
  for (int a = 0; a < antennas; ++a, h += 2 * L * block_size) {
    V p[L], q[L];
    NOROSHI_UNROLL
    for (int i = 0; i < L; ++i) {
      p[i] = hn::LoadU(d, h + static_cast<std::size_t>(2 * i) * block_size);
      q[i] = hn::LoadU(d, h + static_cast<std::size_t>(2 * i + 1) * block_size);
      diagonal[i] = hn::MulAdd(p[i], p[i], hn::MulAdd(q[i], q[i], diagonal[i]));
      NOROSHI_UNROLL
      for (int j = 0; j < i; ++j) {
        re[i][j] = hn::MulAdd(p[i], p[j], hn::MulAdd(q[i], q[j], re[i][j]));
        im[i][j] = hn::MulAdd(p[i], q[j], hn::NegMulAdd(q[i], p[j], im[i][j]));
      }
    }
  }
}

// G = L D L^H, then L^-1 in place, and from it the diagonal of G^-1.
template <int L>
HWY_INLINE void factor(V* diagonal, Factors<L>& f, V* error) {
  const D d;
  const V tiny = hn::Set(d, 1e-30f), one = hn::Set(d, 1.0f);
  V c_re[L][L], c_im[L][L];  // L D
  NOROSHI_UNROLL
  for (int j = 0; j < L; ++j) {
    NOROSHI_UNROLL
    for (int k = 0; k < j; ++k)
      diagonal[j] =
          hn::NegMulAdd(c_re[j][k], f.re[j][k], hn::NegMulAdd(c_im[j][k], f.im[j][k], diagonal[j]));
    f.inverse[j] = reciprocal(hn::Max(diagonal[j], tiny));
    NOROSHI_UNROLL
    for (int i = j + 1; i < L; ++i) {
      V re = f.re[i][j], im = f.im[i][j];
      NOROSHI_UNROLL
      for (int k = 0; k < j; ++k) {  // minus (L D)_ik conj(L_jk)
        re = hn::NegMulAdd(c_re[i][k], f.re[j][k], hn::NegMulAdd(c_im[i][k], f.im[j][k], re));
        im = hn::NegMulAdd(c_im[i][k], f.re[j][k], hn::MulAdd(c_re[i][k], f.im[j][k], im));
      }
      c_re[i][j] = re, c_im[i][j] = im;
      f.re[i][j] = hn::Mul(re, f.inverse[j]);
      f.im[i][j] = hn::Mul(im, f.inverse[j]);
    }
  }
  // Column by column from the left: (L^-1)_ij = -(L_ij + sum_k L_ik (L^-1)_kj), j < k < i. Rows go
  // from the bottom up in L, so what is still needed of L is not overwritten.
  NOROSHI_UNROLL
  for (int i = L - 1; i > 0; --i) {
    V re[L], im[L];
    NOROSHI_UNROLL
    for (int j = 0; j < i; ++j) re[j] = f.re[i][j], im[j] = f.im[i][j];
    // Row i of L^-1 = -(row i of L below the diagonal) (L^-1 of the rows above), by substitution.
    NOROSHI_UNROLL
    for (int k = i - 1; k > 0; --k) {
      NOROSHI_UNROLL
      for (int j = 0; j < k; ++j) {  // minus x_k L_kj
        re[j] = hn::NegMulAdd(re[k], f.re[k][j], hn::MulAdd(im[k], f.im[k][j], re[j]));
        im[j] = hn::NegMulAdd(re[k], f.im[k][j], hn::NegMulAdd(im[k], f.re[k][j], im[j]));
      }
    }
    NOROSHI_UNROLL
    for (int j = 0; j < i; ++j) {
      f.re[i][j] = hn::Neg(re[j]);
      f.im[i][j] = hn::Neg(im[j]);
    }
  }
  NOROSHI_UNROLL
  for (int j = 0; j < L; ++j) {
    error[j] = f.inverse[j];
    NOROSHI_UNROLL
    for (int k = j + 1; k < L; ++k)
      error[j] = hn::MulAdd(hn::MulAdd(f.re[k][j], f.re[k][j], hn::Mul(f.im[k][j], f.im[k][j])),
                            f.inverse[k], error[j]);
  }
  static_cast<void>(one);
}

// b and the noise, from the diagonal of G^-1 (for G in units of the noise: ridge 1 is noise_power).
template <int L, Equalizer kind>
HWY_INLINE void unbias(const V* error, V noise_power, Factors<L>& f) {
  const D d;
  const V one = hn::Set(d, 1.0f), least = hn::Set(d, 1e-9f);
  NOROSHI_UNROLL
  for (int j = 0; j < L; ++j) {
    const V q = hn::Max(hn::Mul(error[j], noise_power), hn::Set(d, 1e-20f));
    if constexpr (kind == Equalizer::zero_forcing) {
      f.scale[j] = one;
      f.inverse_noise[j] = reciprocal(q);
    } else {
      // q = 1 - b; where nothing is received b is a rounding error.
      const V b = hn::Max(hn::Sub(one, q), least);
      const V both = reciprocal(hn::Mul(q, b));
      f.scale[j] = hn::Mul(q, both);
      f.inverse_noise[j] = hn::Mul(hn::Mul(b, b), both);
    }
  }
}

// From h, or R^-1 h, which may be where the weights go.
template <int L>
HWY_INLINE void write_weights(const Factors<L>& f, int antennas, const float* from, float* h) {
  const D d;
  for (int a = 0; a < antennas; ++a, h += 2 * L * block_size, from += 2 * L * block_size) {
    V re[L], im[L];
    NOROSHI_UNROLL
    for (int i = 0; i < L; ++i) {
      re[i] = hn::LoadU(d, from + static_cast<std::size_t>(2 * i) * block_size);
      im[i] = hn::Neg(hn::LoadU(d, from + static_cast<std::size_t>(2 * i + 1) * block_size));
    }
    // t = D^-1 L^-1 x, from the bottom up in place.
    NOROSHI_UNROLL
    for (int i = L - 1; i >= 0; --i) {
      NOROSHI_UNROLL
      for (int k = 0; k < i; ++k) {
        re[i] = hn::MulAdd(f.re[i][k], re[k], hn::NegMulAdd(f.im[i][k], im[k], re[i]));
        im[i] = hn::MulAdd(f.re[i][k], im[k], hn::MulAdd(f.im[i][k], re[k], im[i]));
      }
      re[i] = hn::Mul(re[i], f.inverse[i]);
      im[i] = hn::Mul(im[i], f.inverse[i]);
    }
    // w = B^-1 (L^-1)^H t, from the top down.
    NOROSHI_UNROLL
    for (int j = 0; j < L; ++j) {
      NOROSHI_UNROLL
      for (int k = j + 1; k < L; ++k) {
        re[j] = hn::MulAdd(f.re[k][j], re[k], hn::MulAdd(f.im[k][j], im[k], re[j]));
        im[j] = hn::MulAdd(f.re[k][j], im[k], hn::NegMulAdd(f.im[k][j], re[k], im[j]));
      }
      hn::StoreU(hn::Mul(re[j], f.scale[j]), d, h + static_cast<std::size_t>(2 * j) * block_size);
      hn::StoreU(hn::Mul(im[j], f.scale[j]), d,
                 h + static_cast<std::size_t>(2 * j + 1) * block_size);
    }
  }
}

template <int L, Equalizer kind, bool coloured>
void weights_of(float noise_power, const cpu::InverseCovariance& covariance,
                std::size_t subcarriers, View<float, 5> channel,
                const cpu::LayerStreams<float>& streams, cpu::InverseNoiseSums& sums) {
  const D d;
  const int antennas = static_cast<int>(channel.extent(1));
  const V noise = hn::Set(d, noise_power);
  const V ridge = kind == Equalizer::zero_forcing ? hn::Zero(d) : noise;
  alignas(64) float whitened[coloured ? 2 * L * nr::receive_antennas_max * block_size : 1];
  V total[L];
  for (int i = 0; i < L; ++i) total[i] = hn::Zero(d);
  for (std::size_t block = 0; block < channel.extent(0); ++block)
    for (std::size_t part = 0; part < block_size; part += lane_count()) {
      float* const h = &channel(block, 0, 0, 0, part);
      const std::size_t k = block * block_size + part;
      Factors<L> f;
      V diagonal[L], error[L];
      if constexpr (coloured) {
        whiten<L>(BlockPair(covariance.planes, covariance.first_subcarrier + k), h, antennas,
                  whitened);
        coloured_gram<L>(h, whitened, antennas, ridge, diagonal, f.re, f.im);
      } else {
        gram<L>(h, antennas, ridge, diagonal, f.re, f.im);
      }
      factor<L>(diagonal, f, error);
      unbias<L, kind>(error, noise, f);
      write_weights<L>(f, antennas, coloured ? whitened : h, h);
      if (L <= nr::codeword_layers_max && streams.count == 1) {
        store_real(L, f.inverse_noise, streams.out[0] + k * L);
      } else {
        int layer = 0;
        for (int s = 0; s < streams.count; layer += streams.layers[s], ++s)
          store_real(streams.layers[s], f.inverse_noise + layer,
                     streams.out[s] + k * static_cast<std::size_t>(streams.layers[s]));
      }
      if (k >= subcarriers) continue;
      const auto counts = hn::FirstN(d, std::min(subcarriers - k, lane_count()));
      for (int i = 0; i < L; ++i)
        total[i] = hn::Add(total[i], hn::IfThenElseZero(counts, f.inverse_noise[i]));
    }
  for (int i = 0; i < L; ++i)
    sums[static_cast<std::size_t>(i)] +=
        static_cast<double>(hn::GetLane(hn::SumOfLanes(d, total[i])));
}

// W y of one vector of subcarriers, at `at` of the received rows.
template <int L>
HWY_INLINE void combine_vector(const float* w, int antennas, const cf32* const* received,
                               std::size_t at, V* re, V* im) {
  const D d;
  NOROSHI_UNROLL
  for (int i = 0; i < L; ++i) re[i] = im[i] = hn::Zero(d);
  for (int a = 0; a < antennas; ++a, w += 2 * L * block_size) {
    V p, q;
    hn::LoadInterleaved2(d, reinterpret_cast<const float*>(received[a] + at), p, q);
    NOROSHI_UNROLL
    for (int i = 0; i < L; ++i) {
      const V u = hn::LoadU(d, w + static_cast<std::size_t>(2 * i) * block_size);
      const V v = hn::LoadU(d, w + static_cast<std::size_t>(2 * i + 1) * block_size);
      re[i] = hn::MulAdd(p, u, hn::NegMulAdd(q, v, re[i]));
      im[i] = hn::MulAdd(p, v, hn::MulAdd(q, u, im[i]));
    }
  }
}

// From one vector of W to the next, so many subcarriers from the first.
template <int L>
HWY_INLINE const float* weights_at(const float* w, int antennas, std::size_t k) {
  return w + k / block_size * static_cast<std::size_t>(antennas) * 2 * L * block_size +
         k % block_size;
}

template <int L>
HWY_INLINE void combine_and_store(const float* w, int antennas, const cf32* const* received,
                                  std::size_t at, const cpu::LayerStreams<cf32>& streams,
                                  std::size_t k) {
  V re[L], im[L];
  combine_vector<L>(w, antennas, received, at, re, im);
  int layer = 0;
  for (int s = 0; s < streams.count; layer += streams.layers[s], ++s)
    store_complex(streams.layers[s], re + layer, im + layer,
                  streams.out[s] + k * static_cast<std::size_t>(streams.layers[s]));
}

// All layers one stream: the sums never leave the registers. Returns the subcarriers done.
template <int L>
HWY_INLINE std::size_t combine_stream(const float* w, int antennas, const cf32* const* received,
                                      std::size_t subcarriers, cf32* out) {
  std::size_t k = 0;
  for (; k + lane_count() <= subcarriers; k += lane_count()) {
    V re[L], im[L];
    combine_vector<L>(weights_at<L>(w, antennas, k), antennas, received, k, re, im);
    store_complex(L, re, im, out + k * L);
  }
  return k;
}

template <int L>
void combine_of(View<const float, 5> weights, const cf32* const* received, std::size_t subcarriers,
                const cpu::LayerStreams<cf32>& streams) {
  const int antennas = static_cast<int>(weights.extent(1));
  const float* const w = weights.data();
  std::size_t k = 0;
  if constexpr (L <= nr::codeword_layers_max)
    if (streams.count == 1)
      k = antennas == 1 ? combine_stream<L>(w, 1, received, subcarriers, streams.out[0])
                        : combine_stream<L>(w, antennas, received, subcarriers, streams.out[0]);
  for (; k + lane_count() <= subcarriers; k += lane_count())
    combine_and_store<L>(weights_at<L>(w, antennas, k), antennas, received, k, streams, k);
  if (k == subcarriers) return;
  cf32 tail[nr::receive_antennas_max][block_size] = {};
  const cf32* rows[nr::receive_antennas_max];
  for (int a = 0; a < antennas; ++a) {
    std::memcpy(tail[a], received[a] + k, (subcarriers - k) * sizeof(cf32));
    rows[a] = tail[a];
  }
  combine_and_store<L>(weights_at<L>(w, antennas, k), antennas, rows, 0, streams, k);
}

template <int L>
void weights_of_kind(Equalizer kind, float noise_power, const cpu::InverseCovariance& covariance,
                     std::size_t subcarriers, View<float, 5> channel,
                     const cpu::LayerStreams<float>& streams, cpu::InverseNoiseSums& sums) {
  const auto run = [&](auto weights) {
    weights(noise_power, covariance, subcarriers, channel, streams, sums);
  };
  const bool coloured = !covariance.planes.empty();
  if (kind == Equalizer::zero_forcing)
    return coloured ? run(weights_of<L, Equalizer::zero_forcing, true>)
                    : run(weights_of<L, Equalizer::zero_forcing, false>);
  coloured ? run(weights_of<L, Equalizer::mmse, true>) : run(weights_of<L, Equalizer::mmse, false>);
}

}  // namespace

void equalizer_weights(Equalizer kind, float noise_power, const cpu::InverseCovariance& covariance,
                       std::size_t subcarriers, View<float, 5> channel,
                       const cpu::LayerStreams<float>& streams, cpu::InverseNoiseSums& sums) {
  switch (channel.extent(2)) {
    case 1:
      return weights_of_kind<1>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
    case 2:
      return weights_of_kind<2>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
    case 3:
      return weights_of_kind<3>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
    case 4:
      return weights_of_kind<4>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
    case 5:
      return weights_of_kind<5>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
    case 6:
      return weights_of_kind<6>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
    case 7:
      return weights_of_kind<7>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
    default:
      return weights_of_kind<8>(kind, noise_power, covariance, subcarriers, channel, streams, sums);
  }
}

void combine(View<const float, 5> weights, const cf32* const* received, std::size_t subcarriers,
             const cpu::LayerStreams<cf32>& streams) {
  switch (weights.extent(2)) {
    case 1:
      return combine_of<1>(weights, received, subcarriers, streams);
    case 2:
      return combine_of<2>(weights, received, subcarriers, streams);
    case 3:
      return combine_of<3>(weights, received, subcarriers, streams);
    case 4:
      return combine_of<4>(weights, received, subcarriers, streams);
    case 5:
      return combine_of<5>(weights, received, subcarriers, streams);
    case 6:
      return combine_of<6>(weights, received, subcarriers, streams);
    case 7:
      return combine_of<7>(weights, received, subcarriers, streams);
    default:
      return combine_of<8>(weights, received, subcarriers, streams);
  }
}

}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(equalizer_weights);
HWY_EXPORT(combine);

namespace {

template <class T>
bool streams_fit(const LayerStreams<T>& streams, std::size_t layers) {
  int sum = 0;
  for (int s = 0; s < streams.count; ++s) {
    if (streams.layers[s] < 1 || streams.layers[s] > nr::codeword_layers_max) return false;
    sum += streams.layers[s];
  }
  return static_cast<std::size_t>(sum) == layers;
}

}  // namespace

void equalizer_weights(Equalizer kind, float noise_power, const InverseCovariance& covariance,
                       std::size_t subcarriers, View<float, 5> channel,
                       const LayerStreams<float>& inverse_noise, InverseNoiseSums& sums) {
  assert(noise_power > 0 && streams_fit(inverse_noise, channel.extent(2)));
  assert(channel.extent(1) >= 1 && channel.extent(1) <= nr::receive_antennas_max);
  assert(channel.extent(2) >= 1 && channel.extent(2) <= nr::layers_max);
  assert(channel.extent(3) == 2 && channel.extent(4) == subcarrier_block);
  assert(subcarriers <= channel.extent(0) * subcarrier_block);
  assert(covariance.first_subcarrier % subcarrier_block == 0);
  assert(covariance.planes.empty() ||
         (covariance.planes.extent(0) >= channel.extent(1) * channel.extent(1) &&
          covariance.planes.extent(1) >
              (covariance.first_subcarrier + channel.extent(0) * subcarrier_block - 1) /
                      nr::subcarriers_per_rb +
                  1));
  HWY_DYNAMIC_DISPATCH(equalizer_weights)
  (kind, noise_power, covariance, subcarriers, channel, inverse_noise, sums);
}

void combine(View<const float, 5> weights,
             const std::array<const cf32*, nr::receive_antennas_max>& received,
             std::size_t subcarriers, const LayerStreams<cf32>& symbols) {
  assert(streams_fit(symbols, weights.extent(2)));
  assert(weights.extent(1) >= 1 && weights.extent(1) <= nr::receive_antennas_max);
  assert(weights.extent(2) >= 1 && weights.extent(2) <= nr::layers_max);
  assert(weights.extent(3) == 2 && weights.extent(4) == subcarrier_block);
  assert(subcarriers <= weights.extent(0) * subcarrier_block);
  HWY_DYNAMIC_DISPATCH(combine)(weights, received.data(), subcarriers, symbols);
}

}  // namespace noroshi::phy::cpu
#endif
