#pragma once

// What the radio's work of a slot will cost in processor time, told from its FAPI requests before
// it runs, and learned from the slots that ran.
//
//   cost = (w . x) r
//
//   x   the work that the requests ask for, counted (SlotWork)
//   w   nanoseconds a unit: the relative error of each slot moves them, by their shares of it
//   r   what it took over w . x: a distribution, one for each octave of w . x, that forgets too
//
// What it took is the radio's own time: of a slot that was stalled (site/lease/stall.h) little is
// known, it is left out and counted, so that r has the radio's tail and not the host's. (Long slots
// are stalled, and left out, more often than short ones; with one stall in a thousand slots that
// moves no quantile.)
//
// A prediction is a quantile of that. While a quantile has seen fewer slots than it speaks of (ten
// thousand for p99.99), a prior of `unseen_ratio` stands for what has not been seen yet. One
// writer; nothing allocates.

#include <array>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>

#include "base/result.h"
#include "fapi/messages.h"
#include "nr/carrier.h"
#include "site/lease/stall.h"
#include "site/pdu.h"

namespace noroshi::site {

// Units that cost: each counts something that the radio's code loops over.
struct SlotWork {
  static constexpr int kinds = 6;
  //  0  1 for a slot with work: what does not depend on the requests (OFDM, with fixed antennas)
  //  1  PDUs
  //  2  resource elements times layers (downlink) or receive antennas (uplink), thousands
  //  3  coded bits, thousands
  //  4  LDPC: edges of the base graph's used rows times Zc, thousands, over all code blocks
  //  5  matrices: resource elements times antennas times layers, thousands, where one layer is not
  //     all (equalising and estimating several, precoding)
  std::array<float, kinds> units{};

  bool none() const { return units[0] == 0; }
};

// A PDU that the cell would refuse costs nothing.
SlotWork downlink_work(const CellLimits& cell, const fapi::DlTtiRequest& request);
SlotWork uplink_work(const CellLimits& cell, const fapi::UlTtiRequest& request);

struct CostPrediction {
  std::int64_t p50_ns = 0;
  std::int64_t p9999_ns = 0;
};

// How good the model has been, judged before it learned of each slot.
struct CostModelError {
  std::uint64_t slots = 0;
  std::uint64_t stalled = 0;     // slots that were left out, beside them
  std::uint64_t over_p9999 = 0;  // slots that took longer than their p99.99
  double p50_error = 0;          // mean of |took / p50 - 1|, recent slots
};

class CostModel {
 public:
  CostModel();

  // Zero for no work.
  CostPrediction predict(const SlotWork& work) const;
  // The share of such slots that take longer than from_ns and at most to_ns, as far as was seen.
  double share_between(const SlotWork& work, std::int64_t from_ns, std::int64_t to_ns) const;
  // What that work took, from start to end. A stalled one teaches nothing; stalls that nobody saw
  // count as they are in the distribution, and are clipped where the prices are learned.
  void learn(const SlotWork& work, const Elapsed& took);
  const CostModelError& error() const { return error_; }

  // What it knows, as lines of words and numbers.
  std::string save() const;
  // Errors: not what save() writes; the model is unchanged then.
  Result<void> load(std::string_view text);

  static constexpr double unseen_ratio = 3;

 private:
  // Distribution of r in steps of 1/16 octave from 1/8 on.
  static constexpr int steps = 16;
  static constexpr int bins = 16 * steps;
  static constexpr int classes = 12;  // octaves of w . x from 1 us on
  struct Spread {
    std::array<std::uint32_t, bins> counts{};
    std::uint32_t total = 0;
    float p50 = 1, p9999 = unseen_ratio;  // as of the last refresh
    static int bin_of(double ratio);
    void add(double ratio);
    double between(double from, double to) const;
    void refresh();
    double quantile(double q) const;
  };

  double price(const SlotWork& work) const;  // w . x, ns
  Spread& spread_of(double price_ns);
  const Spread& spread_of(double price_ns) const;
  void learn_prices(const SlotWork& work, double price_ns, double took_ns);
  bool load_spread(std::istream& words);

  std::array<double, SlotWork::kinds> w_;
  std::array<Spread, classes> spreads_{};
  CostModelError error_;
};

// The models of a cell, kept in a file between runs.
struct CellCostModel {
  CostModel downlink, uplink;
};

// What the figures depend on beside the requests: this processor and the cell's antennas and FFT.
std::string cost_model_origin(const nr::Carrier& carrier, int transmit_antennas,
                              int receive_antennas);

std::string format_cost_model(const CellCostModel& model, const std::string& origin);
// Errors: not a cost model, or one learned elsewhere (both origins are named); the model is
// unchanged then.
Result<void> parse_cost_model(std::string_view text, const std::string& origin,
                              CellCostModel& model);

}  // namespace noroshi::site
