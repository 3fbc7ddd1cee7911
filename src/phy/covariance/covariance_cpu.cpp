#include <algorithm>
#include <cassert>
#include <cstdlib>

#include "nr/carrier.h"
#include "phy/covariance/covariance.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "phy/covariance/covariance_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace noroshi::phy::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::CappedTag<float, 16>;
using V = hn::Vec<D>;
constexpr std::size_t group = 16;  // blocks at once, whatever a vector's length
constexpr std::size_t pilots_max = 6 * group;
inline std::size_t lane_count() { return hn::Lanes(D()); }

// ---- sums of products over each block's pilots ----

// 16 sums over so many neighbours. Two vectors of room behind x.
void block_sums(std::size_t per_rb, const float* x, float* out) {
  const D d;
  if (per_rb == 4) {
    for (std::size_t i = 0; i < group; i += lane_count()) {
      V a, b, c, e;
      hn::LoadInterleaved4(d, x + 4 * i, a, b, c, e);
      hn::StoreU(hn::Add(hn::Add(a, b), hn::Add(c, e)), d, out + i);
    }
    return;
  }
  alignas(64) float pairs[3 * group + 2 * 16];
  for (std::size_t i = 0; i < 3 * group; i += lane_count()) {
    V a, b;
    hn::LoadInterleaved2(d, x + 2 * i, a, b);
    hn::StoreU(hn::Add(a, b), d, pairs + i);
  }
  for (std::size_t i = 0; i < group; i += lane_count()) {
    V a, b, c;
    hn::LoadInterleaved3(d, pairs + 3 * i, a, b, c);
    hn::StoreU(hn::Add(hn::Add(a, b), c), d, out + i);
  }
}

// e[a] conj(e[b]) of all blocks, into the planes re and im (not with a == b).
void sum_pair(const CovarianceInput& input, View<const float, 5> residuals, std::size_t a,
              std::size_t b, float* re, float* im) {
  const D d;
  const std::size_t per_rb = static_cast<std::size_t>(input.pilots_per_rb);
  const std::size_t blocks =
      cpu::covariance_blocks(static_cast<std::size_t>(input.allocation->rb_count));
  const std::size_t combs = static_cast<std::size_t>(input.combs);
  const std::size_t times = static_cast<std::size_t>(input.times);
  alignas(64) float products[2][pilots_max + 2 * 16] = {};
  for (std::size_t block = 0; block < blocks; block += group) {
    for (std::size_t m = 0; m < per_rb * group; m += lane_count()) {
      V u = hn::Zero(d), v = hn::Zero(d);
      for (std::size_t c = 0; c < combs; ++c)
        for (std::size_t t = 0; t < times; ++t) {
          const float* const x = &residuals(a, c, t, 0, per_rb * block + m);
          const float* const y = &residuals(b, c, t, 0, per_rb * block + m);
          const std::size_t to_im = residuals.extent(4);
          const V p = hn::LoadU(d, x), q = hn::LoadU(d, x + to_im);
          const V r = hn::LoadU(d, y), s = hn::LoadU(d, y + to_im);
          u = hn::MulAdd(p, r, hn::MulAdd(q, s, u));
          v = hn::MulAdd(q, r, hn::NegMulAdd(p, s, v));
        }
      hn::StoreU(u, d, products[0] + m);
      hn::StoreU(v, d, products[1] + m);
    }
    block_sums(per_rb, products[0], re + block);
    if (a != b) block_sums(per_rb, products[1], im + block);
  }
}

// ---- matrices of one vector of blocks, below the diagonal ----

struct Matrix {
  int n;
  V re[nr::receive_antennas_max][nr::receive_antennas_max];
  V im[nr::receive_antennas_max][nr::receive_antennas_max];
  V diagonal[nr::receive_antennas_max];
};

