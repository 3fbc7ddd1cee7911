#include "site/lease/cost_model.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <fstream>
#include <sstream>

#include "fec/ldpc/ldpc_graph.h"
#include "fec/segment/segment.h"
#include "nr/shared_channel.h"
#include "phy/shared_channel/allocation.h"

namespace noroshi::site {
namespace {

constexpr int kinds = SlotWork::kinds;
constexpr double clip_ratio = 4;  // a stall teaches no price
// How fast prices move: fast at first, then slowly.
constexpr double first_step = 0.2, last_step = 0.01;
constexpr double first_step_slots = 500;
constexpr std::uint32_t counts_max = 1 << 17;  // of a spread; then all halve
constexpr std::uint32_t refresh_every = 32;
constexpr double error_weight = 1.0 / 256;
constexpr double price_min = 1e-3, price_max = 1e9;

// Nanoseconds a unit before anything was learned: of the slowest machine seen.
constexpr std::array<double, kinds> first_prices = {15'000, 3'000, 800, 150, 100, 100};

void add_ldpc(const fec::SchConfig& config, SlotWork& work) {
  if (config.tb_bits <= 0 || config.coded_bits <= 0) return;
  const int base_graph = fec::choose_base_graph(config.tb_bits, config.code_rate_x10240);
  const int bits = config.tb_bits + fec::crc_bits(fec::tb_crc(config.tb_bits));
  if (!fec::has_segmentation(bits, base_graph)) return;
  const auto segments = fec::make_segmentation(bits, base_graph);
  const int sent =
      std::min(segments->coded_bits(), std::max(1, config.coded_bits / segments->code_blocks));
  const int zc = segments->lifting_size;
  const int rows = fec::ldpc_rows_needed(base_graph, zc, sent);
  const int edges = fec::ldpc_graph(base_graph, zc).row_begin[rows];
  work.units[4] +=
      static_cast<float>(edges * zc) / 1e3f * static_cast<float>(segments->code_blocks);
}

// copies: layers to be made or antennas to be read; matrix: antennas times layers, 0 for one layer.
void add_work(const nr::SharedChannel& channel, int copies, int matrix, SlotWork& work) {
  const int elements =
      static_cast<int>(channel.rbs.count()) * nr::subcarriers_per_rb * channel.symbol_count;
  const int data_elements = nr::data_resource_elements(channel);
  work.units[1] += 1;
  work.units[2] += static_cast<float>(elements * copies) / 1e3f;
  work.units[5] += static_cast<float>(elements * matrix) / 1e3f;
  for (int codeword = 0; codeword < nr::codewords(channel); ++codeword) {
    const fec::SchConfig config = phy::sch_config(channel, codeword, data_elements);
    work.units[3] += static_cast<float>(config.coded_bits) / 1e3f;
    add_ldpc(config, work);
  }
}

}  // namespace

SlotWork downlink_work(const CellLimits& cell, const fapi::DlTtiRequest& request) {
  SlotWork work;
  work.units[0] = 1;
  nr::SharedChannel channel;
  for (int i = 0; i < std::min(request.n_pdus, fapi::pdus_per_slot_max); ++i) {
    const auto& pdu = request.pdus[static_cast<std::size_t>(i)];
    if (read_pdsch(cell, pdu, channel, &request) || phy::refuse_downlink(cell.carrier, channel))
      continue;
    const bool precoded = pdu.precoding_and_beamforming.num_prgs > 0;
    add_work(channel, channel.layers, precoded ? cell.transmit_antennas * channel.layers : 0, work);
  }
  return work;
}

SlotWork uplink_work(const CellLimits& cell, const fapi::UlTtiRequest& request) {
  SlotWork work;
  if (request.n_pdus == 0) return work;
  work.units[0] = 1;
  nr::SharedChannel channel;
  for (int i = 0; i < std::min(request.n_pdus, fapi::pdus_per_slot_max); ++i) {
    const auto& pdu = request.pdus[static_cast<std::size_t>(i)];
    if (read_pusch(cell, pdu, channel) || phy::refuse_uplink(cell.carrier, channel)) continue;
    add_work(channel, cell.receive_antennas,
             channel.layers > 1 ? cell.receive_antennas * channel.layers : 0, work);
  }
  return work;
}

int CostModel::Spread::bin_of(double ratio) {
  const double step = std::floor(steps * (std::log2(std::max(ratio, 1e-3)) + 3));
  return static_cast<int>(std::clamp(step, 0.0, double{bins - 1}));
}

void CostModel::Spread::add(double ratio) {
  ++counts[static_cast<std::size_t>(bin_of(ratio))];
  ++total;
  if (total >= counts_max) {
    total = 0;
    for (std::uint32_t& count : counts) total += count /= 2;
  }
  if (total < refresh_every || total % refresh_every == 0) refresh();
}

void CostModel::Spread::refresh() {
  p50 = static_cast<float>(total == 0 ? 1 : quantile(0.5));
  p9999 = static_cast<float>(quantile(0.9999));
}

// With one slot more than was seen, which took unseen_ratio or as long as the longest.
double CostModel::Spread::quantile(double q) const {
  const double rank = q * (total + 1.0);
  double seen = 0;
  double edge = 0;
  for (int bin = 0; bin < bins; ++bin) {
    if (counts[static_cast<std::size_t>(bin)] == 0) continue;
    seen += counts[static_cast<std::size_t>(bin)];
    edge = std::exp2((bin + 1.0) / steps - 3);
    if (seen >= rank) return edge;
  }
  return std::max(edge, unseen_ratio);
}

double CostModel::Spread::between(double from, double to) const {
  if (to <= 0 || to <= from) return 0;
  std::uint32_t seen = from <= unseen_ratio && unseen_ratio < to ? 1 : 0;
  for (int bin = bin_of(from); bin <= bin_of(to); ++bin)
    seen += counts[static_cast<std::size_t>(bin)];
  return static_cast<double>(seen) / (total + 1.0);
}

CostModel::CostModel() : w_(first_prices) {}

double CostModel::price(const SlotWork& work) const {
  double sum = 0;
  for (std::size_t i = 0; i < kinds; ++i) sum += w_[i] * double{work.units[i]};
  return std::max(sum, 1.0);
}

const CostModel::Spread& CostModel::spread_of(double price_ns) const {
  const int octave = std::ilogb(price_ns / 1000);
  return spreads_[static_cast<std::size_t>(std::clamp(octave, 0, classes - 1))];
}

CostModel::Spread& CostModel::spread_of(double price_ns) {
  return const_cast<Spread&>(std::as_const(*this).spread_of(price_ns));
}

CostPrediction CostModel::predict(const SlotWork& work) const {
  if (work.none()) return {};
  const double price_ns = price(work);
  const Spread& spread = spread_of(price_ns);
  return {static_cast<std::int64_t>(price_ns * double{spread.p50}),
          static_cast<std::int64_t>(price_ns * double{spread.p9999})};
}

double CostModel::share_between(const SlotWork& work, std::int64_t from_ns,
                                std::int64_t to_ns) const {
  const double price_ns = price(work);
  return spread_of(price_ns).between(static_cast<double>(from_ns) / price_ns,
                                     static_cast<double>(to_ns) / price_ns);
}

void CostModel::learn(const SlotWork& work, const Elapsed& elapsed) {
  const std::int64_t took_ns = elapsed.own_ns();
  if (work.none() || took_ns <= 0) return;
  if (elapsed.stalled()) {
    ++error_.stalled;
    return;
  }
  const CostPrediction predicted = predict(work);
  const double took = static_cast<double>(took_ns);
  ++error_.slots;
  error_.over_p9999 += took_ns > predicted.p9999_ns;
  const double miss =
      std::abs(took / static_cast<double>(std::max<std::int64_t>(predicted.p50_ns, 1)) - 1);
  error_.p50_error += error_weight * (std::min(miss, clip_ratio) - error_.p50_error);

  const double price_ns = price(work);
  spread_of(price_ns).add(took / price_ns);
  learn_prices(work, price_ns, took);
}

// Each price moves by the relative error, in proportion to its share of the sum: none can become
// negative, and kinds of work that always come together cannot drift apart.
void CostModel::learn_prices(const SlotWork& work, double price_ns, double took_ns) {
  const double error = std::clamp(took_ns / price_ns, 1 / clip_ratio, clip_ratio) - 1;
  const double step =
      std::max(last_step, first_step * first_step_slots /
                              (first_step_slots + static_cast<double>(error_.slots)));
  for (std::size_t i = 0; i < kinds; ++i) {
    const double share = w_[i] * double{work.units[i]} / price_ns;
    w_[i] = std::clamp(w_[i] * std::exp(step * error * share), price_min, price_max);
  }
}

std::string CostModel::save() const {
  std::ostringstream out;
  out.precision(17);
  out << "prices";
  for (const double w : w_) out << ' ' << w;
  out << '\n';
  for (std::size_t c = 0; c < spreads_.size(); ++c) {
    if (spreads_[c].total == 0) continue;
    out << "spread " << c;
    for (std::size_t bin = 0; bin < bins; ++bin) {
      if (spreads_[c].counts[bin] > 0) out << ' ' << bin << ':' << spreads_[c].counts[bin];
    }
    out << '\n';
  }
  return out.str();
}

namespace {

// False when the line has other than the prices.
bool read_prices(std::istream& line, std::array<double, kinds>& prices) {
  for (double& price : prices) {
    if (!(line >> price) || !(price >= price_min && price <= price_max)) return false;
  }
  std::string rest;
  return !(line >> rest);
}

}  // namespace

Result<void> CostModel::load(std::string_view text) {
  CostModel read;
  std::istringstream lines{std::string(text)};
  bool prices = false;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word;
    words >> word;
    bool good = false;
    if (word == "prices") {
      good = prices = read_prices(words, read.w_);
    } else if (word == "spread") {
      good = read.load_spread(words);
    }
    if (!good) return Error{"not a line of a cost model: '" + line.substr(0, 60) + "'"};
  }
  if (!prices) return Error{"a cost model without prices"};
  *this = read;
  return {};
}

