#!/usr/bin/env bash
# Builds what computes (base, format, backend, model) for 64-bit Arm with the cross compiler and runs its tests in
# QEMU: NEON with the dot product on a processor that has it, portable on both. Under four minutes on two cores.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

ensure_packages build test arm
directory=$root/build/arm work=$root/build/arm/results
launcher=()
command -v ccache >/dev/null && launcher=(-D CMAKE_CXX_COMPILER_LAUNCHER=ccache)
mkdir -p "$directory"
log=$root/build/arm.log
{ cmake -S "$root" -B "$directory" -G Ninja -D CMAKE_TOOLCHAIN_FILE="$root/scripts/aarch64.cmake" \
  -D CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG" -D TESSERA_CORE_ONLY=ON -D TESSERA_CUDA=off \
  -D TESSERA_WERROR=ON "${launcher[@]}" &&
  cmake --build "$directory" --target ops_tests format_tests; } >"$log" 2>&1 </dev/null || build_failed arm "$log"

# on CPU PROGRAM ARGUMENT…: runs a test program on a processor that QEMU imitates
on() { qemu-aarch64-static -L /usr/aarch64-linux-gnu -cpu "$1" "$directory/tests/$2" "${@:3}" </dev/null; }

rm -rf "$work" && mkdir -p "$work"
# Most time goes to the scalar reference of attention: for portable, which x86 tests too, only its short test runs.
filter='-*.EqualsRef/portable:*.LongContexts/portable'
shards=$(nproc) runs=()
for ((shard = 0; shard < shards; ++shard)); do
  GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$shard on max ops_tests --gtest_filter="$filter" >"$work/ops$shard" 2>&1 &
  runs+=($!)
done
status=0
for run in "${runs[@]}"; do wait "$run" || status=1; done
# Without the extension: portable is chosen, neon refused.
on cortex-a72 ops_tests --gtest_filter='Backends.*:Isa/Quant.*' >"$work/old" 2>&1 || status=1
on max format_tests >"$work/format" 2>&1 || status=1
if [ "$status" != 0 ]; then
  grep -hE '^\[  FAILED|Failure|error|qemu' -A 8 "$work"/* | head -n 60 >&2 || tail -n 20 "$work"/* >&2
  die "tests failed on aarch64, see $work"
fi

# Neon must have run: as many tests as portable has.
wanted=$(on max ops_tests --gtest_list_tests | grep -c '^  .*/portable' || true)
found=$(cat "$work"/ops* | grep -c '^\[       OK \] .*/neon ' || true)
if [ "$wanted" = 0 ] || [ "$found" != "$wanted" ]; then
  die "$found tests of neon passed, expected $wanted"
fi
! grep -q /neon "$work/old" || die "neon ran on a processor without the dot product"
echo "aarch64: $(cat "$work"/* | grep -c '^\[       OK \]') tests passed, $found of them neon"
