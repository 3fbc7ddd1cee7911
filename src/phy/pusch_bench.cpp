// A slot of PUSCH, grid to transport block: all 14 symbols, DM-RS type 1 in symbols 2 and 11, no
// data beside it. Layers x antennas; a flat channel well above the working point of its MCS, so
// that every code block passes its CRC. `2 threads` shares the slot between two that wait for each
// other spinning. A hash of the whole block byte by byte would take a sixth of the receiver's time:
// each run's hash is of the block's start, its CRC and the iterations stand for the rest.

#include <atomic>
#include <cassert>
#include <cmath>
#include <numbers>
#include <string>
#include <thread>
#include <vector>

#include "base/bench.h"
#include "base/prng.h"
#include "nr/mcs.h"
#include "phy/pdsch.h"
#include "phy/pusch.h"

namespace noroshi::phy {
namespace {

struct Case {
  const char* name;
  int rbs;
  int layers;
  int antennas;
  nr::Modulation modulation;
  int code_rate_x10240;
  double snr_db;
};

nr::Carrier wide_carrier() {
  Result<nr::Carrier> carrier = nr::make_carrier(30, 100);
  assert(carrier.ok());
  return *carrier;
}

nr::SharedChannel make_channel(const Case& c) {
  nr::SharedChannel channel;
  channel.rnti = 0x4601;
  channel.scrambling_id = 1;
  for (int rb = 0; rb < c.rbs; ++rb) channel.rbs[static_cast<std::size_t>(rb)] = true;
  channel.modulation = c.modulation;
  channel.code_rate_x10240 = c.code_rate_x10240;
  channel.dmrs.symbol_mask = 1u << 2 | 1u << 11;
  channel.layers = c.layers;
  channel.dmrs.port_mask = static_cast<std::uint16_t>((1u << c.layers) - 1);
  channel.tb_bits = nr::transport_block_bits(channel);
  assert(check_pusch(wide_carrier(), channel).ok());
  return channel;
}

std::vector<std::uint8_t> random_block(const nr::SharedChannel& channel) {
  Prng prng(1);
  std::vector<std::uint8_t> tb(static_cast<std::size_t>(channel.tb_bits) / 8);
  for (auto& byte : tb) byte = static_cast<std::uint8_t>(prng());
  return tb;
}

// What the antennas see: layer i on antenna a turned by 2 pi a i / antennas, in white noise.
std::vector<cf32> receive_grid(const std::vector<cf32>& sent, const Case& c) {
  Prng prng(2);
  const double sigma = std::sqrt(std::pow(10.0, -c.snr_db / 10) / 2);
  const std::size_t size = sent.size() / static_cast<std::size_t>(c.layers);
  std::vector<cf32> received;
  received.reserve(size * static_cast<std::size_t>(c.antennas));
  for (int a = 0; a < c.antennas; ++a)
    for (std::size_t i = 0; i < size; ++i) {
      cf64 sum(sigma * prng.normal(), sigma * prng.normal());
      for (int layer = 0; layer < c.layers; ++layer)
        sum += cf64(sent[static_cast<std::size_t>(layer) * size + i]) *
               std::polar(1.0, 2 * std::numbers::pi * a * (layer + 0.3) / c.antennas);
      received.emplace_back(sum);
    }
  return received;
}

// A second thread that spins until it is given the second half of some tasks.
class Pair {
 public:
  Pair()
      : thread_([this] {
          for (int seen = 0;; ++seen) {
            while (given_.load(std::memory_order_acquire) == seen)
              ;
            if (task_ == nullptr) return;
            for (int i = 1; i < tasks_; i += 2) task_(argument_, i);
            done_.store(seen + 1, std::memory_order_release);
          }
        }) {}
  ~Pair() {
    task_ = nullptr;
    given_.fetch_add(1, std::memory_order_release);
    thread_.join();
  }
  Workers workers() {
    return {2,
            [](void* context, int tasks, void (*task)(void*, int), void* argument) {
              static_cast<Pair*>(context)->run(tasks, task, argument);
            },
            this};
  }