bool CostModel::load_spread(std::istream& words) {
  int octave = -1;
  if (!(words >> octave) || octave < 0 || octave >= classes) return false;
  Spread& spread = spreads_[static_cast<std::size_t>(octave)];
  if (spread.total != 0) return false;  // said twice
  int bin = -1;
  char colon = 0;
  long long count = 0;
  while (words >> bin >> colon >> count) {
    if (bin < 0 || bin >= bins || colon != ':' || count < 1 || count >= counts_max) return false;
    if (spread.counts[static_cast<std::size_t>(bin)] != 0) return false;
    if (spread.total + count >= counts_max) return false;
    spread.counts[static_cast<std::size_t>(bin)] = static_cast<std::uint32_t>(count);
    spread.total += static_cast<std::uint32_t>(count);
  }
  spread.refresh();
  return words.eof() && spread.total > 0;
}

std::string cost_model_origin(const nr::Carrier& carrier, int transmit_antennas,
                              int receive_antennas) {
  std::string processor = "unknown processor";
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    processor = line.substr(std::min(line.size(), line.find(':') + 2));
    break;
  }
  return processor + ", FFT " + std::to_string(carrier.fft_size) + ", " +
         std::to_string(transmit_antennas) + "T" + std::to_string(receive_antennas) + "R";
}

