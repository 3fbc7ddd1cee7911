// Catches: allocation or release of memory in the slot, by anyone, on any thread. The test program
// replaces malloc and operator new; one that finds the slot's mark ends the program.

#include "site/slot_guard.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define NOROSHI_GUARD_MALLOC 0  // the sanitizers own malloc
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NOROSHI_GUARD_MALLOC 0
#else
#define NOROSHI_GUARD_MALLOC 1
#endif
#else
#define NOROSHI_GUARD_MALLOC 1
#endif

#if NOROSHI_GUARD_MALLOC

namespace {

// Of a slot: no printf, which may allocate itself.
void refuse_in_slot(const char* what) {
  if (!noroshi::site::in_slot) return;
  noroshi::site::in_slot = false;
  static_cast<void>(!write(STDERR_FILENO, what, std::strlen(what)));
  std::abort();
}

}  // namespace

// glibc's own entry points under the names that every library calls. operator new ends here too.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t size) {
  refuse_in_slot("malloc in the slot\n");
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  refuse_in_slot("calloc in the slot\n");
  return __libc_calloc(count, size);
}
void* realloc(void* old, std::size_t size) {
  refuse_in_slot("realloc in the slot\n");
  return __libc_realloc(old, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  refuse_in_slot("aligned_alloc in the slot\n");
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** out, std::size_t alignment, std::size_t size) {
  refuse_in_slot("posix_memalign in the slot\n");
  *out = __libc_memalign(alignment, size);
  return *out == nullptr ? 12 : 0;
}
void free(void* memory) {
  if (memory != nullptr) refuse_in_slot("free in the slot\n");
  __libc_free(memory);
}
}

namespace noroshi::site {
namespace {

// The other tests of this program run whole sites under the same guard; here is the proof that it
// would end them.
TEST(SlotGuardDeathTest, EndsTheProgram) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const SlotScope scope;
        std::vector<int>* leak = new std::vector<int>(100);
        leak->push_back(static_cast<int>(leak->size()));
      },
      "malloc in the slot");
}

TEST(SlotGuard, MarksOnlyItsScope) {
  EXPECT_FALSE(in_slot);
  {
    const SlotScope scope;
    EXPECT_TRUE(in_slot);
  }
  EXPECT_FALSE(in_slot);
}

}  // namespace
}  // namespace noroshi::site

#endif  // NOROSHI_GUARD_MALLOC
