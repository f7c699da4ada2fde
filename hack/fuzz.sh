#!/usr/bin/env bash
# Runs every fuzz target of this repository for so long: hack/fuzz.sh [30s]. Their
# seeds alone run with the unit tests. What makes one fail is kept in testdata/fuzz
# beside it: commit it with the repair, and the unit tests will try it for ever.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}

count=0 failed=()
while IFS=: read -r file target; do
  printf '\033[1m==> %s %s\033[0m\n' "$(dirname "$file")" "$target"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$(dirname "$file")" || failed+=("$(dirname "$file") $target")
  count=$((count + 1))
done < <(git ls-files --cached --others --exclude-standard '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')

((count)) || { echo "There are no fuzz targets." >&2; exit 1; }
if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "$count fuzz targets found nothing in $time each."
