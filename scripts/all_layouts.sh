#!/usr/bin/env bash
# The full product that tests/parallel covers in pairs: megalith verify-layout --all over shapes, types, vocabularies,
# dropout, micro batches, threads and ramps, for several numbers of ranks. Hours; each line is one table.
#
#   scripts/all_layouts.sh [PROGRAM] [RANKS...]      scripts/all_layouts.sh build/release/megalith 2 4 8
#
# Ends with 1 if any layout differed, and names the settings.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

program=${1:-build/release/megalith}
shift || true
ranks=("${@:-8}")
config=configs/runs/tiny.toml
# Read by name below.
# shellcheck disable=SC2034
gpt=(--set model.norm=layernorm)
# shellcheck disable=SC2034
llama=(--set model.norm=rmsnorm --set model.positions=rotary --set model.activation=swiglu --set model.biases=false
  --set model.kv_heads=2)
# shellcheck disable=SC2034
neox=(--set model.positions=rotary --set model.rotary_share=0.5 --set model.activation=gelu_erf
  --set model.parallel_residual=true)
ramp=(--set batch.global=16 --set batch.ramp_start=8 --set batch.ramp_increment=4 --set batch.ramp_samples=64)

tables=0
differ=()
for shape in gpt llama neox; do
  declare -n model=$shape
  for dtype in f32 bf16; do
    for vocabulary in 509 512; do
      for tied in true false; do
        for dropout in 0.0 0.1; do
          for micro in 1 2 4; do
            for threads in 1 2; do
              for growth in none ramp; do
                settings=("${model[@]}" --set model.layers=8 --set "numerics.dtype=$dtype" --set "model.vocabulary=$vocabulary"
                  --set "model.tied_output=$tied" --set "model.dropout=$dropout" --set "model.attention_dropout=$dropout"
                  --set "batch.micro=$micro" --set "device.threads=$threads")
                [[ $growth == none ]] || settings+=("${ramp[@]}")
                for count in "${ranks[@]}"; do
                  tables=$((tables + 1))
                  echo "== $count ranks, $shape $dtype V=$vocabulary tied=$tied dropout=$dropout micro=$micro threads=$threads ramp=$growth"
                  if ! "$program" verify-layout "$config" --ranks "$count" --steps 20 --all "${settings[@]}"; then
                    differ+=("${settings[*]} --ranks $count")
                  fi
                done
              done
            done
          done
        done
      done
    done
  done
done
echo "$tables tables, ${#differ[@]} with a difference"
printf '  %s\n' "${differ[@]}"
((${#differ[@]} == 0))
