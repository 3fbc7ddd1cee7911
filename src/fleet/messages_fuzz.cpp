// Any bytes on any subject and in any key: read or refused, never worse. What is read can be
// written and read again.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fleet/command.h"
#include "fleet/desired.h"
#include "fleet/digest.h"
#include "fleet/file_share.h"
#include "fleet/leadership.h"
#include "fleet/report.h"
#include "fleet/status.h"

namespace {

using namespace noroshi::fleet;

template <class Parse, class Write>
void there_and_back(std::string_view bytes, Parse parse, Write write) {
  const auto first = parse(bytes);
  if (!first) return;
  if (!parse(write(*first))) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  there_and_back(
      bytes, [](std::string_view b) { return parse_report("noroshi.r.s.beat", b); }, report_text);
  there_and_back(
      bytes, [](std::string_view b) { return parse_digest("noroshi.digest.r", b); }, digest_bytes);
  there_and_back(bytes, parse_model, model_text);
  there_and_back(bytes, parse_session_secret, session_secret_text);
  there_and_back(bytes, parse_facts, facts_text);
  there_and_back(bytes, parse_desired, desired_text);
  there_and_back(bytes, parse_rollout, rollout_text);
  there_and_back(bytes, parse_drain, drain_text);
  there_and_back(bytes, parse_leader, leader_text);
  there_and_back(bytes, parse_command, command_text);
  there_and_back(bytes, parse_status_ask, status_ask_text);
  there_and_back(bytes, parse_answer, answer_text);
  there_and_back(bytes, parse_chunk, chunk_text);
  there_and_back(bytes, parse_chunk_request, chunk_request_text);
  for (const char* kind : {"status", "sites", "models"}) {
    const auto table = status_table(kind, bytes);
    static_cast<void>(table);
  }
  return 0;
}
