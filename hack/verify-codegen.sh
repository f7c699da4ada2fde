#!/usr/bin/env bash
# Fails when anything generated is stale, missing, left over or not tracked:
# generates into a copy of the tree and compares.
set -euo pipefail
cd "$(dirname "$0")/.."

generated=(pkg/client pkg/apis config/core/300-resources config/core/configmaps runtimes/go/sdk docs/events.md docs/api.md docs/metrics.md config/monitoring)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT

git ls-files -z --cached --others --exclude-standard | grep -zv '^third_party/[^c]' |
  xargs -0 -I{} sh -c 'test -e "$1" && echo "$1"' _ {} | tar -cf - -T - | tar -xf - -C "$copy"
(cd "$copy" && git init -q && bash hack/update-codegen.sh >/dev/null)

stale=0
for dir in "${generated[@]}"; do
  diff -r "$dir" "$copy/$dir" || stale=1
done
untracked=$(git ls-files --others --exclude-standard -- "${generated[@]}")
if [[ -n $untracked ]]; then
  printf 'not tracked by git:\n%s\n' "$untracked"
  stale=1
fi
if ((stale)); then
  echo "Generated files are out of date: run hack/update-codegen.sh and commit what it writes." >&2
  exit 1
fi
echo "Generated files are up to date."