// M = L D L^H; below the diagonal L^-1 in place, on it 1 / D.
void factor(Matrix& m) {
  const D d;
  const int n = m.n;
  const V tiny = hn::Set(d, 1e-30f), one = hn::Set(d, 1.0f);
  Matrix c;  // L D
  for (int j = 0; j < n; ++j) {
    V pivot = m.diagonal[j];
    for (int k = 0; k < j; ++k)
      pivot = hn::NegMulAdd(c.re[j][k], m.re[j][k], hn::NegMulAdd(c.im[j][k], m.im[j][k], pivot));
    m.diagonal[j] = hn::Div(one, hn::Max(pivot, tiny));
    for (int i = j + 1; i < n; ++i) {
      V re = m.re[i][j], im = m.im[i][j];
      for (int k = 0; k < j; ++k) {  // minus (L D)_ik conj(L_jk)
        re = hn::NegMulAdd(c.re[i][k], m.re[j][k], hn::NegMulAdd(c.im[i][k], m.im[j][k], re));
        im = hn::NegMulAdd(c.im[i][k], m.re[j][k], hn::MulAdd(c.re[i][k], m.im[j][k], im));
      }
      c.re[i][j] = re, c.im[i][j] = im;
      m.re[i][j] = hn::Mul(re, m.diagonal[j]);
      m.im[i][j] = hn::Mul(im, m.diagonal[j]);
    }
  }
  // (L^-1)_ij = -(L_ij + sum_k L_ik (L^-1)_kj), j < k < i: row by row from the top, from the left.
  for (int i = 1; i < n; ++i)
    for (int j = 0; j < i; ++j) {
      V re = m.re[i][j], im = m.im[i][j];
      for (int k = j + 1; k < i; ++k) {
        re = hn::MulAdd(m.re[i][k], m.re[k][j], hn::NegMulAdd(m.im[i][k], m.im[k][j], re));
        im = hn::MulAdd(m.re[i][k], m.im[k][j], hn::MulAdd(m.im[i][k], m.re[k][j], im));
      }
      m.re[i][j] = hn::Neg(re), m.im[i][j] = hn::Neg(im);
    }
}

// After factor(): of M^-1.
V inverse_trace(const Matrix& m) {
  V sum = hn::Zero(D());
  for (int j = 0; j < m.n; ++j) {
    sum = hn::Add(sum, m.diagonal[j]);
    for (int k = j + 1; k < m.n; ++k)
      sum = hn::MulAdd(hn::MulAdd(m.re[k][j], m.re[k][j], hn::Mul(m.im[k][j], m.im[k][j])),
                       m.diagonal[k], sum);
  }
  return sum;
}

// After factor(): M^-1 = L^-H D^-1 L^-1.
void store_inverse(const Matrix& m, View<float, 2> inverse, std::size_t block) {
  const D d;
  const auto plane = [&](int index) { return &inverse(index, block); };
  for (int i = 0; i < m.n; ++i)
    for (int j = 0; j <= i; ++j) {
      // k = i, where (L^-1)_ii = 1
      V re = i == j ? m.diagonal[i] : hn::Mul(m.re[i][j], m.diagonal[i]);
      V im = i == j ? hn::Zero(d) : hn::Mul(m.im[i][j], m.diagonal[i]);
      for (int k = i + 1; k < m.n; ++k) {
        const V p = hn::Mul(m.re[k][i], m.diagonal[k]), q = hn::Mul(m.im[k][i], m.diagonal[k]);
        re = hn::MulAdd(p, m.re[k][j], hn::MulAdd(q, m.im[k][j], re));
        im = hn::MulAdd(p, m.im[k][j], hn::NegMulAdd(q, m.re[k][j], im));
      }
      hn::StoreU(re, d, plane(cpu::matrix_plane(i, j)));
      if (i != j) hn::StoreU(im, d, plane(cpu::matrix_plane(i, j) + 1));
    }
}

// The block's own sum and those of the neighbours that it has.
V window_sum(const cpu::CovarianceWorkspace& workspace, const float* x, std::size_t block) {
  const D d;
  const float* const adjacent = workspace.adjacent.data() + block;
  const V before = hn::LoadU(d, adjacent), after = hn::LoadU(d, adjacent + workspace.plane);
  return hn::MulAdd(before, hn::LoadU(d, x + block - 1),
                    hn::MulAdd(after, hn::LoadU(d, x + block + 1), hn::LoadU(d, x + block)));
}

