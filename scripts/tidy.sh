#!/usr/bin/env bash
# clang-format and clang-tidy over our sources, or over the files named.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"

ensure_packages build test tidy
build dev
cd "$root"
if [ $# -gt 0 ]; then
  files=("$@")
else
  mapfile -t files < <(find src include tests -name '*.cc' -o -name '*.h' | sort)
fi
clang-format-14 --dry-run --Werror "${files[@]}"
printf '%s\n' "${files[@]}" | grep '\.cc$' | grep -v '^tests/fuzz/' |
  xargs -r -P "$(nproc)" -n 1 clang-tidy-14 --quiet --extra-arg=-Wno-unknown-warning-option -p build/dev
