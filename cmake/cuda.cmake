# Finds a CUDA toolkit: sets MEGALITH_CUDA_FOUND and, in words, MEGALITH_CUDA_STATE.
#
#   MEGALITH_CUDA                AUTO: where there is nvcc 12.8 or newer; ON: or stop; OFF
#   MEGALITH_CUDA_ARCHITECTURES  what kernels are made for: 90a (Hopper), 80 (Ampere), 100a (Blackwell); a list
#
# Nothing here links the driver: programs start without one, and cuBLASLt is loaded when a product asks for it.
set(MEGALITH_CUDA AUTO CACHE STRING "Build the CUDA device: AUTO, ON or OFF")
set_property(CACHE MEGALITH_CUDA PROPERTY STRINGS AUTO ON OFF)
set(MEGALITH_CUDA_ARCHITECTURES 90a CACHE STRING "CUDA architectures, such as 80, 90a, 100a")
set(oldest 12.8)

set(MEGALITH_CUDA_FOUND FALSE)
if(NOT MEGALITH_CUDA)
  set(MEGALITH_CUDA_STATE "off")
else()
  include(CheckLanguage)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX} AND EXISTS /usr/local/cuda/bin/nvcc)
    find_program(MEGALITH_NVCC nvcc HINTS /usr/local/cuda/bin)
    set(ENV{CUDACXX} ${MEGALITH_NVCC})
  endif()
  # Architectures are given as whole flags below: CMake's own list knows fewer than nvcc.
  set(CMAKE_CUDA_ARCHITECTURES OFF)
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    # FindCUDAToolkit of CMake 3.25 stops at a toolkit without nvToolsExt, as 13.0 is; nvcc has told enough already.
    find_library(MEGALITH_CUDART cudart_static HINTS ${CMAKE_CUDA_IMPLICIT_LINK_DIRECTORIES})
    find_path(MEGALITH_CUBLASLT_HEADER cublasLt.h HINTS ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
    if(NOT CMAKE_CUDA_COMPILER_ID STREQUAL NVIDIA)
      set(MEGALITH_CUDA_STATE "absent: ${CMAKE_CUDA_COMPILER} is not nvcc")
    elseif(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS oldest)
      set(MEGALITH_CUDA_STATE "absent: nvcc ${CMAKE_CUDA_COMPILER_VERSION} is older than ${oldest}")
    elseif(NOT MEGALITH_CUDART)
      set(MEGALITH_CUDA_STATE "absent: no libcudart_static beside ${CMAKE_CUDA_COMPILER}")
    elseif(NOT MEGALITH_CUBLASLT_HEADER)
      set(MEGALITH_CUDA_STATE "absent: no cublasLt.h beside ${CMAKE_CUDA_COMPILER}")
    else()
      set(MEGALITH_CUDA_FOUND TRUE)
      # CMake 3.25 does not know that nvcc has it.
      foreach(kind STANDARD EXTENSION)
        if(NOT CMAKE_CUDA20_${kind}_COMPILE_OPTION)
          set(CMAKE_CUDA20_${kind}_COMPILE_OPTION -std=c++20)
        endif()
      endforeach()
      set(MEGALITH_CUDA_STATE "nvcc ${CMAKE_CUDA_COMPILER_VERSION}, kernels for ${MEGALITH_CUDA_ARCHITECTURES}")
    endif()
  else()
    set(MEGALITH_CUDA_STATE "absent: no nvcc")
  endif()
  if(MEGALITH_CUDA STREQUAL ON AND NOT MEGALITH_CUDA_FOUND)
    message(FATAL_ERROR "MEGALITH_CUDA is ON, and CUDA is ${MEGALITH_CUDA_STATE}")
  endif()
endif()
message(STATUS "CUDA: ${MEGALITH_CUDA_STATE}")

# megalith_cuda_kernels(TARGET SOURCES...): an object library of .cu files with the flags that the bits depend on: no
# contraction, IEEE division and square root, denormals flushed as the CPU does (docs/numerics.md).
function(megalith_cuda_kernels target)
  add_library(${target} OBJECT ${ARGN})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR}/src)
  if(CMAKE_CXX_COMPILER_LAUNCHER AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
    set_target_properties(${target} PROPERTIES CUDA_COMPILER_LAUNCHER "${CMAKE_CXX_COMPILER_LAUNCHER}")
  endif()
  target_compile_options(${target} PRIVATE
    -fmad=false -ftz=true -prec-div=true -prec-sqrt=true
    --expt-relaxed-constexpr  # std::bit_cast in kernels
    # Unknown to the host's compiler: nvcc's pragma that unrolls.
    -Xcompiler=-ffp-contract=off,-Wall,-Wextra,-Wshadow,-Wno-unknown-pragmas,-Wno-missing-field-initializers)
  if(MEGALITH_WERROR)
    target_compile_options(${target} PRIVATE -Werror=all-warnings -Xcompiler=-Werror)
  endif()
  foreach(architecture ${MEGALITH_CUDA_ARCHITECTURES})
    target_compile_options(${target} PRIVATE
      "-gencode=arch=compute_${architecture},code=sm_${architecture}")
  endforeach()
  # What MEGALITH_KERNEL means to nvcc (core/kernel_function.h); the quotes keep it one word.
  target_compile_definitions(${target} PRIVATE "MEGALITH_KERNEL=__host__ __device__")
endfunction()
