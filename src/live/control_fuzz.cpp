// Catches a control line that crashes the reader or is taken for a command that it is not.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "live/control.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using noroshi::live::ControlCommand;
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto command = noroshi::live::parse_control(line);
  if (!command) {
    if (command.error().message.empty()) std::abort();
    return 0;
  }
  const bool list = command->verb == ControlCommand::Verb::list;
  if (list != command->cell.empty() || line.find(command->cell) == std::string_view::npos)
    std::abort();
  return 0;
}
