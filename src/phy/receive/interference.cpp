#include "phy/receive/interference.h"

namespace noroshi::phy {

View<const float, 2> measure_interference(const EstimateInput& input, const ChannelInfo& channel,
                                          float least, float noise, ReceiveWorkspace::State& state,
                                          const Workers& workers) {
  const cpu::EstimateWorkspace& estimate = state.estimate;
  const std::size_t blocks = static_cast<std::size_t>(input.allocation->rb_count);
  const View<float, 1> freedom(state.freedom.data(), blocks);
  residual_freedom(input, estimate.combs, estimate.choices, channel.references, freedom);

  CovarianceInput covariance;
  covariance.allocation = input.allocation;
  covariance.freedom = freedom;
  covariance.antennas = channel.antennas;
  covariance.combs = estimate.combs.count;
  covariance.times = pilot_times(input).count;
  covariance.pilots_per_rb = estimate.combs.comb[0].kind.pilots_per_rb();
  // Of a pilot's estimate to a data element, as the estimate has noise_power.
  const double beta = static_cast<double>(input.amplitude);
  const double power = static_cast<double>(channel.noise_power);
  const double all = power + static_cast<double>(channel.error_power);
  if (power > 0)
    covariance.scale = beta * beta * (input.double_symbol ? 2 : 1) * all / power / double{noise};
  covariance.floor = double{least} / double{noise};

  const std::size_t antennas = static_cast<std::size_t>(channel.antennas);
  const View<float, 2> inverse(state.inverse_covariance.data(), antennas * antennas,
                               cpu::covariance_blocks(blocks) + 1);
  const View<const float, 5> residuals(estimate.residuals.data(), estimate.antennas_max,
                                       estimate.layers_max, estimate_times_max, 2,
                                       estimate.plane / 2);
  cpu::inverse_noise_covariance(covariance, residuals, state.covariance, workers, inverse);
  return inverse;
}

}  // namespace noroshi::phy
