#!/usr/bin/env bash
# Tries bench/gpu.sh on a machine as bare as those with GPUs are: a fresh Debian with g++, CMake and Ninja, this machine's
# CUDA toolkit, and what `bench/gpu.sh --prepare` made; none of Megalith's packages. It builds there from nothing but
# the carried headers, then starts the carried programs.
#
#   scripts/bare_gpu_machine.sh [bookworm|trixie] [--keep]
#
# Needs root, mmdebstrap and a toolkit; scripts/chroot.sh tells where packages come from.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/chroot.sh
. scripts/chroot.sh

suite=bookworm
for argument in "$@"; do
  case $argument in
    bookworm | trixie) suite=$argument ;;
    --keep) keep=true ;;
    *)
      echo "usage: scripts/bare_gpu_machine.sh [bookworm|trixie] [--keep]" >&2
      exit 2
      ;;
  esac
done
if [ ! -x /usr/local/cuda/bin/nvcc ]; then
  echo "bare_gpu_machine: no /usr/local/cuda/bin/nvcc" >&2
  exit 2
fi

bench/gpu.sh --prepare
make_chroot bare_gpu_machine "$suite" g++,cmake,ninja-build
toolkit=$(readlink -f /usr/local/cuda)
mkdir -p "$root$toolkit"
mount --rbind "$toolkit" "$root$toolkit"
mount --make-rslave "$root$toolkit"
mounted+=("$root$toolkit")
if [ "$toolkit" != /usr/local/cuda ]; then ln -s "$toolkit" "$root/usr/local/cuda"; fi
mkdir -p "$root/root/megalith/build/gpu"
git ls-files -z --cached --others --exclude-standard | tar -c --null -T - | tar -x -C "$root/root/megalith"
cp -r build/gpu/include build/gpu/bin "$root/root/megalith/build/gpu/"

in_tree="cd /root/megalith &&"
try "there are none of our packages" "! ls /usr/include/fmt /usr/include/gtest /usr/include/xxhash.h 2>/dev/null"
try "without a GPU it says so" "$in_tree bench/gpu.sh"
try "the carried programs start" "$in_tree build/gpu/bin/test_device_cuda_gpu || [ \$? -eq 77 ]; build/gpu/bin/bench_gpu"
# A GPU is pretended, so that the script goes on to build; the programs then say that there is none.
try "it builds there" "$in_tree rm -r build/gpu/bin && mkdir /tmp/path &&
  printf '#!/bin/sh\nexit 0\n' >/tmp/path/nvidia-smi && chmod +x /tmp/path/nvidia-smi &&
  PATH=/tmp/path:\$PATH bench/gpu.sh && ls build/gpu/bin/bench_gpu"
echo "== $suite: $failures of the above failed"
[ "$failures" -eq 0 ]
