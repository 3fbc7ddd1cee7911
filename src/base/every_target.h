#pragma once

// Which of the instruction sets that the kernels are compiled for is used, for tests and
// benchmarks. Not to be called while another thread runs a kernel.

#include <cstdint>
#include <string>
#include <string_view>

// Before Highway: kernels that gain from the newer AVX-512 ask for it in the same way.
#ifndef HWY_WANT_AVX3_DL
#define HWY_WANT_AVX3_DL
#endif
#include <hwy/targets.h>
#include "base/result.h"

namespace noroshi {

// 0: the best that this machine has. A kernel that is not compiled for the target uses the next
// worse one.
inline void use_target(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(0);
  if (target != 0) hwy::SetSupportedTargetsForTest(hwy::SupportedTargets() & ~(target - 1));
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

// Highway's name of it, in small letters: avx3_dl (AVX-512 of Ice Lake and later), avx3 (AVX-512),
// avx2, neon; "scalar" is the one without SIMD instructions.
inline std::string target_name(std::int64_t target) {
  if (target == HWY_EMU128 || target == HWY_SCALAR) return "scalar";
  std::string name = hwy::TargetName(target);
  for (char& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  return name;
}

// Errors: no kernel is compiled for it, or this machine lacks it; the message lists what there is.
inline Result<void> use_target_named(std::string_view name) {
  std::string known;
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    const std::string its_name = target_name(target);
    if (name == its_name) {
      use_target(target);
      return {};
    }
    known += (known.empty() ? "" : ", ") + its_name;
  }
  return Error{"no instruction set '" + std::string(name) + "' here; there is " + known};
}

// Runs a check once with each, the best one last.
template <class Check>
void on_every_target(Check check) {
  const auto targets = hwy::SupportedAndGeneratedTargets();
  for (auto target = targets.rbegin(); target != targets.rend(); ++target) {
    use_target(*target);
    check(hwy::TargetName(*target));
  }
  use_target(0);
}

}  // namespace noroshi
