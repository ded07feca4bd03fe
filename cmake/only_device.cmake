# What bench/gpu.sh needs on a machine that has a CUDA toolkit and none of our packages: the rooms core and device, the
# checks of kernels and their benchmark. The three libraries that core uses are taken as headers alone, from the system
# or from MEGALITH_HEADERS, where `bench/gpu.sh --prepare` puts them.
set(MEGALITH_HEADERS ${PROJECT_SOURCE_DIR}/build/gpu/include CACHE PATH "Folder with fmt/, tl/ and xxhash.h")
if(NOT MEGALITH_CUDA_FOUND)
  message(FATAL_ERROR "MEGALITH_ONLY_DEVICE needs a CUDA toolkit, and CUDA is ${MEGALITH_CUDA_STATE}")
endif()

# header_library(TARGET HEADER definitions...)
function(header_library target header)
  string(MAKE_C_IDENTIFIER "folder of ${header}" folder)
  find_path(${folder} ${header} HINTS ${MEGALITH_HEADERS})
  if(NOT ${folder})
    message(FATAL_ERROR "No ${header}: run bench/gpu.sh --prepare on a machine that has Megalith's packages and bring "
      "its build/gpu along, or install libfmt-dev, libexpected-dev and libxxhash-dev")
  endif()
  add_library(${target} INTERFACE IMPORTED GLOBAL)
  if(NOT ${folder} STREQUAL /usr/include)
    target_include_directories(${target} SYSTEM INTERFACE ${${folder}})
  endif()
  target_compile_definitions(${target} INTERFACE ${ARGN})
endfunction()

find_package(Threads REQUIRED)
header_library(fmt::fmt fmt/format.h FMT_HEADER_ONLY=1)
header_library(tl::expected tl/expected.hpp)
header_library(PkgConfig::XXHASH xxhash.h XXH_INLINE_ALL)

add_subdirectory(src/core)
add_subdirectory(src/device)
enable_testing()
add_subdirectory(tests/device/cuda/gpu)
add_subdirectory(bench/gpu)
