#pragma once

// Low-PAPR sequences type 1 (TS 38.211 5.2.2).
//
//   r(n) = exp(j alpha n) rbar_u,v(n),   0 <= n < M
//
//   rbar_u,v(n) = exp(j phi_u(n) pi / 4)                           M = 6, 12, 18, 24 (tables)
//               = exp(-j pi (u + 1) (n + 1) (n + 2) / 31)          M = 30
//               = x_q(n mod N),  x_q(m) = exp(-j pi q m (m + 1) / N)   M >= 36
//
// with N the largest prime below M, qbar = N (u + 1) / 31, q = floor(qbar + 1/2) + v (-1)^floor(2
// qbar).

#include "base/units.h"
#include "base/view.h"

namespace noroshi::nr {

// M = sequence.size(): 6, 12, 18, 24, 30 or 36 .. 3300. Group u: 0..29. Number v: 0, and 1 from
// M = 72. alpha: the cyclic shift in radians. Computed in double precision; no allocation.
void low_papr_type1(int u, int v, double alpha, View<cf64, 1> sequence);
void low_papr_type1(int u, int v, double alpha, View<cf32, 1> sequence);

}  // namespace noroshi::nr
