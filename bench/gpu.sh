#!/usr/bin/env bash
# Every CUDA kernel on this machine's GPU: checked against the CPU device and float64, then measured against ceilings of
# the same run. Makes its own data. Without a GPU it says so and exits 0.
#
#   bench/gpu.sh                 checks, then one table of figures; under nine minutes, the build included
#   bench/gpu.sh --checks        only the checks        --figures   only the figures
#   bench/gpu.sh --prepare       on a machine with Megalith's packages: makes build/gpu, which is all that a bare machine
#                                needs beside the sources
#
# A bare machine has a CUDA toolkit, CMake, Ninja and g++, and none of our packages. What is missing there is avoided and
# carried: only the rooms core and device are built (cmake/only_device.cmake), which leaves three libraries, all usable
# as headers alone. --prepare copies these headers to build/gpu/include and, where there is nvcc, programs that need
# nothing but the C library to build/gpu/bin. The checks bring a main of their own instead of GoogleTest. Programs that
# were carried and start are used; otherwise they are built here. cuBLASLt is loaded when it is there.
#
# Exit codes: 0 all checks passed, or no GPU; 1 something failed; 2 refused.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

folder=build/gpu
checks=true
figures=true
prepare=false
for argument in "$@"; do
  case $argument in
    --checks) figures=false ;;
    --figures) checks=false ;;
    --prepare) prepare=true ;;
    *)
      sed -n '2,/^set /p' bench/gpu.sh | sed '$d; s/^# \{0,1\}//'
      case $argument in -h | --help) exit 0 ;; *) exit 2 ;; esac
      ;;
  esac
done

programs=(test_device_cuda_gpu bench_gpu)

# What the programs are made of; carried ones of other sources are built anew.
digest_of_sources() {
  find CMakeLists.txt cmake src/core src/device tests/device/cuda tests/reference bench/gpu bench/harness.cpp bench/harness.h \
    -type f -print0 | LC_ALL=C sort -z | xargs -0 cat | cksum
}

# Builds the reduced project into build/gpu/bin. Warnings of compilers that are not ours to choose do not stop it.
build() {
  local started=$SECONDS options=(-S . -B "$folder/work" -DMEGALITH_ONLY_DEVICE=ON -DMEGALITH_CUDA=ON -DCMAKE_BUILD_TYPE=Release
    -DMEGALITH_WERROR=OFF "-DMEGALITH_HEADERS=$PWD/$folder/include" "-DCMAKE_EXE_LINKER_FLAGS=-static-libstdc++ -static-libgcc")
  command -v cmake >/dev/null || {
    echo "gpu: needs cmake" >&2
    exit 2
  }
  if command -v ninja >/dev/null; then options+=(-G Ninja); fi
  if command -v ccache >/dev/null; then options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  mkdir -p "$folder/work" "$folder/bin"
  echo "== Building for the GPU"
  cmake "${options[@]}" >"$folder/configure.log" 2>&1 || {
    tail -n 15 "$folder/configure.log" >&2
    exit 2
  }
  cmake --build "$folder/work" --parallel "$(nproc)" --target "${programs[@]}" >"$folder/build.log" 2>&1 || {
    grep -E -A 8 'error:|FAILED' "$folder/build.log" | head -n 40 >&2
    exit 1
  }
  cp "$folder/work/tests/device/cuda/gpu/test_device_cuda_gpu" "$folder/work/bench/gpu/bench_gpu" "$folder/bin/"
  digest_of_sources >"$folder/bin/sources"
  echo "built in $((SECONDS - started)) s"
}

if $prepare; then
  mkdir -p "$folder/include/tl"
  for header in fmt tl/expected.hpp xxhash.h; do
    if [ ! -e "/usr/include/$header" ]; then
      echo "gpu: no /usr/include/$header (libfmt-dev, libexpected-dev, libxxhash-dev)" >&2
      exit 2
    fi
    cp -r "/usr/include/$header" "$folder/include/$(dirname "$header")/"
  done
  if command -v nvcc >/dev/null || [ -x /usr/local/cuda/bin/nvcc ]; then build; fi
  echo "$folder/include and $folder/bin can be carried: $(du -shc "$folder/include" "$folder/bin" 2>/dev/null | sed -n '$s/\t.*//p')"
  exit 0
fi

if [ ! -e /dev/nvidiactl ] && [ ! -e /dev/nvidia0 ] && ! nvidia-smi -L >/dev/null 2>&1; then
  echo "gpu: no NVIDIA GPU here, nothing to run"
  exit 0
fi

for program in "${programs[@]}"; do
  # A carried program may be too new for this machine's C library, or of other sources.
  if [ ! -x "$folder/bin/$program" ] || ldd "$folder/bin/$program" 2>&1 | grep -q 'not found' ||
    [ "$(cat "$folder/bin/sources" 2>/dev/null)" != "$(digest_of_sources)" ]; then
    build
    break
  fi
done

code=0
if $checks; then
  echo "== Checks"
  timeout 300 "$folder/bin/test_device_cuda_gpu" || code=$?
  case $code in
    0) ;;
    77) exit 0 ;;
    124) echo "gpu: the checks took more than 300 s" >&2 ;;
    *) echo "gpu: the checks failed" >&2 ;;
  esac
fi
if $figures; then
  echo "== Figures"
  timeout 180 "$folder/bin/bench_gpu" || code=$?
fi
[ "$code" -eq 0 ]