 private:
  void run(int tasks, void (*task)(void*, int), void* argument) {
    task_ = task, argument_ = argument, tasks_ = tasks;
    const int round = given_.fetch_add(1, std::memory_order_release) + 1;
    for (int i = 0; i < tasks; i += 2) task(argument, i);
    while (done_.load(std::memory_order_acquire) != round)
      ;
  }

  std::atomic<int> given_ = 0, done_ = 0;
  void (*task_)(void*, int) = nullptr;
  void* argument_ = nullptr;
  int tasks_ = 0;
  std::thread thread_;
};

constexpr Case pusch_cases[] = {
    {"273prb 256qam r0.926 1x1", 273, 1, 1, nr::Modulation::qam256, 9480, 35},
    {"273prb 256qam r0.926 1x4", 273, 1, 4, nr::Modulation::qam256, 9480, 35},
    {"273prb 256qam r0.926 2x4", 273, 2, 4, nr::Modulation::qam256, 9480, 35},
    {"273prb 256qam r0.926 4x4", 273, 4, 4, nr::Modulation::qam256, 9480, 35},
    {"273prb 64qam r0.853 1x1", 273, 1, 1, nr::Modulation::qam64, 8730, 28},
    {"273prb 64qam r0.853 1x4", 273, 1, 4, nr::Modulation::qam64, 8730, 28},
    {"273prb 64qam r0.853 4x4", 273, 4, 4, nr::Modulation::qam64, 8730, 28},
    {"273prb qpsk r0.301 1x1", 273, 1, 1, nr::Modulation::qpsk, 3080, 12},
    {"273prb qpsk r0.301 1x4", 273, 1, 4, nr::Modulation::qpsk, 3080, 12},
    {"273prb qpsk r0.301 4x4", 273, 4, 4, nr::Modulation::qpsk, 3080, 12},
};

}  // namespace

NOROSHI_BENCH(pusch) {
  const nr::Carrier carrier = wide_carrier();
  const int slot = 4;
  for (const Case& c : pusch_cases) {
    const std::string shared_name = std::string(c.name) + " 2 threads";
    const bool large = c.layers == 4;
    if (!bench.wants(c.name) && !(large && bench.wants(shared_name))) continue;
    const nr::SharedChannel channel = make_channel(c);
    const std::vector<std::uint8_t> sent = random_block(channel);
    std::vector<cf32> grid(static_cast<std::size_t>(c.layers * nr::symbols_per_slot) *
                           static_cast<std::size_t>(carrier.subcarriers()));
    TransmitWorkspace transmit(carrier);
    // Without transform precoding a PUSCH looks as a PDSCH does.
    pdsch_transmit(
        carrier, slot, channel, sent,
        View<cf32, 3>(grid.data(), c.layers, nr::symbols_per_slot, carrier.subcarriers()),
        transmit);
    const std::vector<cf32> received = receive_grid(grid, c);
    const View<const cf32, 3> antennas(received.data(), c.antennas, nr::symbols_per_slot,
                                       carrier.subcarriers());
    ReceiveWorkspace workspace(carrier, c.layers, c.antennas, 2);
    fec::HarqBuffer harq(channel.tb_bits);
    std::vector<std::uint8_t> tb(sent.size());
    const auto receive = [&](const Workers& workers) {
      Reception reception;
      reception.channel = &channel;
      reception.harq = &harq;
      reception.tb = tb;
      ReceiveOptions options;
      options.workers = workers;
      ReceiveResult result;
      shared_channel_receive(carrier, slot, {&reception, 1}, antennas, options, {&result, 1},
                             workspace);
      assert(result.crc_ok);
      return hash_bytes(tb.data(), 64, static_cast<std::uint64_t>(result.iterations));
    };
    bench.time_us(c.name, [&] { return receive({}); });
    assert(!bench.wants(c.name) || tb == sent);
    if (!large) continue;
    Pair pair;
    bench.time_us(shared_name, [&] { return receive(pair.workers()); });
  }
}

}  // namespace noroshi::phy
