#pragma once

// For tests and benchmarks: runs a check once with each instruction set that the kernels are
// compiled for and this machine has, the best one last. Not to be called while another thread runs
// a kernel.

#include <hwy/targets.h>

namespace noroshi {

template <class Check>
void on_every_target(Check check) {
  const auto choose = [](auto targets) {
    hwy::SetSupportedTargetsForTest(targets);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  };
  const auto targets = hwy::SupportedAndGeneratedTargets();
  for (auto target = targets.rbegin(); target != targets.rend(); ++target) {
    choose(*target);
    check(hwy::TargetName(*target));
  }
  choose(0);
}

}  // namespace noroshi
