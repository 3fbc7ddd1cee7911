#!/bin/sh
# Runs the whole-system tests with OpenAI's own client.
#
#   NOROSHI_BIN    the binary under test (default: build/release/noroshi)
#   NOROSHI_MODEL  a GGUF for its engine (default: a tiny load model, made here)
#   NOROSHI_URL    a gateway that runs already, tested instead; with NOROSHI_KEY, and
#                  NOROSHI_LIMITED_KEY for the rate limit
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")

fail() {
  echo "e2e/run.sh: $*" >&2
  exit 1
}

[ -d "$here/node_modules/openai" ] || {
  command -v npm >/dev/null || fail "npm is missing: run ./do setup test"
  (cd "$here" && npm ci --no-audit --no-fund --loglevel=error) ||
    fail "npm ci in e2e/ failed: check the network, then run ./do setup test"
}

# The client needs Node 20; Debian 12 has 18, so node_modules brings one along.
node=
for candidate in "$(command -v node || true)" "$here"/node_modules/node-linux-*/bin/node; do
  if [ -x "$candidate" ] &&
    "$candidate" -e 'process.exit(+process.versions.node.split(".")[0] >= 20 ? 0 : 1)' 2>/dev/null; then
    node=$candidate
    break
  fi
done
[ -n "$node" ] || fail "no Node of version 20 or later: run npm ci in e2e/"

if [ -z "${NOROSHI_URL:-}" ]; then
  NOROSHI_BIN=${NOROSHI_BIN:-$root/build/release/noroshi}
  [ -x "$NOROSHI_BIN" ] || fail "no $NOROSHI_BIN: run ./do build, or set NOROSHI_BIN"
  NOROSHI_CONFIG=$here/site.yaml
  if [ -z "${NOROSHI_MODEL:-}" ]; then
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    NOROSHI_MODEL=$scratch/tiny.gguf
    "$NOROSHI_BIN" model make --preset tiny --out "$NOROSHI_MODEL" >/dev/null ||
      fail "the model could not be made"
  fi
  export NOROSHI_BIN NOROSHI_CONFIG NOROSHI_MODEL
fi
cd "$root"  # .deps/llama is looked for here
"$node" --test --test-concurrency=1 --test-reporter=spec "$here/openai.test.mjs" "$here/up.test.mjs" \
  "$here/handover.test.mjs" "$here/models.test.mjs" &
tests=$!
trap 'kill "$tests"; wait "$tests"; exit 1' INT TERM
wait "$tests"
