// The transmitter in double precision, clause by clause: every element of the grid is asked what it
// holds. Of the fast one it shares the tables of ports and matrices, the channel coding and the
// generators of sequences (each tested by itself), not the geometry.

#include <algorithm>
#include <cassert>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <vector>

#include "fec/uci/uci.h"
#include "nr/low_papr/low_papr.h"
#include "nr/prbs/prbs.h"
#include "phy/dft/dft.h"
#include "phy/dmrs/dmrs.h"
#include "phy/modulation/modulation.h"
#include "phy/shared_channel/transmit_state.h"

namespace noroshi::phy::ref {
namespace {

using Bits = std::vector<std::uint8_t>;  // one a byte; 2: placeholder x, 3: placeholder y

// TS 38.211 5.2.1, one bit after the other.
class Gold {
 public:
  explicit Gold(std::uint64_t c_init) : x2_(static_cast<std::uint32_t>(c_init & 0x7fffffff)) {
    for (int i = 0; i < 1600; ++i) step();
  }
  int operator()(std::size_t n) {
    while (c_.size() <= n) {
      c_.push_back(static_cast<std::uint8_t>((x1_ ^ x2_) & 1));
      step();
    }
    return c_[n];
  }

 private:
  void step() {
    x1_ = x1_ >> 1 | ((x1_ >> 3 ^ x1_) & 1) << 30;
    x2_ = x2_ >> 1 | ((x2_ >> 3 ^ x2_ >> 2 ^ x2_ >> 1 ^ x2_) & 1) << 30;
  }
  std::uint32_t x1_ = 1, x2_;
  Bits c_;
};

std::uint64_t pilot_init(int slot, int l, int id, int scid) {
  return ((std::uint64_t{1} << 17) * static_cast<std::uint64_t>(14 * slot + l + 1) *
              static_cast<std::uint64_t>(2 * id + 1) +
          static_cast<std::uint64_t>(2 * id + scid)) %
         (std::uint64_t{1} << 31);
}

struct Element {
  int l;
  int rb;
  int k;
};

class Sender {
 public:
  Sender(int slot, const nr::SharedChannel& channel, const Precoding& precoding, View<cf64, 3> grid)
      : slot_(slot), c_(channel), precoding_(precoding), grid_(grid) {
    for (int hop = 0; hop < 2; ++hop) list_blocks(hop);
    list_ptrs_symbols();
  }

  void send(const Payload& payload) {
    std::vector<std::vector<cf64>> codewords;
    for (int q = 0; q < (c_.layers > 4 ? 2 : 1); ++q) codewords.push_back(symbols_of(q, payload));
    map_data(codewords);
    map_reference_signals();
  }

 private:
  bool dmrs_in(int l) const { return (c_.dmrs.symbol_mask >> l & 1) != 0; }
  int hop_of(int l) const {
    return c_.second_hop_rb >= 0 && l >= c_.symbol_start + c_.symbol_count / 2 ? 1 : 0;
  }

  // Ascending, and in the order of virtual blocks.
  void list_blocks(int hop) {
    int first = -1;
    for (int rb = 0; rb < nr::rb_max; ++rb) {
      if (!c_.rbs[static_cast<std::size_t>(rb)]) continue;
      if (first < 0) first = rb;
      blocks_[hop].push_back(hop == 1 && c_.second_hop_rb >= 0 ? rb - first + c_.second_hop_rb
                                                               : rb);
    }
    virtual_order_[hop] = blocks_[hop];
    const nr::VrbInterleaver& v = c_.vrb;
    if (v.bundle_rbs == 0) return;
    // TS 38.211 7.3.1.6: bundles of blocks, the first and the last may be short.
    std::vector<std::vector<int>> bundles(1);
    for (int rb = v.rb_first; rb < v.rb_first + v.rb_count; ++rb) {
      const int from = v.from_first ? rb - v.rb_first : rb;
      if (rb != v.rb_first && from % v.bundle_rbs == 0) bundles.emplace_back();
      bundles.back().push_back(rb);
    }
    const int count = static_cast<int>(bundles.size()), rows = 2, columns = count / rows;
    std::vector<int> to(static_cast<std::size_t>(count), count - 1);
    for (int c = 0; c < columns; ++c)
      for (int r = 0; r < rows; ++r)
        if (c * rows + r != count - 1) to[static_cast<std::size_t>(c * rows + r)] = r * columns + c;
    virtual_order_[hop].clear();
    for (const int bundle : to)
      for (const int rb : bundles[static_cast<std::size_t>(bundle)])
        if (c_.rbs[static_cast<std::size_t>(rb)]) virtual_order_[hop].push_back(rb);
  }

