#!/usr/bin/env bash
# Builds the fuzz targets of tests/fuzz with clang and libFuzzer and runs each for a while.
#   scripts/fuzz.sh [SECONDS [TARGET…]]     SECONDS in all, shared by the targets (30); a crash leaves its input behind
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

seconds=${1:-30}
shift || true
ensure_packages build test fuzz
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in "$root"/tests/fuzz/fuzz_*.cc; do
    [ -e "$source" ] || die "no fuzz targets in tests/fuzz"
    targets+=("$(basename "$source" .cc)")
  done
fi
say "Building the fuzz targets: ${targets[*]}"
build fuzz "${targets[@]}"

each=$((seconds / ${#targets[@]}))
[ "$each" -gt 0 ] || each=1
failed=0
for target in "${targets[@]}"; do
  work=$root/build/fuzz/work/$target seeds=$root/tests/fuzz/corpus/${target#fuzz_}
  mkdir -p "$work/corpus" "$seeds"
  log=$work/log.txt
  if "$root/build/fuzz/tests/fuzz/$target" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$work/" "$work/corpus" "$seeds" >"$log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, no failure"
  else
    failed=$((failed + 1))
    echo "$target: FAILED, see $work"
    grep -v '^#' "$log" | tail -n 40
  fi
done
echo "$((${#targets[@]} - failed)) fuzz targets passed, $failed failed"
[ "$failed" = 0 ]
