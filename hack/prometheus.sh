#!/usr/bin/env bash
# Brings Prometheus and promtool to bin/: those of the path, else Debian's package,
# unpacked and not installed.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p bin

link() {
  local found
  for name in prometheus promtool; do
    [[ -x bin/$name ]] && continue
    found=$(command -v "$name") || return 1
    ln -sf "$found" "bin/$name"
  done
}
link && exit

unpacked=$(mktemp -d)
trap 'rm -rf "$unpacked"' EXIT
chmod 755 "$unpacked" # apt downloads as a user of its own
cd "$unpacked"
apt-get download -qq prometheus 2>/dev/null || { apt-get update -qq && apt-get download -qq prometheus; }
dpkg -x prometheus_*.deb .
mv usr/bin/prometheus usr/bin/promtool "$OLDPWD/bin/"