  // TS 38.211 6.4.1.2.2.1.
  void list_ptrs_symbols() {
    if (!c_.ptrs.present) return;
    const int density = c_.ptrs.time_density;
    int i = 0, l_ref = 0;
    while (l_ref + i * density < c_.symbol_count) {
      int dmrs = -1;
      for (int l = std::max(l_ref + (i - 1) * density + 1, l_ref); l <= l_ref + i * density; ++l)
        if (dmrs_in(c_.symbol_start + l)) dmrs = l;  // the last one: of a pair the second
      if (dmrs >= 0 && c_.dmrs.double_symbol && dmrs_l_prime(c_.dmrs, c_.symbol_start + dmrs) == 0)
        ++dmrs;
      if (dmrs >= 0) {
        i = 1;
        l_ref = dmrs;
      } else {
        ptrs_symbols_.insert(c_.symbol_start + l_ref + i * density);
        ++i;
      }
    }
  }

  bool is_reserved(const Element& e) const {
    for (int i = 0; i < c_.reserved_count; ++i) {
      const nr::ReservedElements& r = c_.reserved[static_cast<std::size_t>(i)];
      if ((r.symbol_mask >> e.l & 1) != 0 && r.rbs[static_cast<std::size_t>(e.rb)] &&
          (r.subcarrier_mask >> e.k & 1) != 0)
        return true;
    }
    return false;
  }

  // The DM-RS port whose PT-RS the element is; -1: it is none.
  int ptrs_port_of(const Element& e) const {
    if (c_.transform_precoding || ptrs_symbols_.count(e.l) == 0) return -1;
    const auto& blocks = blocks_[hop_of(e.l)];
    const int n_rb = static_cast<int>(blocks.size()), step = c_.ptrs.frequency_density;
    const int k_rb = c_.rnti % (n_rb % step == 0 ? step : n_rb % step);
    const int number =
        static_cast<int>(std::find(blocks.begin(), blocks.end(), e.rb) - blocks.begin());
    for (const std::int8_t port : c_.ptrs.dmrs_port) {
      if (port < 0) continue;
      static constexpr int type1[4][4] = {{0, 2, 6, 8}, {2, 4, 8, 10}, {1, 3, 7, 9}, {3, 5, 9, 11}};
      static constexpr int type2[6][4] = {{0, 1, 6, 7}, {1, 6, 7, 0},   {2, 3, 8, 9},
                                          {3, 8, 9, 2}, {4, 5, 10, 11}, {5, 10, 11, 4}};
      const int k_re =
          c_.dmrs.type == 1 ? type1[port][c_.ptrs.re_offset] : type2[port][c_.ptrs.re_offset];
      for (int i = 0; k_re + 12 * (i * step + k_rb) < 12 * n_rb; ++i)
        if (k_re + 12 * (i * step + k_rb) == 12 * number + e.k) return port;
    }
    return -1;
  }

  int cdm_group(int k) const { return c_.dmrs.type == 1 ? k % 2 : k % 6 / 2; }

  bool is_data(const Element& e) const {
    if (is_reserved(e) || ptrs_port_of(e) >= 0) return false;
    return !dmrs_in(e.l) || cdm_group(e.k) >= c_.dmrs.cdm_groups_without_data;
  }