// (1 - rho) S + (load + floor) I, of S.
void regularise(const CovarianceInput& input, V f, Matrix& s) {
  const D d;
  const int n = s.n;
  const V one = hn::Set(d, 1.0f), zero = hn::Zero(d);
  const V antennas = hn::Set(d, static_cast<float>(n)), per_antenna = hn::Div(one, antennas);
  V trace = zero, p = zero;
  for (int i = 0; i < n; ++i) {
    trace = hn::Add(trace, s.diagonal[i]);
    p = hn::MulAdd(s.diagonal[i], s.diagonal[i], p);
    for (int j = 0; j < i; ++j) {
      const V norm = hn::MulAdd(s.re[i][j], s.re[i][j], hn::Mul(s.im[i][j], s.im[i][j]));
      p = hn::Add(p, hn::Add(norm, norm));
    }
  }
  const V q = hn::Mul(trace, trace), mean = hn::Mul(trace, per_antenna);
  const V inverse_f = hn::Div(one, f);
  const V both = hn::NegMulAdd(inverse_f, inverse_f, one);
  const V p_true = hn::Div(hn::NegMulAdd(q, inverse_f, p), both);
  const V q_true = hn::Div(hn::NegMulAdd(p, inverse_f, q), both);
  const V spread = hn::NegMulAdd(q, per_antenna, p);
  const auto told = hn::And(hn::Gt(f, one), hn::Gt(spread, hn::Mul(hn::Set(d, 1e-6f), q)));
  V rho = hn::Div(hn::NegMulAdd(p_true, per_antenna, q_true), hn::Mul(f, spread));
  rho = hn::IfThenElse(told, hn::Clamp(rho, zero, one), one);
  const V rest = hn::Sub(one, rho), rho_mean = hn::Mul(rho, mean);

  Matrix safe = s;
  const V least = hn::MulAdd(hn::Set(d, 1e-5f), mean, hn::Set(d, 1e-25f));
  for (int i = 0; i < n; ++i) safe.diagonal[i] = hn::Add(safe.diagonal[i], least);
  factor(safe);
  const V few = hn::Mul(antennas, inverse_f);
  const V below = hn::Div(antennas, hn::Mul(inverse_trace(safe), hn::Sub(one, few)));
  const V load = hn::Mul(hn::MulAdd(rest, few, rho), hn::MulAdd(rest, below, rho_mean));
  const V more = hn::IfThenElse(hn::Gt(f, hn::Set(d, static_cast<float>(n + 2))), load, rho_mean);

  const V added = hn::Add(more, hn::Set(d, static_cast<float>(input.floor)));
  for (int i = 0; i < n; ++i) {
    s.diagonal[i] = hn::MulAdd(rest, s.diagonal[i], added);
    for (int j = 0; j < i; ++j) {
      s.re[i][j] = hn::Mul(rest, s.re[i][j]);
      s.im[i][j] = hn::Mul(rest, s.im[i][j]);
    }
  }
}

void invert_blocks(const CovarianceInput& input, const cpu::CovarianceWorkspace& workspace,
                   std::size_t block, View<float, 2> inverse) {
  const D d;
  const V f =
      hn::Max(window_sum(workspace, workspace.freedom.data() + 1, block), hn::Set(d, 1e-3f));
  const V scale = hn::Div(hn::Set(d, static_cast<float>(input.scale)), f);
  const auto load = [&](int plane) {
    const float* x = workspace.sums.data() + static_cast<std::size_t>(plane) * workspace.plane + 1;
    return hn::Mul(scale, window_sum(workspace, x, block));
  };
  Matrix m;
  m.n = input.antennas;
  for (int a = 0; a < m.n; ++a) {
    m.diagonal[a] = load(cpu::matrix_plane(a, a));
    for (int b = 0; b < a; ++b) {
      m.re[a][b] = load(cpu::matrix_plane(a, b));
      m.im[a][b] = load(cpu::matrix_plane(a, b) + 1);
    }
  }
  regularise(input, f, m);
  factor(m);
  store_inverse(m, inverse, block);
}

}  // namespace

