#!/usr/bin/env bash
# Installs what is needed, builds everything with warnings as errors, and runs the tests: fast ones first.
#
#   ./test.sh [--fast] [--no-install] [--sanitizers] [--only REGEX]
#
#   --fast         only the tests labelled fast (about a minute)
#   --no-install   never touch the system; missing packages are listed by name
#   --sanitizers   build with address and undefined-behaviour sanitizers and run the fast tests
#   --only REGEX   only the tests whose names match (ctest -N lists them); builds no more than they need
#
# The last line is "N passed, N failed". Exit codes: 0 all passed, 1 something failed, 2 refused.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fast_only=false
preset=release
only=.
install_option=()
while [ $# -gt 0 ]; do
  argument=$1
  shift
  case $argument in
    --fast) fast_only=true ;;
    --no-install) install_option=(--no-install) ;;
    --sanitizers)
      preset=asan
      fast_only=true
      ;;
    --only)
      only=${1:?test: --only needs a regular expression of test names}
      shift
      ;;
    -h | --help)
      sed -n '2,/^set /p' test.sh | sed '$d; s/^# \{0,1\}//'
      exit 0
      ;;
    *)
      echo "test: unknown argument $argument (./test.sh --help)" >&2
      exit 2
      ;;
  esac
done

scripts/packages.sh test ${install_option[@]+"${install_option[@]}"}

build=build/$preset
jobs=$(nproc 2>/dev/null || echo 1)
memory_kib=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo 2>/dev/null || true)
# Test programs take up to about 1 GB to compile: fewer at once where memory is short.
if [ -n "$memory_kib" ] && [ $((memory_kib / 1000000)) -lt "$jobs" ]; then jobs=$((memory_kib / 1000000)); fi
if [ "$jobs" -lt 1 ]; then jobs=1; fi

configure=(--preset "$preset" -DMEGALITH_WERROR=ON)
if command -v ccache >/dev/null 2>&1; then configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
mkdir -p "$build"
started=$SECONDS
echo "== Configuring $build"
cmake "${configure[@]}" >"$build/configure.log" 2>&1 || {
  tail -n 20 "$build/configure.log" >&2
  exit 1
}
# The programs of the chosen tests; where one of them needs more than its own program, everything.
targets=()
if [ "$only" != . ]; then
  known=$(cmake --build "$build" --target help)
  while read -r name; do
    if ! grep -q "^test_$name: " <<<"$known"; then
      targets=()
      break
    fi
    targets+=("test_$name")
  done < <(ctest --test-dir "$build" -N -R "$only" | sed -n 's/^ *Test *#[0-9]*: \([^ ]*\).*/\1/p')
fi
echo "== Building with $jobs jobs"
cmake --build "$build" --parallel "$jobs" ${targets[@]+--target "${targets[@]}"} >"$build/build.log" 2>&1 || {
  grep -E -A 12 'error|FAILED' "$build/build.log" | head -n 60 >&2 || tail -n 30 "$build/build.log" >&2
  echo "test: the build failed; all of it: $build/build.log" >&2
  exit 1
}
echo "== Built in $((SECONDS - started)) s"

export CTEST_OUTPUT_ON_FAILURE=1 UBSAN_OPTIONS="${UBSAN_OPTIONS:-print_stacktrace=1:halt_on_error=1}"
# ctest keeps to itself what a skipped test said: the line that says so, or its first one.
show_reasons() {
  local name said reason
  while read -r name; do
    said=$(sed -n "/^[0-9]*\/[0-9]* Testing: $name\$/,/^<end of output>/p" "$build/Testing/Temporary/LastTest.log" |
      sed '1,/^-----/d; /^<end of output>/d')
    reason=$(grep -i -m 1 skip <<<"$said" || head -n 1 <<<"$said")
    echo "skipped $name: ${reason#skipped: }"
  done < <(sed -n 's/.* Test *#[0-9]*: \([^ ]*\) .*\*\*\*Skipped.*/\1/p' "$1")
}

passed=0
failed=0
skipped=0
# Runs the tests of one label and adds up what ctest says of each.
run_tests() {
  local label=$1 log=$build/ctest-$1.log code=0
  echo "== Running the $label tests"
  # One at a time: the tests compute with all processors themselves.
  ctest --test-dir "$build" -L "^$label\$" -R "$only" --no-tests=ignore </dev/null 2>&1 | tee "$log" || code=${PIPESTATUS[0]}
  passed=$((passed + $(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed ' "$log" || true)))
  skipped=$((skipped + $(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .*\*\*\*Skipped' "$log" || true)))
  show_reasons "$log"
  local bad
  bad=$(grep -E '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .*(\*\*\*|Exception)' "$log" | grep -cv 'Skipped' || true)
  failed=$((failed + bad))
  # A ctest that failed without naming a test counts as one failure: silence is not success.
  if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then failed=$((failed + 1)); fi
}

run_tests fast
if ! $fast_only; then run_tests slow; fi

if [ $((passed + failed)) -eq 0 ]; then
  echo "test: no test was run" >&2
  exit 1
fi
if [ "$skipped" -gt 0 ]; then echo "$skipped skipped, each with its reason above"; fi
echo "Took $((SECONDS - started)) s, build included."
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