  cf64 weight(int rb, std::size_t port, std::size_t layer) const {
    if (precoding_.matrices.empty()) return port == layer ? 1 : 0;
    int group = 0;
    if (precoding_.group_rbs > 0)
      group = rb / precoding_.group_rbs - blocks_[0].front() / precoding_.group_rbs;
    return cf64(precoding_.matrices(group, port, layer));
  }

  void put(const Element& e, const std::vector<cf64>& layers) {
    for (std::size_t port = 0; port < grid_.extent(0); ++port) {
      cf64 sum = 0;
      for (std::size_t layer = 0; layer < layers.size(); ++layer)
        sum += weight(e.rb, port, layer) * layers[layer];
      grid_(port, e.l, 12 * e.rb + e.k) = sum;
    }
  }

  // Scrambled and modulated (TS 38.211 6.3.1.1, 6.3.1.2, 7.3.1.1, 7.3.1.2).
  std::vector<cf64> symbols_of(int q, const Payload& payload) const {
    Bits bits = c_.uci.any() ? bits_with_uci(payload) : bits_of_sch(q, payload, -1);
    Gold c((std::uint64_t{c_.rnti} << 15) + (static_cast<std::uint64_t>(q) << 14) +
           c_.scrambling_id);
    for (std::size_t i = 0; i < bits.size(); ++i) {
      if (bits[i] == 2) {
        bits[i] = 1;
      } else if (bits[i] == 3) {
        bits[i] = bits[i - 1];
      } else {
        bits[i] = static_cast<std::uint8_t>(bits[i] ^ c(i));
      }
    }
    const nr::Modulation modulation = q == 0 ? c_.modulation : c_.second.modulation;
    const auto qm = static_cast<std::size_t>(nr::bits_per_symbol(modulation));
    Bits packed(bytes_for_bits(bits.size()));
    for (std::size_t i = 0; i < bits.size(); ++i) set_bit(packed.data(), i, bits[i] != 0);
    std::vector<cf64> symbols(bits.size() / qm);
    ref::modulate(modulation, packed, 1, symbols);
    return symbols;
  }

  // coded_bits: -1: all of the codeword.
  Bits bits_of_sch(int q, const Payload& payload, int coded_bits) const {
    fec::SchConfig config;
    config.tb_bits = q == 0 ? c_.tb_bits : c_.second.tb_bits;
    config.code_rate_x10240 = q == 0 ? c_.code_rate_x10240 : c_.second.code_rate_x10240;
    config.bits_per_symbol = nr::bits_per_symbol(q == 0 ? c_.modulation : c_.second.modulation);
    config.layers = c_.layers <= 4 ? c_.layers : q == 0 ? c_.layers / 2 : (c_.layers + 1) / 2;
    config.rv = q == 0 ? c_.rv : c_.second.rv;
    config.limited_buffer_bits = q == 0 ? c_.limited_buffer_bits : c_.second.limited_buffer_bits;
    config.coded_bits =
        coded_bits >= 0 ? coded_bits : count_data() * config.layers * config.bits_per_symbol;
    Bits packed(bytes_for_bits(static_cast<std::size_t>(config.coded_bits)));
    fec::SchWorkspace workspace;
    fec::sch_encode(config, payload.tb[static_cast<std::size_t>(q)], packed, workspace);
    return unpack(packed, static_cast<std::size_t>(config.coded_bits));
  }

  static Bits unpack(const Bits& packed, std::size_t count) {
    Bits bits(count);
    for (std::size_t i = 0; i < count; ++i) bits[i] = bit_at(packed.data(), i) ? 1 : 0;
    return bits;
  }

  int count_data() const {
    int count = 0;
    for (int l = c_.symbol_start; l < c_.symbol_start + c_.symbol_count; ++l)
      count += count_data(l);
    return count;
  }
  int count_data(int l) const {
    int count = 0;
    for (const int rb : blocks_[hop_of(l)])
      for (int k = 0; k < 12; ++k) count += is_data({l, rb, k}) ? 1 : 0;
    if (c_.transform_precoding && ptrs_symbols_.count(l) != 0)
      count -= c_.ptrs.groups * c_.ptrs.group_samples;
    return count;
  }

