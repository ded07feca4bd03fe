# Flags every target shares. Numerics depend on the first two: no contraction of a*b+c into fma unless it is
# written, and no reassociation (docs/numerics.md).
add_library(megalith_flags INTERFACE)
target_compile_options(megalith_flags INTERFACE
  -ffp-contract=off -fno-fast-math
  -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-psabi
  -Wno-missing-field-initializers  # designated initializers leave members at their defaults on purpose
 
  $<$<BOOL:${MEGALITH_WERROR}>:-Werror>)
if(MEGALITH_SANITIZE)
  # A null pointer stops the program anyway, and a misaligned vector too: asking before each use triples compile time.
  target_compile_options(megalith_flags INTERFACE -fsanitize=${MEGALITH_SANITIZE} -fno-omit-frame-pointer -g1
    -fno-sanitize=null,alignment,object-size,vptr
    -Wno-maybe-uninitialized)  # GCC sees uninitialised values where instrumented code has none
  target_link_options(megalith_flags INTERFACE -fsanitize=${MEGALITH_SANITIZE})
endif()

# megalith_room(NAME SOURCES... NEEDS other rooms or libraries): one static library per folder of src/.
# tests/structure checks that the include lines obey the same needs.
function(megalith_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;NEEDS" ${ARGN})
  add_library(megalith_${name} STATIC ${ROOM_SOURCES})
  target_include_directories(megalith_${name} PUBLIC ${PROJECT_SOURCE_DIR}/src)
  target_link_libraries(megalith_${name} PUBLIC megalith_flags ${ROOM_NEEDS})
endfunction()

# megalith_test(NAME SOURCES... NEEDS rooms): one gtest program; label "slow" when SLOW is given.
function(megalith_test name)
  cmake_parse_arguments(TEST "SLOW" "" "SOURCES;NEEDS" ${ARGN})
  add_executable(test_${name} ${TEST_SOURCES})
  target_include_directories(test_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests)
  target_link_libraries(test_${name} PRIVATE ${TEST_NEEDS} GTest::gtest GTest::gtest_main)
  target_compile_definitions(test_${name} PRIVATE
    MEGALITH_SOURCE_DIR="${PROJECT_SOURCE_DIR}" MEGALITH_SHARED_DIR="${PROJECT_SOURCE_DIR}/../shared")
  if(TEST_SLOW)
    set(label slow)
  else()
    set(label fast)
  endif()
  # Sanitized kernels take up to ten times as long.
  set(timeout 600)
  if(MEGALITH_SANITIZE)
    set(timeout 3600)
  endif()
  add_test(NAME ${name} COMMAND test_${name} --gtest_brief=1)
  set_tests_properties(${name} PROPERTIES LABELS ${label} TIMEOUT ${timeout})
endfunction()
