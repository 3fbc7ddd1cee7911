// What a durable record costs: alone, and when 1000 answers end at once. The disk is the one under
// the temporary folder.

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <future>

#include "base/bench.h"
#include "meter/record.h"
#include "meter/spool/segment.h"
#include "meter/spool/spool.h"

namespace {

using namespace noroshi;
using namespace noroshi::meter;

UsageRecord example() {
  return {.id = "0f3a91c2-1234567",
          .tenant = "acme",
          .model = "llama-3.1-8b",
          .site = "tokyo-017",
          .endpoint = "chat",
          .tokens_prompt = 1800,
          .tokens_completion = 412,
          .tokens_cached = 900,
          .received_ns = 1'764'072'000'123'456'789,
          .first_byte_ns = 1'764'072'000'223'456'789,
          .done_ns = 1'764'072'001'000'000'001};
}

// Appends so many records and waits until all are on the disk.
std::uint64_t append_all(Spool& spool, const std::string& bytes, int records) {
  std::promise<void> all;
  std::atomic<int> left = records;
  std::atomic<std::uint64_t> safe = 0;
  for (int i = 0; i < records; ++i) {
    spool.append(bytes, [&](const Result<void>& done) {
      safe += done.ok();
      if (--left == 0) all.set_value();
    });
  }
  all.get_future().wait();
  static_cast<void>(spool.trim(spool.trimmed_up_to() + safe));
  return safe;
}

}  // namespace

NOROSHI_BENCH(spool) {
  const std::string bytes = encode_record(example());
  bench.time_us("encode a record", [] { return hash_bytes(encode_record(example()).data(), 64); });
  bench.time_us("frame a record (CRC32C)", [&] {
    std::string frame;
    append_frame(frame, 7, bytes);
    return hash_bytes(frame.data(), frame.size());
  });
  if (!bench.wants("one record, durable") && !bench.wants("1000 records at once, durable")) return;
  const std::string directory =
      (std::filesystem::temp_directory_path() / ("noroshi-spool-" + std::to_string(getpid())))
          .string();
  {
    auto spool = Spool::open({.directory = directory});
    if (!spool) return;
    bench.time_us("one record, durable", [&] { return append_all(*spool, bytes, 1); });
    bench.time_us("1000 records at once, durable", [&] { return append_all(*spool, bytes, 1000); });
  }
  std::filesystem::remove_all(directory);
}