  // TS 38.212 6.2.7 over the layout of fec::ref, with placeholders.
  Bits bits_with_uci(const Payload& payload) const {
    const auto config = fec::pusch_uci_config(c_).value();
    const auto elements = fec::ref::pusch_uci_elements(config);
    const auto element_bits =
        static_cast<std::size_t>(c_.layers * nr::bits_per_symbol(c_.modulation));
    Bits bits(static_cast<std::size_t>(count_data()) * element_bits, 0);
    const auto lay = [&](std::size_t part, const Bits& coded) {
      for (std::size_t i = 0; i < coded.size(); ++i)
        bits[static_cast<std::size_t>(elements[part][i / element_bits]) * element_bits +
             i % element_bits] = coded[i];
    };
    // HARQ-ACK comes last: it overwrites.
    const auto coded_bits = [&](std::size_t part) {
      return static_cast<int>(elements[part].size() * element_bits);
    };
    if (c_.tb_bits > 0) lay(0, bits_of_sch(0, payload, coded_bits(0)));
    lay(2, bits_of_uci(payload.uci.csi1, config.csi1_bits, coded_bits(2)));
    lay(3, bits_of_uci(payload.uci.csi2, config.csi2_bits, coded_bits(3)));
    lay(1, bits_of_uci(payload.uci.harq, config.harq_bits, coded_bits(1)));
    return bits;
  }

  Bits bits_of_uci(View<const std::uint8_t, 1> given, int count, int coded_bits) const {
    if (count == 0) return {};
    Bits message(bytes_for_bits(static_cast<std::size_t>(count)));
    std::copy(given.begin(), given.end(), message.begin());
    const int qm = nr::bits_per_symbol(c_.modulation);
    Bits packed(bytes_for_bits(static_cast<std::size_t>(coded_bits)));
    const auto code =
        fec::make_uci_code({.bits = count, .coded_bits = coded_bits, .bits_per_symbol = qm});
    fec::uci_encode(code.value(), message, packed, 0);
    Bits bits = unpack(packed, static_cast<std::size_t>(coded_bits));
    if (count > 2) return bits;
    // TS 38.212 tables 5.3.3.1-1, 5.3.3.2-1: a symbol begins with `count` bits, or one of the
    // two-bit code's three; y only follows the one bit, x has the rest.
    for (std::size_t i = 0; i < bits.size(); ++i) {
      const int place = static_cast<int>(i) % qm;
      if (qm == 1) continue;
      if (count == 1 && place == 1) bits[i] = 3;
      if (place >= 2) bits[i] = 2;
    }
    return bits;
  }

  void map_data(const std::vector<std::vector<cf64>>& codewords) {
    std::array<std::size_t, 2> next{};
    const auto layer_values = [&] {
      std::vector<cf64> layers;
      for (std::size_t q = 0; q < codewords.size(); ++q) {
        const int count = codewords.size() == 1 ? c_.layers
                          : q == 0              ? c_.layers / 2
                                                : (c_.layers + 1) / 2;
        for (int i = 0; i < count; ++i) layers.push_back(codewords[q].at(next[q]++));
      }
      return layers;
    };
    for (int l = c_.symbol_start; l < c_.symbol_start + c_.symbol_count; ++l) {
      if (c_.transform_precoding) {
        if (!dmrs_in(l)) map_dft_symbol(l, codewords[0], next[0]);
        continue;
      }
      for (const int rb : virtual_order_[hop_of(l)])
        for (int k = 0; k < 12; ++k)
          if (is_data({l, rb, k})) put({l, rb, k}, layer_values());
    }
    for (std::size_t q = 0; q < codewords.size(); ++q) assert(next[q] == codewords[q].size());
  }

