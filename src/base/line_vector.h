#pragma once

// A std::vector that begins at a cache line, for rows that vector loads go over: elsewhere every
// one of their 64 bytes lies across two lines (a large std::vector begins 16 bytes into a page).

#include <cstddef>
#include <new>
#include <vector>

namespace noroshi {

inline constexpr std::size_t cache_line_bytes = 64;

template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class Other>
  LineAllocator(const LineAllocator<Other>&) {}

  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{cache_line_bytes}));
  }
  void deallocate(T* at, std::size_t) {
    ::operator delete (at, std::align_val_t{cache_line_bytes});
  }
  friend bool operator==(const LineAllocator&, const LineAllocator&) { return true; }
};

template <class T>
using LineVector = std::vector<T, LineAllocator<T>>;

}  // namespace noroshi
