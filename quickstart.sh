#!/usr/bin/env bash
# From a bare machine to a language model that talks: installs what is needed, builds, trains on The Jargon File (or on
# the text files given), and leaves a report. Run it again to continue, or to be told what to do next.
#
#   ./quickstart.sh [--no-install] [--minutes N] [FILES...]
#
#   --no-install   never touch the system; missing packages are listed by name
#   --minutes N    about how long to train (default 3); frozen with the run at its first step
#   FILES          text files to train on instead of The Jargon File
#
# Everything is written below this folder: build/, runs/, .cache/. Exit codes: docs/exit-codes.md.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Names of files stay meant from where the caller stands.
caller=$PWD
cd "$here"

minutes=3
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
    -h | --help)
      sed -n '2,/^set /p' "$0" | sed '$d; s/^# \{0,1\}//'
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
scripts/packages.sh build ${install_option[@]+"${install_option[@]}"}

step="building"
build=build/quickstart
megalith=$build/megalith
say "Building Megalith"
if [ ! -f "$build/CMakeCache.txt" ] || [ ! -f "$build/build.ninja" ] && [ ! -f "$build/Makefile" ]; then
  configure=(-S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DMEGALITH_WERROR=OFF -DMEGALITH_TESTS=OFF -DMEGALITH_BENCH=OFF)
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
run=runs/quickstart
text_name=jargon.txt
jargon=.cache/$text_name
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
  if [ -f "$run/texts" ]; then
    while IFS= read -r file; do files+=("$file"); done <"$run/texts"
  else
    fetch_jargon
    files=("$jargon")
  fi
elif [ -f "$run/texts" ] && [ "$(printf '%s\n' "${files[@]}")" != "$(cat "$run/texts")" ]; then
  echo "quickstart: $run belongs to other text: $(head -n 1 "$run/texts")" >&2
  echo "  try: mv $run runs/another-name, and the same command again" >&2
  exit 2
fi

mkdir -p "$run/data"
# One folder and one command: a second call beside a first would train on half a file.
exec 9>"$run/quickstart.lock"
if command -v flock >/dev/null 2>&1 && ! flock -n 9; then
  echo "quickstart: another quickstart works in $run" >&2
  exit 2
fi

printf '%s\n' "${files[@]}" >"$run/texts"
tokenizer=$run/tokenizer.json
if [ ! -f "$tokenizer" ]; then
  step="training the tokenizer"
  say "Training a tokenizer of 4,096 entries"
  "$megalith" tokenizer train "${files[@]}" --vocabulary 4096 --output "$tokenizer"
fi
if [ ! -f "$run/data/complete" ]; then
  step="packing the text"
  say "Packing the text; every 20th block is held out"
  "$megalith" data build "${files[@]}" --tokenizer "$tokenizer" --output "$run/data/text" --held-out-every 20
  : >"$run/data/complete"
fi

step="training"
say "Training a GPT for about $minutes minutes; Ctrl-C saves and stops"
# A Ctrl-C reaches the verb by itself, which saves and says so; SIGTERM reaches only this script and is passed on.
trap '' INT
trap 'kill -TERM "${training:-}" 2>/dev/null || true' TERM
code=0
"$megalith" train configs/runs/quickstart.toml --run-dir "$run" --minutes "$minutes" &
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

cat <<END

== Done in $((SECONDS - started)) s. The report: $here/$run/report.html

Next:
  $megalith generate $run --prompt "A hacker is"     let it talk
  $megalith train configs/runs/quickstart.toml --run-dir runs/longer --minutes 30
                                                                train longer, in a run of its own
  mv $run runs/jargon && ./quickstart.sh YOUR_TEXT.txt          train on other text
END
