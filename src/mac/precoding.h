#pragma once

// Which matrices the cell's antennas send layers through, and which one a handset chooses of its
// codebook. Nobody reports a channel yet: any matrix that gives each antenna the same power will
// do.

#include "fapi/messages.h"

namespace noroshi::mac {

// W(p, r) = exp(2 pi j p (r + variant) / ports) / sqrt(layers): each port has power 1, and layers
// are orthogonal. So many variants an antenna port there are of each number of layers.
void make_precoding_matrices(int ports, int layers_max, fapi::ConfigRequest& config);

// Index of the matrix; neighbouring groups of blocks take different variants.
int precoding_matrix_index(int ports, int layers, int variant);

// TPMI of TS 38.211 6.3.1.5 that uses all antennas for each layer. ports: 1, 2, 4.
int tpmi_of(int ports, int layers);

}  // namespace noroshi::mac
