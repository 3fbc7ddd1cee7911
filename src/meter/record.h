#pragma once

// A usage record as the bytes that are spooled, shipped and kept: one flat JSON object, at most
// record_bytes_max long. Whoever reads them trusts nothing: they came over a network.
//
//   {"v":1,"id":"...","tenant":"...","model":"...","site":"...","endpoint":"chat","prompt":12,
//    "completion":34,"cached":0,"counted_here":false,"received_ns":0,"first_byte_ns":0,"done_ns":0,
//    "outcome":"answered","resumed":0}
//
// Fields that are not known are passed over, so that a newer gateway can say more.

#include <string>
#include <string_view>

#include "base/result.h"
#include "gateway/usage.h"

namespace noroshi::meter {

using gateway::Outcome;
using gateway::UsageRecord;

std::string_view outcome_name(Outcome outcome);

std::string encode_record(const UsageRecord& record);

// Errors name the field and the value: not an object, a field that is missing or of another type, a
// name that is empty, too long or holds control characters, a count above a billion, more cached
// tokens than the prompt has, a time before 2020, an end before its beginning by more than a day.
Result<UsageRecord> parse_record(std::string_view bytes);

}  // namespace noroshi::meter
