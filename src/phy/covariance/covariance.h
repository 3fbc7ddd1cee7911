#pragma once

// Covariance of noise and interference between the receive antennas, for each resource block, from
// what the channel estimate leaves of the DM-RS pilots (phy/estimate).
//
//   S[a, b] = scale / f  sum e[a, ..] conj(e[b, ..])     over combs, times and pilots of the block
//                                                        and its neighbours; f: their freedom
//   R = (1 - rho) S + (load + floor) I
//
// f samples of A antennas know R to A / f only, and the equaliser inverts it, so:
//   rho: how far S can be shrunk to a multiple of I; 1 where S is not told from white noise. The
//     optimum for Gaussian samples, with the squares of the true covariance estimated without bias
//     from those of S, p = |S|^2 and q = (tr S)^2 (Ledoit and Wolf 2004; Chen et al. 2010):
//       p' = (p - q / f) / (1 - 1 / f^2), q' = (q - p / f) / (1 - 1 / f^2)
//       rho = (q' - p' / A) / (f (p - q / A)), within 0 and 1
//   load = (rho + (1 - rho) A / f) (rho tr S / A + (1 - rho) h): against few samples, in the scale
//     of the noise below the interference, h = (1 - A / f)^-1 A / tr S^-1. A load in the scale of
//     tr S would let through of a strong interferer what it adds.
// Where f <= A + 2, S has no inverse to speak of and load = rho tr S / A.
//
// With a scale in units of the mean noise R is I where all is white. Never fails. Squares of S must
// be finite.

#include <vector>

#include "base/units.h"
#include "base/view.h"
#include "base/workers.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

struct CovarianceInput {
  const Allocation* allocation = nullptr;  // neighbours are blocks of it whose CRBs are
  View<const float, 1> freedom;            // of each block and antenna
  int antennas = 1;
  int combs = 1;
  int times = 1;
  int pilots_per_rb = 6;  // of a comb: 6 or 4
  double scale = 1;
  double floor = 0;
};

namespace ref {
// residuals: e, [antenna, comb, time, pilot]; covariance: R, [block, antenna, antenna].
void noise_covariance(const CovarianceInput& input, View<const cf64, 4> residuals,
                      View<cf64, 3> covariance);
}  // namespace ref

namespace cpu {

// A Hermitian matrix of A antennas is A^2 planes over the blocks: row a has (a, b) for b < a, real
// and imaginary part, then the real (a, a).
constexpr int matrix_plane(int a, int b) { return a * a + 2 * b; }

// Blocks with room for whole vectors.
constexpr std::size_t covariance_blocks(std::size_t blocks) { return (blocks + 15) / 16 * 16; }

struct CovarianceWorkspace {
  CovarianceWorkspace(int rb_max, int antennas_max);

  std::size_t plane = 0;
  std::vector<float> sums;      // [matrix plane, block], one block of zeros before and after
  std::vector<float> adjacent;  // [before / after, block]: 1 where that neighbour is there
  std::vector<float> freedom;   // as sums
};

// R^-1 as A^2 planes: inverse(plane, block), written for whole vectors of blocks. residuals:
// [antenna, comb, time, re / im, pilot], of which as many as `input` says are read, a vector of
// blocks' pilots beyond them too.
void inverse_noise_covariance(const CovarianceInput& input, View<const float, 5> residuals,
                              CovarianceWorkspace& workspace, const Workers& workers,
                              View<float, 2> inverse);

}  // namespace cpu
}  // namespace noroshi::phy
