#include "site/recording.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "site/slot_data.h"

namespace noroshi::site {
namespace {

constexpr std::size_t slots_ahead = 32;
constexpr std::string_view label_prefix = "slot ";

std::unique_ptr<Ring<RecordedSlot>> make_ring(int antennas, int slot_samples) {
  auto ring = std::make_unique<Ring<RecordedSlot>>(slots_ahead);
  prepare_ring(*ring, [&](RecordedSlot& item) {
    item.samples.resize(static_cast<std::size_t>(antennas) * slot_samples);
  });
  return ring;
}

// -1 when the label does not name a slot.
SlotCount slot_of_label(std::string_view label) {
  if (!label.starts_with(label_prefix)) return -1;
  SlotCount slot = -1;
  const char* end = label.data() + label.size();
  const auto [stop, error] = std::from_chars(label.data() + label_prefix.size(), end, slot);
  return error == std::errc{} && stop == end && slot >= 0 ? slot : -1;
}

}  // namespace

Recorder::Recorder(radio::SigmfWriter writer, int antennas, int slot_samples)
    : writer_(std::move(writer)),
      ring_(make_ring(antennas, slot_samples)),
      antennas_(antennas),
      slot_samples_(slot_samples) {}

Result<Recorder> Recorder::create(const std::string& base, const nr::Carrier& carrier, int antennas,
                                  const std::string& cell) {
  radio::SigmfInfo info;
  info.sample_rate_hz = carrier.sample_rate_hz();
  info.frequency_hz = carrier.center_frequency_hz;
  info.channels = antennas;
  info.description = "Uplink slots with PUSCH of " + cell +
                     ", one after another; each annotation names its slot since the start";
  Result<radio::SigmfWriter> writer = radio::SigmfWriter::create(base, info);
  if (!writer) return writer.error();
  return Recorder(*std::move(writer), antennas, nr::slot_samples_max(carrier));
}

bool Recorder::offer(SlotCount slot, View<const cf32, 1> samples) {
  RecordedSlot* item = ring_->push_slot();
  if (item == nullptr) return false;
  item->slot = slot;
  std::ranges::copy(samples, item->samples.begin());
  ring_->push_done();
  return true;
}

Result<void> Recorder::drain() {
  while (const RecordedSlot* item = ring_->front()) {
    if (!failed_) {
      const Result<void> result =
          writer_.write(View<const cf32, 2>(item->samples.data(), antennas_, slot_samples_));
      if (!result) {
        failed_ = true;
        ring_->pop();
        return result;
      }
      writer_.annotate({.sample_start = written_,
                        .sample_count = slot_samples_,
                        .label = std::string(label_prefix) + std::to_string(item->slot)});
      written_ += slot_samples_;
    }
    ring_->pop();
  }
  return {};
}

Result<void> Recorder::close() {
  Result<void> drained = drain();
  Result<void> closed = writer_.close();
  return drained ? closed : drained;
}

Replay::Replay(radio::SigmfReader reader, int antennas, int slot_samples)
    : reader_(std::move(reader)),
      ring_(make_ring(antennas, slot_samples)),
      antennas_(antennas),
      slot_samples_(slot_samples) {}

Result<Replay> Replay::open(const std::string& meta, const nr::Carrier& carrier, int antennas) {
  Result<radio::SigmfReader> reader = radio::SigmfReader::open(meta);
  if (!reader) return reader.error();
  const radio::SigmfInfo& info = reader->info();
  if (std::abs(info.sample_rate_hz - carrier.sample_rate_hz()) > 0.5) {
    return Error{meta + ": the sample rate is " + std::to_string(info.sample_rate_hz) +
                 " Hz, the cell's is " + std::to_string(carrier.sample_rate_hz()) +
                 " Hz; replay it to a cell of the same bandwidth and subcarrier spacing"};
  }
  if (info.channels != antennas) {
    return Error{meta + ": the recording has " + std::to_string(info.channels) +
                 " channels, the cell has " + std::to_string(antennas) +
                 " receive antennas; set cell.receive_antennas to the recording's"};
  }
  const int slot_samples = nr::slot_samples_max(carrier);
  std::vector<SlotCount> slots;
  for (const radio::SigmfInfo::Annotation& annotation : info.annotations) {
    const SlotCount slot = slot_of_label(annotation.label);
    if (slot < 0) continue;  // someone else's
    if (annotation.sample_start != static_cast<std::int64_t>(slots.size()) * slot_samples ||
        (!slots.empty() && slot <= slots.back())) {
      return Error{meta + ": the annotation \"" + annotation.label +
                   "\" does not follow the one before it by a whole slot; only recordings made by "
                   "a site can be replayed"};
    }
    slots.push_back(slot);
  }
  Replay replay(*std::move(reader), antennas, slot_samples);
  replay.slots_ = std::move(slots);
  return replay;
}

bool Replay::take(SlotCount slot, View<cf32, 1> samples) {
  while (const RecordedSlot* item = ring_->front()) {
    if (item->slot > slot) return false;
    const bool found = item->slot < 0 || item->slot == slot;
    if (found) std::ranges::copy(item->samples, samples.begin());
    ring_->pop();
    if (found) return true;
  }
  return false;
}

Result<void> Replay::fill() {
  while (!ended_) {
    RecordedSlot* item = ring_->push_slot();
    if (item == nullptr) return {};
    const Result<std::int64_t> count =
        reader_.read(View<cf32, 2>(item->samples.data(), antennas_, slot_samples_));
    ended_ = !count || *count < slot_samples_;
    if (!count) return count.error();
    if (ended_) return {};
    item->slot = -1;
    if (!slots_.empty()) {
      if (next_ == slots_.size()) {
        ended_ = true;
        return {};
      }
      item->slot = slots_[next_];
    }
    ++next_;
    ring_->push_done();
  }
  return {};
}

}  // namespace noroshi::site
