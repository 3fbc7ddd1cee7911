#include "nr/pusch_precoding.h"

#include <cmath>
#include <iterator>
#include <string>

#include "nr/pusch_precoding_tables.h"

namespace noroshi::nr {
namespace {

using pusch_precoding_tables::Matrix;

constexpr Matrix one_port[] = {{1, "+"}};

View<const Matrix, 1> table(int ports, int layers, bool transform_precoding) {
  namespace t = pusch_precoding_tables;
  const auto view = [](const auto& rows) { return View<const Matrix, 1>(rows, std::size(rows)); };
  if (ports == 1) return view(one_port);
  if (ports == 2) return layers == 1 ? view(t::two_ports_one_layer) : view(t::two_ports_two_layers);
  switch (layers) {
    case 1:
      return transform_precoding ? view(t::four_ports_one_layer_dft)
                                 : view(t::four_ports_one_layer);
    case 2:
      return view(t::four_ports_two_layers);
    case 3:
      return view(t::four_ports_three_layers);
    default:
      return view(t::four_ports_four_layers);
  }
}

cf64 value_of(char letter) {
  switch (letter) {
    case '+':
      return 1;
    case '-':
      return -1;
    case 'j':
      return {0, 1};
    case 'k':
      return {0, -1};
    default:
      return 0;
  }
}

}  // namespace

Result<PuschPrecoder> pusch_precoder(int ports, int layers, int tpmi, bool transform_precoding) {
  const auto wrong = [](const char* field, int value, const std::string& allowed) {
    return Error{std::string(field) + " is " + std::to_string(value) + ", allowed: " + allowed};
  };
  if (ports != 1 && ports != 2 && ports != 4) return wrong("ports", ports, "1, 2, 4");
  const int layers_allowed = transform_precoding ? 1 : ports;
  if (layers < 1 || layers > layers_allowed)
    return wrong("layers", layers, "1.." + std::to_string(layers_allowed));
  const View<const Matrix, 1> rows = table(ports, layers, transform_precoding);
  if (tpmi < 0 || tpmi >= static_cast<int>(rows.size()))
    return wrong("tpmi", tpmi, "0.." + std::to_string(rows.size() - 1));
  const Matrix& matrix = rows[static_cast<std::size_t>(tpmi)];
  PuschPrecoder precoder{ports, layers, {}};
  std::size_t i = 0;
  for (const char* letter = matrix.rows; *letter != 0; ++letter)
    if (*letter != ' ')
      precoder.w[i++] = cf32(value_of(*letter) / std::sqrt(static_cast<double>(matrix.divisor)));
  return precoder;
}

}  // namespace noroshi::nr
