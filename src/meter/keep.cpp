#include "meter/keep.h"

#include "meter/record.h"

namespace noroshi::meter {

gateway::StoreUsage keep_in(Spool& spool) {
  return [&spool](const UsageRecord& record, std::function<void(bool)> stored) {
    spool.append(encode_record(record),
                 [stored = std::move(stored)](const Result<void>& done) { stored(done.ok()); });
  };
}

}  // namespace noroshi::meter
