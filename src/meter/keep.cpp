#include "meter/keep.h"

#include "base/prometheus.h"
#include "meter/record.h"

namespace noroshi::meter {

gateway::StoreUsage keep_in(Spool& spool) {
  return [&spool](const UsageRecord& record, std::function<void(bool)> stored) {
    spool.append(encode_record(record),
                 [stored = std::move(stored)](const Result<void>& done) { stored(done.ok()); });
  };
}

std::string metrics_text(const Spool& spool, const Shipper& shipper) {
  const SpoolCounters disk = spool.counters();
  const ShipperCounters way = shipper.counters();
  std::string text;
  const auto add = [&text](std::string_view name, const char* help, std::uint64_t value) {
    prometheus::one(text, name, help, value);
  };
  add("noroshi_usage_accepts", "1 while new requests' records have their room.", spool.accepts());
  add("noroshi_usage_waiting", "Records on this disk that are not shipped.", disk.waiting);
  add("noroshi_usage_spool_bytes", "Of all segments, those set aside included.", disk.bytes);
  add("noroshi_usage_kept_total", "Records that are safe on this disk.", disk.appended);
  add("noroshi_usage_refused_total", "Records that could not be kept.", disk.refused);
  add("noroshi_usage_syncs_total", "Group commits.", disk.syncs);
  add("noroshi_usage_disk_errors_total", "Writes, syncs, reservations that failed.", disk.errors);
  add("noroshi_usage_missing_total", "Records that damage to the disk took.", disk.missing);
  add("noroshi_usage_shipped_total", "Records that the fleet's stream has.", way.shipped);
  add("noroshi_usage_ship_failures_total", "Batches that had to be sent again.", way.failures);
  return text;
}

}  // namespace noroshi::meter
