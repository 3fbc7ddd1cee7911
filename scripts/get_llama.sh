#!/bin/sh
# Puts llama-server into a private prefix, for Debian 12, which does not ship it.
#
#   scripts/get_llama.sh            prints the path of a llama-server that works
#
# A llama-server on PATH is preferred and left as it is. Otherwise the package llama.cpp-tools of
# Debian testing is unpacked, from the system's own mirror and checked with its own keyring, and
# the few libraries that the server needs are kept in NOROSHI_PREFIX (default: .deps/llama in the
# repository). The system's packages stay untouched: the server is run by its own loader with a
# library path that no other process sees.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
prefix=${NOROSHI_PREFIX:-$root/.deps/llama}
package=llama.cpp-tools
suite=testing

fail() {
  echo "get_llama.sh: $*" >&2
  exit 1
}

works() { "$1" --version >/dev/null 2>&1; }

if found=$(command -v llama-server) && works "$found"; then
  echo "$found"
  exit 0
fi
if [ -x "$prefix/bin/llama-server" ] && works "$prefix/bin/llama-server"; then
  echo "$prefix/bin/llama-server"
  exit 0
fi

command -v apt-get >/dev/null ||
  fail "no llama-server on PATH, and this is not Debian: install llama.cpp and put llama-server on PATH"
command -v mmdebstrap >/dev/null ||
  fail "mmdebstrap is missing: install it (apt-get install mmdebstrap), or put a llama-server on PATH"

# The archive that this system installs Debian's own release from: the first source whose suite is
# the running release and whose components have main. Prints "[options] URI" of a one-line source.
archive() {
  # shellcheck source=/dev/null
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-stable}")
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -r "$file" ] || continue
    awk -v codename="$codename" '
      $1 == "deb" {
        options = ""; line = $0
        sub(/^deb[ \t]+/, "", line)
        if (line ~ /^\[/) {
          options = line; sub(/\].*/, "]", options); sub(/^\[[^]]*\][ \t]*/, "", line)
        }
        count = split(line, word, /[ \t]+/)
        main = 0
        for (i = 3; i <= count && word[i] !~ /^#/; ++i) if (word[i] == "main") main = 1
        if (main && (word[2] == codename || word[2] == "stable")) { print options, word[1]; exit }
      }' "$file"
  done
  for file in /etc/apt/sources.list.d/*.sources; do
    [ -r "$file" ] || continue
    awk -v codename="$codename" '
      function has(list, wanted,    word, count, i) {
        count = split(list, word, /[ \t]+/)
        for (i = 1; i <= count; ++i) if (word[i] == wanted) return 1
        return 0
      }
      function flush(    options, uri) {
        if (!found && has(field["types"], "deb") && has(field["components"], "main") &&
            field["enabled"] !~ /^[Nn]/ &&
            (has(field["suites"], codename) || has(field["suites"], "stable"))) {
          uri = field["uris"]; sub(/^[ \t]+/, "", uri); sub(/[ \t].*/, "", uri)
          if (field["signed-by"] ~ /^[ \t]*\//) {
            options = field["signed-by"]; gsub(/^[ \t]+|[ \t]+$/, "", options)
            gsub(/[ \t]+/, ",", options); options = "signed-by=" options
          }
          if (field["trusted"] ~ /yes/) options = options " trusted=yes"
          print (options == "" ? "" : "[" options "]"), uri
          found = 1
        }
        split("", field)
      }
      /^#/ { next }
      /^[ \t]*$/ { flush(); next }
      /^[ \t]/ { field[key] = field[key] " " $0; next }
      { key = tolower($0); sub(/:.*/, "", key)
        value = $0; sub(/^[^:]*:/, "", value); field[key] = value }
      END { flush() }' "$file"
  done
}

source=$(archive | head -n 1)
[ -n "$source" ] ||
  fail "no Debian archive with the component main in /etc/apt/sources.list or /etc/apt/sources.list.d:" \
    "add one, or put a llama-server on PATH"

