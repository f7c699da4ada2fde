#!/usr/bin/env bash
# Renders environments and pushes them to a branch for Flux: publish.sh BRANCH ENV…
# Other environments in the branch stay as they are. REMOTE is origin by default.
source "$(dirname "$0")/lib.sh"
branch=${1:-}
git check-ref-format --branch "$branch" >/dev/null 2>&1 || die "BRANCH: \"$branch\" is no name of a branch"
[[ $branch != main && $branch != master ]] || die "BRANCH: \"$branch\" holds the source, give one for what is rendered"
(($# > 1)) || die "usage: publish.sh BRANCH ENV…"
for name in "${@:2}"; do use_environment "$name"; done
remote=${REMOTE:-origin}
source_commit=$(git describe --always --dirty)

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GIT_INDEX_FILE=$work/index

parent=()
if git fetch -q "$remote" "refs/heads/$branch" 2>/dev/null; then
  parent=(-p "$(git rev-parse FETCH_HEAD)")
  git read-tree FETCH_HEAD
fi

# put writes a rendered kustomization into the index: put FOLDER PATH
put() {
  local blob
  render "$1" >"$work/manifest"
  blob=$(git hash-object -w "$work/manifest")
  git update-index --add --cacheinfo "100644,$blob,$2"
}

for name in "${@:2}"; do
  say "Rendering $name"
  put "config/overlays/$name" "$name/operator/operator.yaml"
  if [[ -d config/overlays/$name/samples ]]; then put "config/overlays/$name/samples" "$name/samples/samples.yaml"; fi
done
commit=$(git commit-tree "$(git write-tree)" "${parent[@]}" -m "${*:2} of $source_commit")
git push -q "$remote" "$commit:refs/heads/$branch"
say "$branch is at ${commit:0:12}"
