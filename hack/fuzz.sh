#!/usr/bin/env bash
# Runs the fuzz targets of this repository for so long each: hack/fuzz.sh [30s [REGEXP]].
# REGEXP selects those whose "folder target" matches, such as 'pkg/source ' or Filters.
# Their seeds alone run with the unit tests. What makes one fail is kept in testdata/fuzz
# beside it: commit it with the fix, and the unit tests run it from then on.
#
# One worker a target (-parallel=1): the bounds of time that targets assert are of one
# input on one CPU, and memory is counted for the whole process. Inputs are minimized
# 100 times at most: the default, a minute for each, leaves no time to run them.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s} select=${2:-.}

count=0 failed=() figures=() log=$(mktemp)
trap 'rm -f "$log"' EXIT
while IFS=: read -r file target; do
  name="$(dirname "$file") $target"
  [[ $name =~ $select ]] || continue
  printf '\033[1m==> %s\033[0m\n' "$name"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 100x -parallel 1 "./$(dirname "$file")" 2>&1 | tee "$log" | grep -v '^line [0-9]*:' || failed+=("$name")
  execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$log" | tail -1)
  figures+=("$(printf '%12s execs  %s' "${execs:-0}" "$name")")
  count=$((count + 1))
done < <(git ls-files --cached --others --exclude-standard '*_test.go' | xargs grep -HoE '^func Fuzz[A-Za-z0-9_]*' | sed 's/:func /:/')

((count)) || { echo "No fuzz target matches $select." >&2; exit 1; }
printf '%s\n' "${figures[@]}"
if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "$count fuzz targets found nothing in $time each."
