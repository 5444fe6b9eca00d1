#!/usr/bin/env bash
# Times `tessera bench` and another program's llama-bench on the same file in turn (A B A B …), so that a busy machine
# hits both, and prints the median of all runs of each test and their ratio.
#
#   bench/compare.sh [options] MODEL LLAMA_BENCH [its own options …]
#   bench/compare.sh -p 512 -n 64 -t 2 gemma-4-12b-Q8_0.gguf path/to/llama-bench -fa on
#
#   -p, -n, -d LIST   tokens of prompts, of answers, already in the KV cache (512, 128, 0)
#   -t N              threads of both (one per core)
#   -r N              repeats in each round (2)
#   -x N              rounds (3)
#   -m MODEL          another file or directory for Tessera, where it has the same weights in another form
#   -b PROGRAM        tessera to run (build/release/tessera)
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

usage() { sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; }
prompts=512 answers=128 depths=0 threads=$(nproc) repeats=2 rounds=3 ours='' program=$root/build/release/tessera
while getopts 'p:n:d:t:r:x:m:b:h' flag; do
  case $flag in
    p) prompts=$OPTARG ;; n) answers=$OPTARG ;; d) depths=$OPTARG ;; t) threads=$OPTARG ;;
    r) repeats=$OPTARG ;; x) rounds=$OPTARG ;; m) ours=$OPTARG ;; b) program=$OPTARG ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 2 ] || { usage >&2; exit 2; }
model=$1 peer=$2
shift 2
[ -x "$program" ] || die "$program is not there; build it (./tessera --help does) or name another with -b"
[ -x "$peer" ] || die "$peer cannot be run; the second argument is a llama-bench"
[ -e "$model" ] || die "$model is not there"
ensure_packages bench

common=(-p "$prompts" -n "$answers" -t "$threads" -r "$repeats" -o json)
peer_depth=()
[ "$depths" = 0 ] || peer_depth=(-d "$depths")  # not every llama-bench has it
log=$(mktemp)
trap 'rm -f "$log" "$log".*' EXIT

# run SIDE COMMAND...: appends {side, test, samples} lines to the log
run() {
  local side=$1 filter
  shift
  "$@" 2>"$log.err" >"$log.json" || { tail -n 5 "$log.err" >&2; die "$1 failed"; }
  if [ "$side" = ours ]; then
    filter='.tests[] | {side: "ours", test: .test, samples: [.tokens / .seconds[]]}'
  else
    filter='.[] | {side: "peer", samples: .samples_ts, test:
      ((if .n_gen > 0 then "tg\(.n_gen)" else "pp\(.n_prompt)" end) +
       (if (.n_depth // 0) > 0 then " @ d\(.n_depth)" else "" end))}'
  fi
  jq -c "$filter" "$log.json" >>"$log"
}

for ((round = 1; round <= rounds; ++round)); do
  say "Round $round of $rounds."
  run ours "$program" bench "${ours:-$model}" "${common[@]}" -d "$depths"
  run peer "$peer" -m "$model" "${common[@]}" "${peer_depth[@]}" "$@"
done

printf '%-16s %12s %12s %8s %6s\n' test tessera peer ratio runs
jq -rs '
  def median: sort | (.[(length - 1) / 2 | floor] + .[length / 2 | floor]) / 2;
  group_by(.test)[] | {
    test: .[0].test,
    ours: [.[] | select(.side == "ours") | .samples[]],
    peer: [.[] | select(.side == "peer") | .samples[]]}
  | select((.ours | length) > 0 and (.peer | length) > 0)
  | [.test, (.ours | median), (.peer | median), (.ours | median) / (.peer | median), (.ours | length)] | @tsv' "$log" |
  while IFS=$'\t' read -r test ours_median peer_median ratio runs; do
    printf '%-16s %12.2f %12.2f %8.2f %6d\n' "$test" "$ours_median" "$peer_median" "$ratio" "$runs"
  done
