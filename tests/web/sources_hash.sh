#!/bin/sh
# Prints the hash of what web/dist was built from, as web/build/source_hash.ts computes it: no Node needed.
set -eu
cd "$(dirname "$0")/../../web"
LC_ALL=C
export LC_ALL
find build src index.html package.json package-lock.json public/recorder-worklet.js tsconfig.json vite.config.ts \
  ../examples/departures.png ../examples/digits.wav ../examples/pictures.png ../examples/question.wav -type f | sort | xargs sha256sum | sha256sum | cut -d ' ' -f 1
