# Flags of our own code. Asserts stay on in every build: NDEBUG is never defined.

find_package(Threads REQUIRED)
find_package(GTest REQUIRED)
find_package(Boost 1.81 REQUIRED COMPONENTS json)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(hwy REQUIRED)
find_package(OpenSSL 3 REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(PostgreSQL REQUIRED)
# Debian's cnats-config.cmake asks for a static library that its package has not.
find_library(NOROSHI_NATS_LIBRARY nats REQUIRED)
find_path(NOROSHI_NATS_INCLUDE nats/nats.h REQUIRED)
add_library(noroshi_nats INTERFACE)
target_link_libraries(noroshi_nats INTERFACE ${NOROSHI_NATS_LIBRARY} OpenSSL::SSL OpenSSL::Crypto)
target_include_directories(noroshi_nats SYSTEM INTERFACE ${NOROSHI_NATS_INCLUDE})

set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CXX_FLAGS_DEBUG "-O0 -g")

add_library(noroshi_options INTERFACE)
target_compile_options(noroshi_options INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wundef
  -fno-math-errno -fno-omit-frame-pointer)
target_include_directories(noroshi_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
# One binary for every x86-64 and arm64: Highway compiles each kernel for a one-lane baseline, AVX2
# and AVX-512 and chooses at run time. SSSE3 and SSE4 add build time and no machine that we know of.
# A sanitized kernel compiles for minutes a target: there AVX-512 is left out too.
set(disabled_targets "HWY_SSSE3|HWY_SSE4")
if(NOROSHI_SANITIZE)
  string(APPEND disabled_targets "|HWY_AVX3|HWY_AVX3_DL")
  set(CMAKE_CXX_FLAGS_RELEASE "-O1 -g1")
endif()
target_compile_definitions(noroshi_options INTERFACE
  "HWY_DISABLED_TARGETS=(${disabled_targets})"
  $<$<CONFIG:Debug>:NOROSHI_CHECK_BOUNDS>)
if(NOROSHI_SANITIZE)
  target_compile_definitions(noroshi_options INTERFACE NOROSHI_CHECK_BOUNDS)
  add_compile_options(-fsanitize=${NOROSHI_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${NOROSHI_SANITIZE})
  # With sanitizers g++ 12 sees uninitialised reads and wrong deletes inside Boost that are none;
  # release keeps the warnings. asio uses fences, which its own locks make superfluous for TSan.
  target_compile_options(noroshi_options INTERFACE
    $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-mismatched-new-delete -Wno-tsan>)
  # clang 14 cannot assemble a coroutine with the check of called function types.
  add_compile_options($<$<CXX_COMPILER_ID:Clang>:-fno-sanitize=function>)
endif()
if(NOROSHI_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
