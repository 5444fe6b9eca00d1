# shellcheck shell=bash
# Shared by ./tessera, ./test and scripts/*.sh, which source it with `set -euo pipefail` and $root, the top of the tree.
# Everything here writes to stderr only: stdout belongs to the program that is run.
: "${root:?}"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# packages GROUP...: the names of these groups in scripts/packages.txt, one a line
packages() {
  local group
  for group in "$@"; do awk -v group="$group" '$1 == group { print $2 }' "$root/scripts/packages.txt"; done
}

# missing_packages GROUP...: those of them that are not installed
missing_packages() {
  local installed
  # shellcheck disable=SC2046  # package names have no blanks
  installed=$(dpkg-query -W -f='${binary:Package} ${db:Status-Status}\n' $(packages "$@") 2>/dev/null |
    awk '$2 == "installed" { sub(/:.*/, "", $1); print $1 }')
  packages "$@" | grep -vxF -e "$installed" || true
}

# ensure_packages GROUP...: installs what is missing, after saying so. Does nothing where there is no dpkg.
ensure_packages() {
  if ! command -v dpkg-query >/dev/null; then
    say "This is not a Debian system: please have these installed (Debian's names): $(packages "$@" | tr '\n' ' ')"
    return 0
  fi
  local missing as_root=()
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "$missing" ] || return 0
  say "Installing Debian packages: $missing"
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "not root and no sudo here; please run: apt-get install $missing"
    as_root=(sudo)
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  local log
  log=$(mktemp)
  apt_get() { "${as_root[@]}" apt-get -q -o Dpkg::Use-Pty=0 "$@" </dev/null >>"$log" 2>&1; }
  # shellcheck disable=SC2086
  if { apt-cache show $missing >/dev/null 2>&1 || apt_get update; } &&
    { apt_get install -y --no-install-recommends $missing ||
      { apt_get update && apt_get install -y --no-install-recommends $missing; }; }; then
    rm -f "$log"
  else
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "could not install: $missing"
  fi
}

# sources_newer STAMP: true when a source or build file changed after STAMP (folders too: a file may be gone)
sources_newer() {
  [ ! -e "$1" ] || [ -n "$(find "$root/src" "$root/include" "$root/CMakeLists.txt" "$root/CMakePresets.json" \
    "$root/scripts/packages.txt" -newer "$1" -print -quit 2>/dev/null)" ]
}

# build PRESET TARGET...: configures and builds build/PRESET; terse, the rest goes to build/PRESET.log. A log's end
# is shown on failure. One build of a preset at a time.
build() {
  local preset=$1 directory=$root/build/$1 log=$root/build/$1.log configure=() launcher=() target_arguments=()
  shift
  mkdir -p "$root/build"
  exec 9>"$root/build/$preset.lock"
  flock -n 9 || { say "Another build of $preset is running; waiting for it."; flock 9; }
  # A tree that was moved or copied: CMake would refuse its old paths.
  if ! grep -qxF "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$directory/CMakeCache.txt" 2>/dev/null; then
    rm -rf "$directory"
    command -v ccache >/dev/null && launcher=(-D CMAKE_CXX_COMPILER_LAUNCHER=ccache)
  fi
  configure=(cmake --preset "$preset" -S "$root" "${launcher[@]}")
  [ $# -eq 0 ] || target_arguments=(--target "$@")
  local started=$SECONDS
  : >"$log"
  (cd "$root" && "${configure[@]}") >>"$log" 2>&1 9>&- || build_failed "$preset" "$log"
  cmake --build "$directory" "${target_arguments[@]}" 2>&1 9>&- | tee -a "$log" | show_steps "$preset" ||
    build_failed "$preset" "$log"
  exec 9>&-
  [ $((SECONDS - started)) -lt 5 ] || say "Built $preset in $((SECONDS - started)) s."
}

build_failed() {
  say "Building $1 failed. The end of build/$1.log:"
  { grep -n -A 12 -m 3 -E 'error:|FAILED:|CMake Error' "$2" || tail -n 30 "$2"; } | tail -n 40 >&2
  exit 1
}

# show_steps PRESET: ninja's "[12/85] …" lines as one line that counts, on a terminal; nothing elsewhere
show_steps() {
  if [ ! -t 2 ]; then
    cat >/dev/null
    return 0
  fi
  local line
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+/[0-9]+)\] ]] && printf '\r\033[KBuilding %s: %s' "$1" "${BASH_REMATCH[1]}" >&2
  done
  printf '\r\033[K' >&2
}
