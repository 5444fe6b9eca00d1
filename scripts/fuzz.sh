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
  out=$root/build/fuzz/runs/$target
  mkdir -p "$out/corpus"
  # Real files to start from: the first inputs of a run, then what they grew into (corpus).
  case $target in
    fuzz_image | fuzz_audio) seeds=$root/tests/fixtures/media ;;
    *) seeds=$out/seeds && mkdir -p "$seeds" ;;
  esac
  case $target in
    fuzz_tokenizer) { cat "$root/tests/fixtures/tiny/tokenizer.json" && printf '\377Hello, world'; } >"$seeds/tiny" ;;
    fuzz_chat)
      for first in 0 1 2 3; do # the first byte picks what the rest is
        printf '%s{"messages":[{"role":"user","content":"Hi"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]}' $first >"$seeds/request$first"
        printf '%s<|channel>thought\nhm<channel|>So <|tool_call>call:f{a:<|"|>b<|"|>,c:[1,{d:true}]}<tool_call|>' $first >"$seeds/reply$first"
      done ;;
    fuzz_request)
      for first in 0 1 2 3 4 5; do # the first byte picks the API
        printf '%s{"messages":[{"role":"user","content":[{"type":"text","text":"Hi"},{"type":"image_url","image_url":{"url":"data:;base64,AAAA"}}]}],"max_tokens":5,"stream":true,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]}' $first >"$seeds/chat$first"
        printf '%s{"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}],"prompt":["a"],"max_tokens":5,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"x"}]}]}' $first >"$seeds/other$first"
      done
      printf '6--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nx\r\n--b--' >"$seeds/form" ;;
    fuzz_schema)
      printf '{"type":"object","properties":{"a":{"type":"string","pattern":"^[a-z]{2,4}$","maxLength":3},"b":{"$ref":"#/$defs/n"}},"required":["a"],"$defs":{"n":{"anyOf":[{"type":"integer","minimum":-3,"maximum":12},{"type":"array","items":{"$ref":"#"},"minItems":1}]}}}\000abcdefghijklmnopqrstuvwxyz' >"$seeds/object"
      printf '{"allOf":[{"additionalProperties":{"type":"number","exclusiveMaximum":0.5}},{"properties":{"x":{"enum":[1,"y",null]}}}]}\0000123456789' >"$seeds/merged"
      printf '{"type":["string","null"],"format":"date-time","nullable":true,"minLength":1}\000zzzzzzzz' >"$seeds/string"
      ;;
  esac
  log=$out/log.txt
  if "$root/build/fuzz/tests/fuzz/$target" -max_total_time="$each" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="$out/" "$out/corpus" "$seeds" >"$log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs, no failure"
  else
    failed=$((failed + 1))
    echo "$target: FAILED, see $out"
    grep -v '^#' "$log" | tail -n 40
  fi
done
echo "$((${#targets[@]} - failed)) fuzz targets passed, $failed failed"
[ "$failed" = 0 ]
