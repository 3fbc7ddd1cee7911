#include "nr/shared_channel.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "nr/data_elements.h"

namespace noroshi::nr {

double dmrs_amplitude(const Dmrs& dmrs) {
  if (dmrs.amplitude_override > 0) return static_cast<double>(dmrs.amplitude_override);
  // TS 38.214 tables 4.1-1 and 6.2.2-1: beta in dB for 1, 2, 3 CDM groups without data. (Not the
  // square root of the number: 3 dB is 1.41254.)
  constexpr double beta_db[] = {0.0, 3.0, 4.77};
  assert(dmrs.cdm_groups_without_data >= 1 && dmrs.cdm_groups_without_data <= 3);
  return std::pow(10.0, beta_db[dmrs.cdm_groups_without_data - 1] / 20.0);
}

int data_resource_elements_per_rb(const SharedChannel& channel) {
  assert(channel.symbol_start >= 0 && channel.symbol_count >= 0 &&
         channel.symbol_start + channel.symbol_count <= symbols_per_slot);
  assert(channel.dmrs.type == 1 || channel.dmrs.type == 2);
  // A CDM group has 6 (type 1) or 4 (type 2) elements of a block (TS 38.211 6.4.1.1.3).
  const int group_elements = channel.dmrs.type == 1 ? 6 : 4;
  const int dmrs_symbol_data =
      std::max(0, subcarriers_per_rb - group_elements * channel.dmrs.cdm_groups_without_data);
  int elements = 0;
  for (int l = channel.symbol_start; l < channel.symbol_start + channel.symbol_count; ++l)
    elements += (channel.dmrs.symbol_mask >> l & 1) != 0 ? dmrs_symbol_data : subcarriers_per_rb;
  return elements;
}

int data_resource_elements(const SharedChannel& channel) {
  DataElements elements;
  find_data_elements(channel, elements);
  int count = 0;
  for (const SymbolElements& symbol : elements.symbols) count += symbol.count;
  return count;
}

int coded_bits(const SharedChannel& channel, int codeword) {
  return data_resource_elements(channel) * codeword_layers(channel, codeword) *
         bits_per_symbol(codeword_modulation(channel, codeword));
}

int vrb_to_crb(const VrbInterleaver& interleaver, int n) {
  assert(interleaver.bundle_rbs > 0 && n >= 0 && n < interleaver.rb_count);
  // The first bundle is short by so many blocks; count as if they were there.
  const int size = interleaver.bundle_rbs;
  const int missing = interleaver.from_first ? 0 : interleaver.rb_first % size;
  const int bundles = (interleaver.rb_count + missing + size - 1) / size;
  const int bundle = (n + missing) / size;
  int to = bundle;  // the last one stays
  if (bundle < bundles - 1) {
    constexpr int rows = 2;
    to = bundle % rows * (bundles / rows) + bundle / rows;
  }
  // Bundle 0 goes to bundle 0, so that the short one meets the short one.
  return interleaver.rb_first + to * size + (n + missing) % size - missing;
}

}  // namespace noroshi::nr
