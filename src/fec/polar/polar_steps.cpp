// The decoders' walk through the code's tree, once a code. Subtrees of a simple kind are leaves
// (Sarkis et al., "Fast Polar Decoders", 2014; Hashemi et al., "Fast and Flexible
// Successive-Cancellation List Decoders", 2017).

#include "fec/polar/polar_steps.h"

#include <algorithm>
#include <array>

namespace noroshi::fec {
namespace {

using Kind = PolarStep::Kind;

struct Walk {
  std::array<std::uint8_t, polar_block_bits_max> is_information;  // [N]
  std::array<std::uint8_t, polar_block_bits_max> is_check;        // [N]
  bool list;
  bool checks;  // there are parity-check bits: every information bit must be seen by itself
  std::vector<PolarStep>& steps;
  bool wide = false;              // an information bit was met
  std::array<bool, 11> shared{};  // of a stage: all paths share its soft bits

  void add(Kind kind, int stage, int at) {
    steps.push_back({kind, static_cast<std::uint8_t>(stage), static_cast<std::uint16_t>(at)});
  }
  int count(int stage, int at) const {
    const auto first = is_information.begin() + at;
    return static_cast<int>(std::count(first, first + (1 << stage), 1));
  }

  // True where the node is a leaf with information in it.
  bool leaf(int stage, int at) {
    const int size = 1 << stage;
    const int bits = count(stage, at);
    const auto last = static_cast<std::size_t>(at + size - 1);
    const bool checked = std::count(is_check.begin() + at, is_check.begin() + at + size, 1) != 0;
    const int search_max = list ? polar_list_search_stage_max : 10;
    Kind kind;
    if (stage == 0 && checked) {
      kind = Kind::check;
    } else if (bits == 1 && is_information[last] != 0 && !checked &&
               (!list || stage <= polar_list_stage_max)) {
      kind = Kind::repetition;
    } else if (bits == size && !checks && stage <= search_max) {
      kind = Kind::one;
    } else if (bits == size - 1 && is_information[static_cast<std::size_t>(at)] == 0 && !checks &&
               stage <= search_max) {
      kind = Kind::parity;
    } else {
      return false;
    }
    if (list && !wide) {
      add(Kind::widen, stage, at);
      shared[static_cast<std::size_t>(stage)] = false;
      wide = true;
    }
    add(kind, stage, at);
    return true;
  }

  // A node without information whose soft bits exist.
  void pay(int stage, int at) {
    if (stage <= polar_list_stage_max) return add(Kind::zero, stage, at);
    add(Kind::f, stage, at);
    pay(stage - 1, at);
    add(Kind::g_zero, stage, at);
    pay(stage - 1, at + (1 << (stage - 1)));
  }

  void node(int stage, int at) {
    if (leaf(stage, at)) return;
    const int half = 1 << (stage - 1);
    const int right = at + half;
    const auto parent = static_cast<std::size_t>(stage);
    if (count(stage - 1, at) == 0) {
      if (list && wide) {
        add(Kind::f, stage, at);
        pay(stage - 1, at);
      }
      add(list && !wide ? Kind::g_zero_single : Kind::g_zero, stage, at);
      shared[parent - 1] = list && !wide;
      node(stage - 1, right);
      return add(Kind::combine_zero, stage, at);
    }
    add(list && !wide ? Kind::f_single : Kind::f, stage, at);
    shared[parent - 1] = list && !wide;
    node(stage - 1, at);
    if (count(stage - 1, right) != 0 || list) {
      add(shared[parent] ? Kind::g_expand : Kind::g, stage, at);
      shared[parent - 1] = false;
    }
    if (count(stage - 1, right) != 0) {
      node(stage - 1, right);
    } else {
      if (list) pay(stage - 1, right);
      add(Kind::clear, stage - 1, right);
    }
    add(Kind::combine, stage, at);
  }
};

void add_steps(const PolarCode& code, bool list, std::vector<PolarStep>& steps) {
  Walk walk{{}, {}, list, code.parity_bits != 0, steps};
  for (const auto position : code.information) walk.is_information[position] = 1;
  for (const auto position : code.parity_position) walk.is_check[position] = 1;
  walk.shared.fill(list);
  walk.node(code.stages, 0);
}

}  // namespace

void make_polar_steps(PolarCode& code) {
  code.single_steps.clear();
  code.list_steps.clear();
  add_steps(code, false, code.single_steps);
  add_steps(code, true, code.list_steps);
}

}  // namespace noroshi::fec
