# megalith_kernels(NAME): adds NAME_portable.cpp and, on x86-64, NAME_avx2.cpp and NAME_avx512.cpp of the current folder
# to the device room, each with the flags of its family. WITH_BF16 adds NAME_avx512_bf16.cpp. There is no global
# -march: families are chosen at start.
function(megalith_kernels name)
  cmake_parse_arguments(KERNELS "WITH_BF16" "" "" ${ARGN})
  set(avx2_flags -mavx2 -mfma)
  set(avx512_flags -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mprefer-vector-width=512)
  set(avx512_bf16_flags ${avx512_flags} -mavx512bf16)
  # Instrumented kernels at -O3 take minutes to compile.
  if(MEGALITH_SANITIZE)
    set(optimisation -O1)
  else()
    set(optimisation -O3)
  endif()
  set(families portable)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND families avx2 avx512)
    if(KERNELS_WITH_BF16)
      list(APPEND families avx512_bf16)
    endif()
  endif()
  foreach(family ${families})
    set(source ${CMAKE_CURRENT_SOURCE_DIR}/${name}_${family}.cpp)
    target_sources(megalith_device PRIVATE ${source})
    set_source_files_properties(${source} TARGET_DIRECTORY megalith_device
      PROPERTIES COMPILE_OPTIONS "${optimisation};${${family}_flags}")
  endforeach()
endfunction()