  // TS 38.211 6.3.1.4, 6.4.1.2.2.2.
  void map_dft_symbol(int l, const std::vector<cf64>& symbols, std::size_t& next) {
    const auto& blocks = blocks_[hop_of(l)];
    const auto size = static_cast<int>(12 * blocks.size());
    const std::map<int, cf64> ptrs =
        ptrs_symbols_.count(l) != 0 ? ptrs_samples(size) : std::map<int, cf64>();
    std::vector<cf64> samples, spectrum(static_cast<std::size_t>(size));
    for (int m = 0; m < size; ++m) {
      const auto at = ptrs.find(m);
      samples.push_back(at != ptrs.end() ? at->second : symbols.at(next++));
    }
    ref::dft(FftDirection::forward, samples, spectrum);
    std::size_t i = 0;
    for (const int rb : blocks)
      for (int k = 0; k < 12; ++k) put({l, rb, k}, {spectrum[i++]});
  }

  // Tables 6.4.1.2.2.2-1, 6.4.1.2.1.2-1 and TS 38.214 6.2.3.2-1.
  std::map<int, cf64> ptrs_samples(int size) const {
    const int groups = c_.ptrs.groups, n = c_.ptrs.group_samples;
    std::vector<int> places;
    const auto add = [&](int base, int from) {
      for (int k = 0; k < n; ++k) places.push_back(base + from + k);
    };
    if (groups == 2 && n == 2)
      for (const int s : {1, 3}) add(s * (size / 4), -1);
    if (groups == 2 && n == 4) add(0, 0), add(size, -4);
    if (groups == 4 && n == 2)
      for (const int s : {1, 3, 5, 7}) add(s * size / 8, -1);
    if (groups == 4 && n == 4) {
      add(0, 0);
      for (const int s : {1, 2}) add(s * size / 4 + size / 8, -2);
      add(size, -4);
    }
    if (groups == 8) {
      add(0, 0);
      for (int s = 1; s <= 6; ++s) add(s * size / 8 + size / 16, -2);
      add(size, -4);
    }
    static const std::vector<std::vector<int>> w2 = {{1, 1}, {1, -1}};
    static const std::vector<std::vector<int>> w4 = {
        {1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}};
    const auto& w = (n == 2 ? w2 : w4)[static_cast<std::size_t>(c_.rnti % n)];
    double beta = 1;
    if (c_.modulation == nr::Modulation::qam16) beta = 3 / std::sqrt(5.0);
    if (c_.modulation == nr::Modulation::qam64) beta = 7 / std::sqrt(21.0);
    if (c_.modulation == nr::Modulation::qam256) beta = 15 / std::sqrt(85.0);
    Gold c(pilot_init(slot_, *ptrs_symbols_.begin(), c_.ptrs.scrambling_id, 0));
    std::map<int, cf64> samples;
    for (std::size_t i = 0; i < places.size(); ++i) {
      const double sign = 1 - 2 * c(i);
      const cf64 turn = std::polar(1.0, std::numbers::pi / 2 * (places[i] % 2));
      samples[places[i]] = static_cast<double>(c_.ptrs.amplitude) * beta *
                           w[i % static_cast<std::size_t>(n)] * turn / std::sqrt(2.0) *
                           cf64(sign, sign);
    }
    return samples;
  }

  // The value of r at an element, as if symbol `of` were sent there.
  cf64 dmrs_sequence(const Element& e, int of) {
    const int n = c_.dmrs.type == 1 ? 6 : 4;
    const int pilot = c_.dmrs.type == 1 ? e.k / 2 : 2 * (e.k / 6) + e.k % 2;
    if (c_.transform_precoding) {
      const auto& blocks = blocks_[hop_of(e.l)];
      return low_papr(of, 6 * blocks.size())
          .at(static_cast<std::size_t>(n * (e.rb - blocks.front()) + pilot));
    }
    auto found = gold_.find(of);
    if (found == gold_.end())
      found = gold_.emplace(of, Gold(pilot_init(slot_, of, c_.dmrs.scrambling_id, c_.dmrs.n_scid)))
                  .first;
    const auto m = static_cast<std::size_t>(n * (e.rb - c_.dmrs.reference_rb) + pilot);
    return cf64(1 - 2 * found->second(2 * m), 1 - 2 * found->second(2 * m + 1)) / std::sqrt(2.0);
  }

