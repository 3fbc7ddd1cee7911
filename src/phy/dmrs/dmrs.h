#pragma once

// Demodulation reference signals of PDSCH and PUSCH without transform precoding
// (TS 38.211 6.4.1.1.1.1, 6.4.1.1.3, 7.4.1.1):
//
//   r(n)   = (1 - 2 c(2n)) / sqrt(2) + j (1 - 2 c(2n + 1)) / sqrt(2)
//   c_init = (2^17 (14 n_s + l + 1)(2 N_ID + 1) + 2 N_ID + n_SCID) mod 2^31
//   a(k)   = amplitude * w_f(k') * w_t(l') * r(2n + k')
//   k      = 4n + 2k' + delta (type 1),  6n + k' + delta (type 2)
//
// n counts from subcarrier 0 of CRB 0 or of dmrs.reference_rb, before which no block is allocated.
// A pilot is one such element; a block has 6 (type 1) or 4 (type 2) of a port.

#include <cstdint>

#include "base/units.h"
#include "base/view.h"
#include "nr/shared_channel.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::phy {

struct DmrsPort {
  int cdm_group;
  int delta;   // first subcarrier
  int w_f[2];  // by k'
  int w_t[2];  // by l'
};

constexpr int dmrs_ports(int type, bool double_symbol) {
  return (type == 1 ? 4 : 6) * (double_symbol ? 2 : 1);
}
constexpr int dmrs_pilots_per_rb(int type) { return type == 1 ? 6 : 4; }

// TS 38.211 tables 6.4.1.1.3-1/-2, 7.4.1.1.2-1/-2. port: 0 .. dmrs_ports - 1.
constexpr DmrsPort dmrs_port(int type, int port) {
  const int per_half = dmrs_ports(type, false);
  const int group = port % per_half / 2;
  return {group,
          type == 1 ? group : 2 * group,
          {1, port % 2 == 0 ? 1 : -1},
          {1, port < per_half ? 1 : -1}};
}

// Subcarrier, from the block run's first, of pilot m of the run.
constexpr int dmrs_subcarrier(int type, int delta, int pilot) {
  return type == 1 ? 2 * pilot + delta : 6 * (pilot / 2) + pilot % 2 + delta;
}

// The CDM group that subcarrier k of a block is in, and which of a block's values r(2n + k') it
// has: both the same for every port of the group.
constexpr int dmrs_group_of_subcarrier(int type, int k) { return type == 1 ? k % 2 : k % 6 / 2; }
constexpr int dmrs_pilot_of_subcarrier(int type, int k) {
  return type == 1 ? k / 2 : k / 6 * 2 + k % 2;
}

std::uint32_t dmrs_c_init(int slot, int symbol, const nr::Dmrs& dmrs);

// l' of a symbol of the mask: 0, or 1 for the second of a pair.
int dmrs_l_prime(const nr::Dmrs& dmrs, int symbol);

// With transform precoding (TS 38.211 6.4.1.1.1.2) r is a low-PAPR sequence of half the
// allocation's subcarriers instead, n counts from the allocation's first block, and the ports are
// as in type 1:
//
//   u = (f_gh + n_ID^RS) mod 30
//   group hopping: f_gh = sum over m of 2^m c(8 (14 n_s + l) + m) mod 30, c_init = floor(n_ID / 30)
//   sequence hopping: v = c(14 n_s + l) from 72 values on, c_init = n_ID
//
// l: the symbol, with double symbols the pair's first.
struct LowPaprNumber {
  int u = 0;
  int v = 0;
};
LowPaprNumber dmrs_low_papr_number(const nr::Dmrs& dmrs, int slot, int symbol, int length);
// r of one symbol, 6 values a block; the port's signs w_f, w_t and the amplitude are not in it.
void dmrs_low_papr(const nr::Dmrs& dmrs, int slot, int symbol, View<cf32, 1> sequence);

// The port's pilots of one symbol in the allocated blocks, ascending: rb_count *
// dmrs_pilots_per_rb values, without amplitude.
namespace ref {
void dmrs_pilots(const nr::Dmrs& dmrs, int port, int slot, int symbol, const Allocation& allocation,
                 View<cf32, 1> pilots);
}
namespace cpu {
void dmrs_pilots(const nr::Dmrs& dmrs, int port, int slot, int symbol, const Allocation& allocation,
                 View<cf32, 1> pilots);
}

}  // namespace noroshi::phy
