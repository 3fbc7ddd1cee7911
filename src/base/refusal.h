#pragma once

// Why one field is not taken, as a value without memory of its own: it can be made and handed on in
// the slot, where nothing allocates, and put into words elsewhere.
//
//   if (const Refusal no = refuse(...)) return no;      true: something is wrong

#include <cmath>
#include <string>

#include "base/result.h"

namespace noroshi {

struct Refusal {
  // Texts that live as long as the program. nullptr: nothing is wrong.
  const char* field = nullptr;  // each # stands for the index
  double value = 0;
  const char* allowed = "";  // what could stand there, or why this cannot
  int index = -1;

  explicit operator bool() const { return field != nullptr; }
};

// "field is value, allowed: ..."
inline std::string words_of(const Refusal& refusal) {
  if (!refusal) return "nothing refused";
  std::string words;
  for (const char* c = refusal.field; *c != '\0'; ++c)
    words += *c == '#' ? std::to_string(refusal.index) : std::string(1, *c);
  const bool whole = std::abs(refusal.value) < 1e15 && refusal.value == std::floor(refusal.value);
  words += " is " + (whole ? std::to_string(static_cast<long long>(refusal.value))
                           : std::to_string(refusal.value));
  return words + ", allowed: " + refusal.allowed;
}

inline Result<void> as_result(const Refusal& refusal) {
  if (refusal) return Error{words_of(refusal)};
  return {};
}

}  // namespace noroshi
