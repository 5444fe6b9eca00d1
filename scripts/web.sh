#!/usr/bin/env bash
# The chat page: installs its npm packages, checks types, builds web/dist, runs its tests.
#
#   scripts/web.sh           all of that; web/dist must be committed when it changed
#   scripts/web.sh check     builds a second time beside the committed web/dist and compares bit for bit; then the tests
#   scripts/web.sh build     types and build only
#
# With TESSERA_BINARY set to a program that is built, the browser's tests also run against it and models/mini.
set -euo pipefail
root=$(dirname "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")")
# shellcheck source=scripts/common.sh
. "$root/scripts/common.sh"
what=${1:-all} program=${TESSERA_BINARY:-}
if [ -n "$program" ]; then
  [ -x "$program" ] || die "TESSERA_BINARY is $program, which is no program: build it first (./test leaves build/dev/tessera)"
  TESSERA_BINARY=$(readlink -f "$program")
  export TESSERA_BINARY
fi
{ command -v node && command -v npm; } >/dev/null || ensure_packages vocabulary
[ "$what" = build ] || command -v chromium >/dev/null || [ -n "${CHROMIUM:-}" ] || ensure_packages web
cd "$root/web"
# Not npm ci: it wants packages of other platforms that are optional and that a mirror may lack.
npm install --no-save --no-audit --no-fund --ignore-scripts --loglevel=error
npx tsc --noEmit
if [ "$what" = check ]; then
  kept=$(mktemp -d)
  trap 'rm -rf "$kept"' EXIT
  cp -r dist "$kept/dist"
fi
npx vite build --logLevel warn
say "First load: $(stat -c %s dist/index.html.gz) bytes."
[ "$what" != build ] || exit 0
if [ "$what" = check ]; then
  diff -r "$kept/dist" dist || die "web/dist is not what its sources give: run scripts/web.sh and commit it"
fi
npx vitest run --project unit
[ -n "$program" ] || say "TESSERA_BINARY is not set: the page is tested against a mock server alone."
npx vitest run --project browser
