#!/bin/sh
# Puts the clients that package-lock.json names, checked against its hashes, into the cache and prints the folder.
# Needs npm and node, and the package registry once.
set -eu
cache=${TESSERA_CACHE:-$HOME/.cache/tessera}
here=$(cd "$(dirname "$0")" && pwd)
target=$cache/clients-$(sha256sum "$here/package-lock.json" | cut -c1-16)
mkdir -p "$cache"
exec 9>"$cache/clients.lock"
flock 9 # tests run side by side: one of them fetches
if [ ! -d "$target" ]; then
  work=$(mktemp -d "$cache/clients.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  cp "$here/package.json" "$here/package-lock.json" "$work"
  (cd "$work" && npm_config_fetch_retries=1 npm ci --silent --ignore-scripts --no-audit --no-fund) >&2
  mv "$work" "$target"
fi
echo "$target"