void inverse_noise_covariance(const CovarianceInput& input, View<const float, 5> residuals,
                              cpu::CovarianceWorkspace& workspace, const Workers& workers,
                              View<float, 2> inverse) {
  const std::size_t blocks = static_cast<std::size_t>(input.allocation->rb_count);
  const auto sums = [&](int plane) {
    return workspace.sums.data() + static_cast<std::size_t>(plane) * workspace.plane + 1;
  };
  workers.for_each(input.antennas, [&](int row) {
    // Rows from both ends take turns, for they grow.
    const int a = row % 2 == 0 ? row / 2 : input.antennas - 1 - row / 2;
    for (int b = 0; b <= a; ++b) {
      const int plane = cpu::matrix_plane(a, b);
      sum_pair(input, residuals, static_cast<std::size_t>(a), static_cast<std::size_t>(b),
               sums(plane), a == b ? nullptr : sums(plane + 1));
      for (int part = 0; part < (a == b ? 1 : 2); ++part) sums(plane + part)[blocks] = 0;
    }
  });
  for (std::size_t block = 0; block < blocks; block += lane_count())
    invert_blocks(input, workspace, block, inverse);
}

}  // namespace noroshi::phy::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace noroshi::phy::cpu {

HWY_EXPORT(inverse_noise_covariance);

CovarianceWorkspace::CovarianceWorkspace(int rb_max, int antennas_max)
    : plane(covariance_blocks(static_cast<std::size_t>(rb_max)) + 2),
      sums(static_cast<std::size_t>(antennas_max * antennas_max) * plane),
      adjacent(2 * plane),
      freedom(plane) {}

void inverse_noise_covariance(const CovarianceInput& input, View<const float, 5> residuals,
                              CovarianceWorkspace& workspace, const Workers& workers,
                              View<float, 2> inverse) {
  const std::size_t blocks = static_cast<std::size_t>(input.allocation->rb_count);
  const std::size_t antennas = static_cast<std::size_t>(input.antennas);
  assert(blocks > 0 && input.freedom.size() == blocks);
  assert(antennas >= 1 && antennas <= nr::receive_antennas_max);
  assert(input.pilots_per_rb == 6 || input.pilots_per_rb == 4);
  assert(residuals.extent(0) >= antennas && residuals.extent(3) == 2);
  assert(residuals.extent(1) >= static_cast<std::size_t>(input.combs));
  assert(residuals.extent(2) >= static_cast<std::size_t>(input.times));
  assert(residuals.extent(4) >=
         covariance_blocks(blocks) * static_cast<std::size_t>(input.pilots_per_rb));
  assert(workspace.plane >= covariance_blocks(blocks) + 2);
  assert(workspace.sums.size() >= antennas * antennas * workspace.plane);
  assert(inverse.extent(0) >= antennas * antennas);
  assert(inverse.extent(1) >= covariance_blocks(blocks));

  std::fill(workspace.adjacent.begin(), workspace.adjacent.end(), 0.0f);
  std::fill(workspace.freedom.begin(), workspace.freedom.end(), 0.0f);
  std::size_t block = 0;
  int last = -2;
  for (const RbRun& run : *input.allocation)
    for (int crb = run.first; crb < run.first + run.count; ++crb, ++block) {
      workspace.freedom[block + 1] = input.freedom[block];
      if (crb == last + 1)
        workspace.adjacent[block] = workspace.adjacent[workspace.plane + block - 1] = 1;
      last = crb;
    }
  HWY_DYNAMIC_DISPATCH(inverse_noise_covariance)
  (input, residuals, workspace, workers, inverse);
}

}  // namespace noroshi::phy::cpu
#endif
