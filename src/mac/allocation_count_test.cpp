// Counts what the test program allocates, for the tests of what must not. In a file of its own so
// that the compiler cannot look through the replaced operators where they are used.

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace noroshi::mac {

std::int64_t allocation_count();

namespace {
std::atomic<std::int64_t> allocations{0};
}

std::int64_t allocation_count() { return allocations; }

}  // namespace noroshi::mac

void* operator new(std::size_t size) {
  ++noroshi::mac::allocations;
  if (void* memory = std::malloc(size)) return memory;
  std::abort();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
