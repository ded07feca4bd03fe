#!/usr/bin/env bash
# From a bare machine to a language model that talks: installs what is needed, builds, trains on The Jargon File (or on
# the text files given), and leaves a report. Run it again to continue, or to be told what to do next.
#
#   ./quickstart.sh [--no-install] [--minutes N] [--run-dir DIR] [FILES...]
#
#   --no-install   never touch the system; missing packages are listed by name
#   --minutes N    about how long to train (default 3); frozen with the run at its first step
#   --run-dir DIR  where the run lives (default runs/quickstart); its text and tokenizer stand beside it in DIR-text
#   FILES          text files to train on instead of The Jargon File
#
# Everything is written below this folder: build/, runs/, .cache/. Exit codes: docs/exit-codes.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Names of files stay meant from where the caller stands.
caller=$PWD
cd "$here"

minutes=3
run=runs/quickstart
install_option=()
files=()
while [ $# -gt 0 ]; do
  case $1 in
    --no-install) install_option=(--no-install) ;;
    --minutes)
      [ $# -ge 2 ] || { echo "quickstart: --minutes needs a number" >&2; exit 2; }
      minutes=$2
      shift
      ;;
    --minutes=*) minutes=${1#*=} ;;
    --run-dir)
      [ $# -ge 2 ] || { echo "quickstart: --run-dir needs a folder" >&2; exit 2; }
      run=$2
      shift
      ;;
    --run-dir=*) run=${1#*=} ;;
    -h | --help)
      sed -n '2,/^set /p' quickstart.sh | sed '$d; s/^# \{0,1\}//'
      exit 0
      ;;
    --)
      shift
      break
      ;;
    -*) echo "quickstart: unknown option $1 (./quickstart.sh --help)" >&2; exit 2 ;;
    *) files+=("$1") ;;
  esac
  shift
done
files+=("$@")
if ! [[ $minutes =~ ^[0-9]+([.][0-9]+)?$ ]]; then
  echo "quickstart: --minutes: found '$minutes'; allowed: a number such as 3 or 0.5" >&2
  exit 2
fi
run=${run%/}
if [ -z "$run" ] || [ "${run#-}" != "$run" ]; then
  echo "quickstart: --run-dir: found '$run'; allowed: a folder such as runs/mine" >&2
  exit 2