parent=$(dirname -- "$prefix")
mkdir -p "$parent" 2>/dev/null || fail "cannot make $parent: set NOROSHI_PREFIX to a folder that can be written"
work=$(mktemp -d "$parent/.llama.XXXXXX") || fail "cannot write to $parent: set NOROSHI_PREFIX"
trap 'rm -rf -- "$work"' EXIT
trap 'exit 130' INT TERM HUP

echo "get_llama.sh: unpacking $package of Debian $suite into $prefix" >&2
# Check-Valid-Until: a mirror may be a dated snapshot; its signature is checked all the same.
if ! mmdebstrap --quiet --variant=extract --include="$package" \
  --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Retries "3"' \
  "$suite" "$work/root" "deb $source $suite main" >"$work/log" 2>&1; then
  sed 's/^/  /' "$work/log" >&2
  fail "could not unpack $package of Debian $suite from ${source##* }." \
    "Is the network up and does the mirror carry $suite? Otherwise install llama.cpp yourself" \
    "and put llama-server on PATH."
fi

first() { find "$work/root" "$@" -print 2>/dev/null | sort | head -n 1; }
program=$(first -type f -path '*/bin/llama-server')
loader=$(first -name 'ld-linux-*.so.*')
backend=$(first -name 'libggml-cpu*.so')
impl=$(first -name 'libllama-server-impl.so')
[ -n "$program" ] || fail "the package $package has no llama-server any more"
[ -n "$loader" ] || fail "the packages unpacked for $package brought no loader (ld-linux-*.so.*)"
[ -n "$backend" ] || fail "the package $package brought no CPU backend (libggml-cpu*.so)"

# One flat folder. The loader is called llama-server there, because the process shows its loader's
# name, and because the server looks for its CPU backends beside /proc/self/exe, which is the loader.
libraries=$(dirname -- "$(first -name 'libc.so.6')"):$(dirname -- "${impl:-$program}")
mkdir -p "$work/prefix/lib" "$work/prefix/bin"
cp -L -- "$loader" "$work/prefix/lib/llama-server"
cp -L -- "$program" "$work/prefix/lib/llama-server.elf"
cp -L -- "$(dirname -- "$backend")"/libggml-*.so "$work/prefix/lib/"
"$loader" --library-path "$libraries" --list "$program" >"$work/list" 2>&1 ||
  { cat "$work/list" >&2; fail "libraries of llama-server are missing from $package"; }
sed -n 's/.* => \(\/[^ ]*\) (.*/\1/p' "$work/list" | while read -r library; do
  case $library in
    "$work/root"/*) cp -L -- "$library" "$work/prefix/lib/" ;;
    *) fail "llama-server wants $library, which the unpacked packages do not have" ;;
  esac
done
cp -L -- "$(first -path '*/doc/llama.cpp-tools/copyright')" "$work/prefix/copyright" 2>/dev/null || :
cat >"$work/prefix/bin/llama-server" <<'WRAPPER'
#!/bin/sh
self=$(readlink -f -- "$0")
lib=${self%/bin/*}/lib
exec "$lib/llama-server" --library-path "$lib" --argv0 llama-server "$lib/llama-server.elf" "$@"
WRAPPER
chmod 755 "$work/prefix/bin/llama-server" "$work/prefix/lib/llama-server"

works "$work/prefix/bin/llama-server" || {
  "$work/prefix/bin/llama-server" --version >&2 || :
  fail "the unpacked llama-server does not run on this machine (kernel $(uname -r), $(uname -m))"
}
# Only what an earlier run of this script made is ever removed.
if [ -e "$prefix/lib/llama-server.elf" ]; then rm -rf -- "$prefix"; fi
rmdir -- "$prefix" 2>/dev/null || [ ! -e "$prefix" ] ||
  fail "$prefix is there already and is not ours: set NOROSHI_PREFIX to a folder that does not exist"
mv -- "$work/prefix" "$prefix"
echo "$prefix/bin/llama-server"
