#!/bin/sh
# Installs the restorer of a release for this machine, after its sum is found right:
#
#     VERSION=0.1.0 BASE_URL=https://example.com/releases/0.1.0 sh install.sh
#
# BASE_URL   where SHA256SUMS and the archives are: a URL (https, http, file), or a directory
# VERSION    which one, where SHA256SUMS names several
# PREFIX     /usr/local: the executable becomes $PREFIX/bin/restorer
# DEST       the whole path instead: in a builder /cnb/lifecycle/restorer. A link that stands there is replaced, never
#            followed: in builders it leads to a file with all phases
set -eu

fail() {
  echo "install.sh: $*" >&2
  exit 1
}

fetch() {
  case $BASE_URL in
    *://*)
      if command -v curl >/dev/null; then
        curl -fsSL -o "$2" "$BASE_URL/$1"
      elif command -v wget >/dev/null; then
        wget -q -O "$2" "$BASE_URL/$1"
      else
        fail "neither curl nor wget is here; get SHA256SUMS and the archive, and set BASE_URL to their directory"
      fi ;;
    *) cp -- "$BASE_URL/$1" "$2" ;;
  esac || fail "cannot get $1 from $BASE_URL"
}

[ "${BASE_URL:-}" ] || fail "set BASE_URL to where SHA256SUMS and the archives of a release are"
case $(uname -s)-$(uname -m) in
  Linux-x86_64) machine=x64 ;;
  Linux-aarch64 | Linux-arm64) machine=arm64 ;;
  *) fail "there is no restorer for $(uname -s) on $(uname -m), only for Linux on x86-64 and arm64" ;;
esac
dest=${DEST:-${PREFIX:-/usr/local}/bin/restorer}
case $dest in
  */) fail "$dest names a directory; DEST is the path of the executable itself" ;;
  /*) ;;
  *) dest=$(pwd)/$dest ;;
esac
for tool in sha256sum tar; do
  command -v "$tool" >/dev/null || fail "$tool is not here, and is needed to install; nothing is installed"
done
work=$(mktemp -d)
fresh=
trap 'rm -rf "$work" ${fresh:+"$fresh"}' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

fetch SHA256SUMS "$work/SHA256SUMS"
grep -E "  restorer-${VERSION:-[^ ]*}-linux-$machine\.tar\.gz\$" "$work/SHA256SUMS" >"$work/sum" ||
  fail "SHA256SUMS of $BASE_URL names no archive${VERSION:+ of $VERSION} for $machine"
[ "$(wc -l <"$work/sum")" -eq 1 ] || fail "SHA256SUMS of $BASE_URL names several versions; set VERSION to one"
archive=$(sed 's/^[^ ]*  //' "$work/sum")
fetch "$archive" "$work/$archive"
(cd "$work" && sha256sum -c sum >/dev/null 2>&1) ||
  fail "$archive has another sum than SHA256SUMS says; nothing is installed"
tar -xzf "$work/$archive" -C "$work" || {
  command -v gzip >/dev/null || fail "gzip is not here, and tar needs it to unpack $archive; nothing is installed"
  fail "tar cannot unpack $archive; nothing is installed"
}

# In the same directory, then renamed: whoever runs the old one keeps it, a link is replaced and not followed, and whatever
# happens, the old one or the new one stands there.
mkdir -p "$(dirname "$dest")"
[ ! -d "$dest" ] || [ -L "$dest" ] || fail "$dest is a directory"
fresh=$dest.new.$$
cp "$work/${archive%.tar.gz}/restorer" "$fresh"
chmod 755 "$fresh"
version=$("$fresh" -version) ||
  fail "what $archive holds does not run in $(dirname "$dest"); is that mounted with noexec? Nothing is installed"
# mv would go into a directory that a link leads to.
[ ! -d "$dest" ] || rm "$dest"
mv -f "$fresh" "$dest"
fresh=
echo "installed $version as $dest"
