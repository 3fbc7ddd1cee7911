#pragma once

// Marks the part of a thread's time in which nothing may allocate, lock or block. In the product it
// costs one store; a test's operator new looks at the mark and ends the program.

namespace noroshi::site {

inline thread_local bool in_slot = false;

class SlotScope {
 public:
  SlotScope() { in_slot = true; }
  ~SlotScope() { in_slot = false; }
  SlotScope(const SlotScope&) = delete;
  SlotScope& operator=(const SlotScope&) = delete;
};

}  // namespace noroshi::site