  // TS 38.211 6.4.1.1.1.2.
  const std::vector<cf64>& low_papr(int l, std::size_t size) {
    auto& sequence = low_papr_[l];
    if (!sequence.empty()) return sequence;
    const int first = l - (c_.dmrs.double_symbol ? dmrs_l_prime(c_.dmrs, l) : 0);
    const int id = c_.dmrs.scrambling_id;
    int f_gh = 0, v = 0;
    if (c_.dmrs.hopping == nr::SequenceHopping::group) {
      Gold c(static_cast<std::uint64_t>(id / 30));
      for (int m = 0; m < 8; ++m)
        f_gh += c(static_cast<std::size_t>(8 * (14 * slot_ + first) + m)) << m;
      f_gh %= 30;
    }
    if (c_.dmrs.hopping == nr::SequenceHopping::sequence && size >= 72) {
      Gold c(static_cast<std::uint64_t>(id));
      v = c(static_cast<std::size_t>(14 * slot_ + first));
    }
    sequence.resize(size);
    nr::low_papr_type1((f_gh + id) % 30, v, 0, View<cf64, 1>(sequence));
    return sequence;
  }

  void map_reference_signals() {
    std::vector<int> ports;
    for (int p = 0; p < 12; ++p)
      if ((c_.dmrs.port_mask >> p & 1) != 0) ports.push_back(p);
    for (int l = c_.symbol_start; l < c_.symbol_start + c_.symbol_count; ++l)
      for (const int rb : blocks_[hop_of(l)])
        for (int k = 0; k < 12; ++k) {
          const Element e{l, rb, k};
          if (is_reserved(e)) continue;
          if (dmrs_in(l) && cdm_group(k) < c_.dmrs.cdm_groups_without_data)
            put(e, dmrs_layers(e, ports));
          if (const int port = ptrs_port_of(e); port >= 0) put(e, ptrs_layers(e, ports, port));
        }
  }

  std::vector<cf64> dmrs_layers(const Element& e, const std::vector<int>& ports) {
    std::vector<cf64> layers;
    for (const int p : ports) {
      const DmrsPort of = dmrs_port(c_.dmrs.type, p);
      if (of.cdm_group != cdm_group(e.k)) {
        layers.emplace_back(0);
        continue;
      }
      const int k_prime = c_.dmrs.type == 1 ? e.k / 2 % 2 : e.k % 2;
      layers.push_back(nr::dmrs_amplitude(c_.dmrs) * of.w_f[k_prime] *
                       of.w_t[dmrs_l_prime(c_.dmrs, e.l)] * dmrs_sequence(e, e.l));
    }
    return layers;
  }

  std::vector<cf64> ptrs_layers(const Element& e, const std::vector<int>& ports, int port) {
    int first = c_.symbol_start;  // of the hop
    if (hop_of(e.l) == 1) first += c_.symbol_count / 2;
    while (!dmrs_in(first)) ++first;
    std::vector<cf64> layers;
    for (const int p : ports)
      layers.push_back(p == port ? static_cast<double>(c_.ptrs.amplitude) * dmrs_sequence(e, first)
                                 : 0);
    return layers;
  }

  int slot_;
  const nr::SharedChannel& c_;
  const Precoding& precoding_;
  View<cf64, 3> grid_;
  std::vector<int> blocks_[2], virtual_order_[2];
  std::set<int> ptrs_symbols_;
  std::map<int, Gold> gold_;
  std::map<int, std::vector<cf64>> low_papr_;
};

}  // namespace

void shared_channel_transmit(const nr::Carrier& carrier, int slot, const nr::SharedChannel& channel,
                             const Payload& payload, const Precoding& precoding,
                             View<cf64, 3> grid) {
  assert(grid.extent(1) == nr::symbols_per_slot);
  assert(grid.extent(2) == static_cast<std::size_t>(carrier.subcarriers()));
  static_cast<void>(carrier);
  Sender(slot, channel, precoding, grid).send(payload);
}

}  // namespace noroshi::phy::ref
