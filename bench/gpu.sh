#!/usr/bin/env bash
# Builds, tests and measures the CUDA backend on a machine with an NVIDIA card or several, and prints one table.
#
#   bench/gpu.sh              builds into build/release first
#   bench/gpu.sh BUILD_DIR    takes the tessera, tests/gpu_tests and tests/sums_bench that are there
#
# Takes 60 GB of disk for synthetic models of the 12B's geometry (in ${TMPDIR:-the system's folder}) and leaves
# nothing. SANITIZE=0 leaves the checks of memory and races out.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

build=${1:-}
if [ -z "$build" ]; then
  ensure_packages build test
  build=$root/build/release
  cmake --preset release -S "$root" -DTESSERA_CUDA=on -DTESSERA_TESTS=ON -DCMAKE_CUDA_ARCHITECTURES=native
  cmake --build "$build" --target tessera gpu_tests sums_bench
fi
tessera=$build/tessera tests=$build/tests/gpu_tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say "Tests."
"$tests" --gtest_brief=1
if [ "${SANITIZE:-1}" = 1 ]; then
  command -v compute-sanitizer >/dev/null || die "compute-sanitizer is not here; it comes with CUDA, or set SANITIZE=0"
  # initcheck sees no stores of cuBLASLt's kernels: the goldens run without it (float32, few rows at a time).
  tiny='*TinyGolden.EqualsReference/text_cuda:*TinyGolden.EqualsReference/image_cuda'
  for tool in memcheck initcheck; do
    say "compute-sanitizer $tool over the tiny model."
    compute-sanitizer --tool "$tool" --error-exitcode 1 "$tests" --gtest_brief=1 --gtest_filter="$tiny"
  done
  # Seconds for a few launches of one kernel, minutes for all of them in one run.
  race() { # KERNEL TEST
    say "compute-sanitizer racecheck over $1."
    compute-sanitizer --tool racecheck --kernel-name "kns=$1" --launch-count 24 --error-exitcode 1 "$tests" \
      --gtest_brief=1 --gtest_filter="$2"
  }
  for kernel in residual_norm rope_store attend_any; do race "$kernel" "${tiny%%:*}"; done
  for kernel in attend_few attend_wgmma merge; do race "$kernel" '*OpsAttention.ShortContexts/cuda'; done
  race attend_many '*OpsAttention.ShortContexts/cuda_small_card'  # as on cards before Hopper
  race matvec 'GpuProducts.PartsOfDifferentFormsMakeOneMatrix'
fi

say "Models: the 12B's geometry with synthetic weights."
"$tessera" synth "$work/bf16" --layers 48
for type in q8_0 q4_0 q4_k; do
  "$tessera" quantize "$work/bf16" "$work/$type.gguf" --type "$type" --mmproj "$work/mmproj.gguf"  # the same for all
done

say "Speed: decode at depths 0 and 32,768, a prompt of 2,048, an image of 280 soft tokens to the first token."
for model in bf16 q8_0.gguf q4_0.gguf q4_k.gguf; do
  "$tessera" bench "$work/$model" --backend cuda --chunk 2048 -p 2048 -n 64 -d 0
  "$tessera" bench "$work/$model" --backend cuda --chunk 2048 -p 0 -n 64 -d 32768
  "$tessera" bench "$work/$model" --backend cuda --chunk 2048 -p 0 -n 0 --image-tokens 280
done
if [ "$(nvidia-smi -L | wc -l)" -ge 2 ]; then
  say "Two cards: sums, and the same speeds."
  "$build/tests/sums_bench" 2
  "$tessera" bench "$work/bf16" --backend cuda --gpus 2 --chunk 2048 -p 2048 -n 64 -d 0
  "$tessera" bench "$work/q4_0.gguf" --backend cuda --gpus 2 --chunk 2048 -p 2048 -n 64 -d 0
fi