namespace {
constexpr std::string_view title = "noroshi cost model 2\n";
constexpr std::string_view downlink_title = "downlink\n";
constexpr std::string_view uplink_title = "uplink\n";
}  // namespace

std::string format_cost_model(const CellCostModel& model, const std::string& origin) {
  return std::string(title) + origin + '\n' + std::string(downlink_title) + model.downlink.save() +
         std::string(uplink_title) + model.uplink.save();
}

Result<void> parse_cost_model(std::string_view text, const std::string& origin,
                              CellCostModel& model) {
  if (!text.starts_with(title)) return Error{"not a cost model of this version"};
  text.remove_prefix(title.size());
  const std::size_t line_end = std::min(text.find('\n'), text.size());
  const std::string_view its_origin = text.substr(0, line_end);
  if (its_origin != origin) {
    return Error{"learned on '" + std::string(its_origin.substr(0, 120)) + "', this is '" + origin +
                 "'"};
  }
  text.remove_prefix(std::min(text.size(), line_end + 1));
  const std::size_t uplink = text.find("\nuplink\n");
  if (!text.starts_with(downlink_title) || uplink == std::string_view::npos)
    return Error{"a cost model that ends too early"};
  CellCostModel read;
  const std::string_view first = text.substr(0, uplink + 1);
  Result<void> done = read.downlink.load(first.substr(downlink_title.size()));
  if (done) done = read.uplink.load(text.substr(uplink + 1 + uplink_title.size()));
  if (!done) return done;
  model = read;
  return {};
}

}  // namespace noroshi::site
