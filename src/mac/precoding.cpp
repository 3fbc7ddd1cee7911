#include "mac/precoding.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

namespace noroshi::mac {
namespace {

int variants(int ports, int layers_max) {
  return std::max(1, std::min(ports, fapi::precoding_matrices_max / layers_max));
}

}  // namespace

void make_precoding_matrices(int ports, int layers_max, fapi::ConfigRequest& config) {
  config.num_precoding_matrices = 0;
  if (ports == 1) return;
  for (int layers = 1; layers <= layers_max; ++layers) {
    for (int variant = 0; variant < variants(ports, fapi::layers_max); ++variant) {
      assert(config.num_precoding_matrices < fapi::precoding_matrices_max);
      fapi::PrecodingMatrix& matrix =
          config.precoding_matrices[static_cast<std::size_t>(config.num_precoding_matrices++)];
      matrix.pm_idx = static_cast<std::uint16_t>(precoding_matrix_index(ports, layers, variant));
      matrix.num_layers = static_cast<std::uint16_t>(layers);
      matrix.num_ant_ports = static_cast<std::uint16_t>(ports);
      for (int layer = 0; layer < layers; ++layer) {
        for (int port = 0; port < ports; ++port) {
          const double angle = 2 * std::numbers::pi * port * (layer + variant) / ports;
          const double size = fapi::weight_one / std::sqrt(layers);
          matrix.pre_coder_weight[static_cast<std::size_t>(layer * ports + port)] = {
              static_cast<std::int16_t>(std::lround(size * std::cos(angle))),
              static_cast<std::int16_t>(std::lround(size * std::sin(angle)))};
        }
      }
    }
  }
}

int precoding_matrix_index(int ports, int layers, int variant) {
  const int count = variants(ports, fapi::layers_max);
  return 1 + (layers - 1) * count + variant % count;
}

int tpmi_of(int ports, int layers) {
  if (ports == 2) return layers == 1 ? 2 : 1;
  if (ports == 4) return layers == 1 ? 12 : layers == 2 ? 14 : 3;
  return 0;
}

}  // namespace noroshi::mac