fi
for index in "${!files[@]}"; do
  case ${files[index]} in
    /*) ;;
    *) files[index]=$caller/${files[index]} ;;
  esac
  if [ ! -f "${files[index]}" ] || [ ! -r "${files[index]}" ]; then
    echo "quickstart: ${files[index]}: not a readable file; FILES are plain text files" >&2
    exit 2
  fi
done

step="starting"
started=$SECONDS
# What was interrupted is done again or continued by the same command: every step leaves a whole result or none.
interrupted() {
  echo >&2
  echo "quickstart: stopped while $step. Nothing is lost: ./quickstart.sh continues." >&2
  exit 3
}
trap interrupted INT TERM
say() { printf '\n== %s (%d s)\n' "$1" $((SECONDS - started)); }

step="installing packages"
text_option=()
if [ ${#files[@]} -gt 0 ] || [ -s .cache/jargon.txt ]; then text_option=(--no-text); fi
scripts/packages.sh build ${text_option[@]+"${text_option[@]}"} ${install_option[@]+"${install_option[@]}"}

step="building"
build=build/quickstart
megalith=$build/megalith
say "Building Megalith"
if [ ! -f "$build/CMakeCache.txt" ] || [ ! -f "$build/build.ninja" ] && [ ! -f "$build/Makefile" ]; then
  configure=(-S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DMEGALITH_WERROR=OFF -DMEGALITH_TESTS=OFF -DMEGALITH_BENCH=OFF
    -DMEGALITH_CUDA=OFF)
  if command -v ninja >/dev/null 2>&1; then configure+=(-G Ninja); fi
  if command -v ccache >/dev/null 2>&1; then configure+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache); fi
  rm -rf "$build"
  mkdir -p "$build"
  cmake "${configure[@]}" >"$build/configure.log" 2>&1 || {
    tail -n 15 "$build/configure.log" >&2
    echo "quickstart: configuring failed; scripts/packages.sh build names what is needed" >&2
    exit 1
  }
fi
jobs=$(nproc 2>/dev/null || echo 1)
# A compiler takes up to about 0.7 GB: fewer at once where memory is short.
memory_kib=$(sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo 2>/dev/null || true)
if [ -n "$memory_kib" ] && [ $((memory_kib / 700000)) -lt "$jobs" ]; then jobs=$((memory_kib / 700000)); fi
if [ "$jobs" -lt 1 ]; then jobs=1; fi
if [ -t 1 ]; then
  cmake --build "$build" --target megalith --parallel "$jobs" || exit 1
else
  cmake --build "$build" --target megalith --parallel "$jobs" >"$build/build.log" 2>&1 || {
    tail -n 30 "$build/build.log" >&2
    exit 1
  }
fi

step="finding the text"
# Beside the run, not in it: the run directory belongs to megalith train.
text=$run-text
jargon=.cache/jargon.txt
fetch_jargon() {
  local packed=/usr/share/doc/jargon-text/jargon.txt.gz folder
  [ ! -s "$jargon" ] || return 0
  mkdir -p .cache
  if [ ! -r "$packed" ]; then
    # Some images leave /usr/share/doc out of what they install: the package itself has the text.
    folder=.cache/jargon-text
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && apt-get download -qq jargon-text >download.log 2>&1 && dpkg-deb -x ./*.deb .) || {
      echo "quickstart: The Jargon File is neither in /usr/share/doc/jargon-text nor to be had by apt-get download." >&2
      echo "  try: ./quickstart.sh YOUR_TEXT.txt" >&2
      exit 2
    }
    packed=$folder/usr/share/doc/jargon-text/jargon.txt.gz
  fi
  gzip -dc "$packed" >"$jargon.part"
  mv "$jargon.part" "$jargon"
}
if [ ${#files[@]} -eq 0 ]; then
  if [ -f "$text/files" ]; then
    while IFS= read -r file; do files+=("$file"); done <"$text/files"
  else
    fetch_jargon
    files=("$jargon")
  fi
elif [ -f "$text/complete" ] && [ "$(printf '%s\n' "${files[@]}")" != "$(cat "$text/files")" ]; then
  echo "quickstart: $run belongs to other text: $(head -n 1 "$text/files")" >&2
  echo "  try: ./quickstart.sh --run-dir runs/another-name FILES" >&2
  exit 2
fi

mkdir -p "$text"
# A second call beside a first would train on half a file.
exec 9>"$text/lock"
if command -v flock >/dev/null 2>&1 && ! flock -n 9; then
  echo "quickstart: another quickstart works on $run" >&2
  exit 2
fi

tokenizer=$text/tokenizer.json
if [ -f "$text/files" ] && [ "$(printf '%s\n' "${files[@]}")" != "$(cat "$text/files")" ]; then
  rm -f "$tokenizer"  # of other text, which was refused
fi
printf '%s\n' "${files[@]}" >"$text/files"
if [ ! -f "$tokenizer" ]; then
  step="training the tokenizer"
  say "Training a tokenizer of 4,096 entries"
  "$megalith" tokenizer train "${files[@]}" --vocabulary 4096 --output "$tokenizer"
fi
if [ ! -f "$text/complete" ]; then
  step="packing the text"
  say "Packing the text; every 20th block is held out"
  "$megalith" data build "${files[@]}" --tokenizer "$tokenizer" --output "$text/text" --held-out-every 20 || {
    code=$?
    if [ "$code" -eq 2 ]; then echo "quickstart: it needs 80 kB of plain text at the least" >&2; fi
    exit "$code"
  }
  : >"$text/complete"
fi
# What was packed: PREFIX.idx and PREFIX.bin to train on, and the same with "held" in the name, never trained on.
settings=(--set "data.tokenizer=$tokenizer")
for index in "$text"/text*.idx; do
  case ${index##*/} in
    *held*) settings+=(--set "data.held_out=${index%.idx}") ;;
    *) settings+=(--set "data.source=${index%.idx}") ;;
  esac
done

step="training"
say "Training a GPT for about $minutes minutes; Ctrl-C saves and stops"
# A Ctrl-C reaches the verb by itself, which saves and says so; SIGTERM reaches only this script and is passed on.
trap '' INT
trap 'kill -TERM "${training:-}" 2>/dev/null || true' TERM
code=0
"$megalith" train configs/runs/quickstart.toml "${settings[@]}" --run-dir "$run" --minutes "$minutes" &
training=$!
wait "$training" || code=$?
# A signal ends the wait and not the training.
while kill -0 "$training" 2>/dev/null; do
  code=0
  wait "$training" || code=$?
done
trap interrupted INT TERM
if [ "$code" -eq 3 ]; then
  echo "quickstart: stopped and saved. ./quickstart.sh continues where it stopped."
  exit 3
fi
if [ "$code" -ne 0 ]; then exit "$code"; fi

case $run in
  /*) report=$run/report.html ;;
  *) report=$here/$run/report.html ;;
esac
# The verb has just named its own next steps; this one is the script's.
cat <<END
  train on other text
    ./quickstart.sh --run-dir runs/mine YOUR_TEXT.txt
  (all of them in $here)

== Done in $((SECONDS - started)) s. The report: $report
END
