#!/usr/bin/env bash
# The full product that tests/parallel covers in pairs: megalith verify-layout --all over shapes, types, vocabularies,
# dropout, micro batches, threads and ramps, for several numbers of ranks. A table is one such setting with all its
# layouts; all of them together take days of a core, so it runs in pieces and goes on where it was stopped.
#
#   scripts/all_layouts.sh [OPTION...] [PROGRAM] [RANKS...]      scripts/all_layouts.sh build/release/megalith 2 4 8
#
#   --tables N     so many tables, then stop
#   --part I/N     every N-th table from the I-th on (I from 1): for N machines
#   --record FILE  which tables are done; the default is a file in build/all_layouts for each build of the program
#   --summary      what is done so far; nothing is run
#
# The order is drawn once and for all, so any beginning is a sample of everything. Ends with 1 if a table of the record had
# a layout that differed, and names its settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

most=0 part=1 parts=1 record='' run=true
while [[ ${1:-} == --* ]]; do
  case $1 in
    --tables) most=$2 && shift ;;
    --part) part=${2%/*} parts=${2#*/} && shift ;;
    --record) record=$2 && shift ;;
    --summary) run=false ;;
    *) echo "all_layouts.sh: $1 is no option" >&2 && exit 2 ;;
  esac
  shift
done
program=${1:-build/release/megalith}
shift || true
ranks=("${@:-8}")
config=configs/runs/tiny.toml
build=$(sha256sum "$program" | cut -c 1-12)
record=${record:-build/all_layouts/$build.txt}
mkdir -p "$(dirname "$record")"
touch "$record"

# One line a table: what makes it, in words that settings_of reads.
tables() {
  local count shape dtype vocabulary tied dropout micro threads growth
  for count in "${ranks[@]}"; do
    for shape in gpt llama neox; do
      for dtype in f32 bf16; do
        for vocabulary in 509 512; do
          for tied in true false; do
            for dropout in 0.0 0.1; do
              for micro in 1 2 4; do
                for threads in 1 2; do
                  for growth in none ramp; do
                    echo "$count $shape $dtype $vocabulary $tied $dropout $micro $threads $growth"
                  done
                done
              done
            done
          done
        done
      done
    done
  done
}

settings_of() {
  local shape=$2 dtype=$3 vocabulary=$4 tied=$5 dropout=$6 micro=$7 threads=$8 growth=$9
  local settings=(model.layers=8 "numerics.dtype=$dtype" "model.vocabulary=$vocabulary" "model.tied_output=$tied"
    "model.dropout=$dropout" "model.attention_dropout=$dropout" "batch.micro=$micro" "device.threads=$threads")
  case $shape in
    gpt) settings+=(model.norm=layernorm) ;;
    llama)
      settings+=(model.norm=rmsnorm model.positions=rotary model.activation=swiglu model.biases=false model.kv_heads=2)
      ;;
    neox)
      settings+=(model.positions=rotary model.rotary_share=0.5 model.activation=gelu_erf model.parallel_residual=true)
      ;;
  esac
  [[ $growth == none ]] ||
    settings+=(batch.global=16 batch.ramp_start=8 batch.ramp_increment=4 batch.ramp_samples=64)
  printf -- '--set %s ' "${settings[@]}"
}

# Appends "equal LAYOUTS TABLE" or "differs LAYOUTS TABLE" to the record. A run that was stopped adds nothing.
check() {
  local table=$1 words out code=0
  read -ra words <<< "$table"
  # shellcheck disable=SC2046  # words on purpose
  out=$("$program" verify-layout "$config" --ranks "${words[0]}" --steps 20 --all $(settings_of "${words[@]}")) || code=$?
  ((code <= 1)) || exit "$code"
  local layouts
  layouts=$(sed -n 's/.* \([0-9]*\) run with .*/\1/p' <<< "$out")
  if ((code == 0)); then
    echo "equal $layouts $table" >> "$record"
  else
    printf '%s\n' "$out"
    echo "differs $layouts $table" >> "$record"
  fi
}

if $run; then
  done_now=0
  # Drawn by the digest of each line: the same order on every machine.
  while read -r _ table; do
    ((most == 0 || done_now < most)) || break
    ! grep -qx "\(equal\|differs\) [0-9]* $table" "$record" || continue
    check "$table"
    done_now=$((done_now + 1))
  done < <(tables | while read -r table; do echo "$(sha256sum <<< "$table" | cut -c 1-16) $table"; done | sort |
    awk -v part="$part" -v parts="$parts" 'NR % parts == part % parts')
fi

awk -v all="$(tables | wc -l)" '
  { tables++; layouts += $2 }
  $1 == "differs" { different = different "\n  " $0 }
  END { printf "%d of %d tables, %d layouts%s\n", tables, all, layouts,
        different == "" ? ", all equal" : "; with a difference:" different }' "$record"
! grep -q '^differs' "$record"
