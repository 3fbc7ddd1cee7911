#!/usr/bin/env bash
# One script for a person and for CI. `./do help` lists the commands.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

jobs=${NOROSHI_JOBS:-$(nproc)}
deps=.deps

say() { printf '\033[1m» %s\033[0m\n' "$*" >&2; }
fail() { printf 'do: %s\n' "$*" >&2; exit 1; }

usage() {
  cat <<'TEXT'
./do run [ARGS]     set up, build, make the tiny model, start the demo site (Ctrl-C ends it);
                    ARGS go to `noroshi site`
./do test           set up, build, and run every check: format, include rules, clang-tidy,
                    unit, property, fuzz smoke, conformance, e2e, sanitizers
./do setup [test]   install what is missing (apt, the llama-server, npm); `test`: also the checkers
./do build [PRESET] configure and build (release, debug, clang, asan, tsan, coverage, fuzz)
./do bench [ARGS]   build release, then `noroshi bench ARGS`
./do fuzz [SECONDS] build the fuzzers and run each for SECONDS (60)
./do tidy           format, include direction, clang-tidy
./do format         rewrite the sources in the project's format
TEXT
}

# --- setup -------------------------------------------------------------------------------------

packages_run=(g++ cmake ninja-build ca-certificates libboost1.81-dev libboost-json1.81-dev
  libyaml-cpp-dev libcli11-dev libhwy-dev libgtest-dev mmdebstrap debian-archive-keyring curl
  libnats-dev libssl-dev nats-server libsqlite3-dev libpq-dev)
packages_test=(git python3 clang clang-format clang-tidy libclang-rt-14-dev nodejs npm)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else fail "'$*' needs root: run ./do setup as root once, or install sudo"; fi
}

# Installs the packages that are missing and stays quiet when none is.
apt_install() {
  local missing=() name
  for name in "$@"; do
    case $name in  # a newer one from elsewhere (NodeSource, say) brings its own npm
      npm | nodejs) command -v "${name/nodejs/node}" >/dev/null && continue ;;
    esac
    dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -q '^installed$' ||
      missing+=("$name")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null ||
    fail "missing packages (${missing[*]}) and no apt-get here: Noroshi is set up on Debian 12"
  say "installing ${missing[*]}"
  as_root apt-get update -qq || fail "apt-get update failed: check the network and /etc/apt"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    "${missing[@]}" >&2 || fail "apt-get could not install: ${missing[*]}"
}

setup() {
  apt_install "${packages_run[@]}"
  scripts/get_llama.sh >/dev/null
  if [ "${1:-}" = test ]; then
    apt_install "${packages_test[@]}"
    if [ ! -e e2e/node_modules/.ready ] || [ e2e/package-lock.json -nt e2e/node_modules/.ready ]; then
      say "installing the e2e client with npm"
      (cd e2e && npm ci --no-audit --no-fund --loglevel=error >&2) || fail "npm ci in e2e/ failed"
      touch e2e/node_modules/.ready
    fi
  fi
}

# --- build and run -----------------------------------------------------------------------------

build() {
  local preset=${1:-release}
  shift || true
  local launcher=()
  if command -v ccache >/dev/null; then
    launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
    export CCACHE_BASEDIR=$PWD CCACHE_NOHASHDIR=1  # so that clones share what they compiled
  fi
  say "building $preset"
  cmake --preset "$preset" "${launcher[@]}" >"/dev/null" ||
    fail "cmake could not configure; run: cmake --preset $preset"
  cmake --build "build/$preset" -j "$jobs" "$@" >&2
}

run() {
  setup
  build release --target noroshi
  local model=models/tiny.gguf
  if ! build/release/noroshi model check "$model" >/dev/null 2>&1; then
    mkdir -p models
    build/release/noroshi model make --preset tiny --out "$model" >&2
  fi
  exec build/release/noroshi site --config configs/demo.yaml "$@"
}

# --- checks ------------------------------------------------------------------------------------

sources() { git ls-files -co --exclude-standard -- 'src/*.h' 'src/*.cpp' 'e2e/*.cpp'; }

check_format() {
  say "format"
  sources | xargs clang-format --dry-run -Werror || fail "run ./do format"
}

tidy() {
  check_format
  say "include direction"
  python3 scripts/check_includes.py
  [ -e build/release/compile_commands.json ] || build release --target help >/dev/null
  # Tests and benchmarks answer to the compilers' warnings alone: they double the time for little.
  say "clang-tidy"
  git ls-files -co --exclude-standard -- 'src/*.cpp' ':!*_test.cpp' ':!*_bench.cpp' ':!*_fuzz.cpp' |
    xargs -P "$jobs" -n 1 clang-tidy --quiet -p build/release 2>&1 |
    { grep -vE '^[0-9]+ warnings? (generated|treated)|^Suppressed|^Use -header-filter' || true; } ||
    fail "clang-tidy found faults"
}

test_preset() {
  local preset=$1
  shift
  say "tests, $preset"
  ctest --preset "$preset" --output-on-failure "$@"
}

all_tests() {
  setup test
  export NODE_OPTIONS=
  build release
  tidy
  build asan
  test_preset asan -j "$jobs"
  # Only the rooms that have threads.
  build tsan --target base_test engine_test gateway_test site_test live_test fleet_test meter_test \
    trial_test
  test_preset tsan -R '^(base|engine|gateway|site|live)$'
  # Simulations of these are of one thread and would take minutes.
  GTEST_FILTER='-FleetSim.*:Digest.*:Spool.LosesNothingWhereverTheDiskDies' \
    test_preset tsan -R '^(fleet|meter|trial)$'
  # The kernels by the other compiler too, which once got an operand of theirs wrong.
  build clang --target nr_test fec_test phy_test air_test conformance_test
  test_preset clang -R '^(nr|fec|phy|air|conformance)$' -j "$jobs"
  # Last, so that the runner's own closing line ends the output.
  test_preset release
}

fuzz() {
  local seconds=${1:-60} program name
  setup test
  build fuzz --target fuzzers
  for program in build/fuzz/*_fuzz; do
    name=$(basename "$program")
    say "$name, $seconds s"
    "$program" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 "build/fuzz/corpus/$name" \
      "$(find src -type d -name "${name%_fuzz}_corpus")"
  done
}

command=${1:-help}
shift || true
case $command in
  setup) setup "$@" ;;
  build) build "$@" ;;
  run) run "$@" ;;
  test) all_tests ;;
  bench) build release --target noroshi && exec build/release/noroshi bench "$@" ;;
  fuzz) fuzz "$@" ;;
  tidy) tidy ;;
  format) sources | xargs clang-format -i ;;
  help | -h | --help) usage ;;
  *) usage >&2; fail "no command '$command'" ;;
esac
