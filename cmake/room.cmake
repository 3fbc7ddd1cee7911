# noroshi_room(NEEDS room ... [LIBRARIES target ...])
#
# Makes the library of the room in the current folder from every source below it, and finds by suffix:
#   *_test.cpp   one GoogleTest program a room, registered with ctest
#   *_bench.cpp  linked into the product's binary, where `noroshi bench` finds them; and one program
#                a room, whose smoke run (each case once) is a test
#   *_fuzz.cpp   one fuzzer a file; without NOROSHI_FUZZ a driver runs it over seeded random bytes and
#                the corpus beside it (NAME_corpus/), as a test
# NEEDS is also the include rule: scripts/check_includes.py reads this line.

function(noroshi_room)
  cmake_parse_arguments(ROOM "" "" "NEEDS;LIBRARIES" ${ARGN})
  get_filename_component(room ${CMAKE_CURRENT_SOURCE_DIR} NAME)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cpp)
  set(tests ${sources})
  set(benches ${sources})
  set(fuzzers ${sources})
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  list(FILTER benches INCLUDE REGEX "_bench\\.cpp$")
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cpp$")
  list(FILTER sources EXCLUDE REGEX "_(test|bench|fuzz)\\.cpp$|/(fuzz|bench)_driver\\.cpp$")
  list(TRANSFORM ROOM_NEEDS PREPEND "noroshi_" OUTPUT_VARIABLE needs)

  if(sources)
    add_library(noroshi_${room} STATIC ${sources})
    target_link_libraries(noroshi_${room} PUBLIC noroshi_options ${needs} ${ROOM_LIBRARIES} Threads::Threads)
    if(NOROSHI_FUZZ)
      # Kernels read no bytes from outside; instrumented, clang takes minutes for each of them. Their
      # tests run under the sanitizers (preset asan).
      set(kernels ${sources})
      list(FILTER kernels INCLUDE REGEX "_cpu\\.cpp$")
      set_source_files_properties(${kernels} PROPERTIES COMPILE_OPTIONS -fno-sanitize=all)
    endif()
  else()
    add_library(noroshi_${room} INTERFACE)
    target_link_libraries(noroshi_${room} INTERFACE noroshi_options ${needs} ${ROOM_LIBRARIES} Threads::Threads)
  endif()

  if(benches)
    add_library(noroshi_${room}_bench OBJECT ${benches})
    target_link_libraries(noroshi_${room}_bench PUBLIC noroshi_${room})
    set_property(GLOBAL APPEND PROPERTY noroshi_bench_libraries noroshi_${room}_bench)
    add_executable(${room}_bench ${CMAKE_SOURCE_DIR}/src/base/bench_driver.cpp)
    target_link_libraries(${room}_bench PRIVATE noroshi_${room}_bench)
    add_test(NAME ${room}_bench COMMAND ${room}_bench --smoke)
    set_tests_properties(${room}_bench PROPERTIES TIMEOUT 300)
  endif()

  if(tests)
    add_executable(${room}_test ${tests})
    target_link_libraries(${room}_test PRIVATE noroshi_${room} GTest::gtest_main)
    add_test(NAME ${room} COMMAND ${room}_test WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
    set_tests_properties(${room} PROPERTIES TIMEOUT 900)
  endif()

  foreach(source ${fuzzers})
    get_filename_component(name ${source} NAME_WE)
    string(REPLACE "_fuzz" "" stem ${name})
    get_filename_component(folder ${source} DIRECTORY)
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE noroshi_${room})
    if(NOT TARGET fuzzers)
      add_custom_target(fuzzers)
    endif()
    add_dependencies(fuzzers ${name})
    if(NOROSHI_FUZZ)
      target_link_options(${name} PRIVATE -fsanitize=fuzzer)
      add_test(NAME ${name} COMMAND ${name} -max_total_time=20 -timeout=10 -print_final_stats=1
               ${CMAKE_BINARY_DIR}/corpus/${name} ${folder}/${stem}_corpus)
      file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus/${name})
    else()
      target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/src/base/fuzz_driver.cpp)
      add_test(NAME ${name} COMMAND ${name} ${folder}/${stem}_corpus)
    endif()
    set_tests_properties(${name} PROPERTIES TIMEOUT 300)
  endforeach()
endfunction()
