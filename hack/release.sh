#!/usr/bin/env bash
# Builds what is released as the file VERSION says into release/: images in
# KO_DOCKER_REPO for PLATFORMS (linux/amd64,linux/arm64 by default), manifests that name
# them by digest, SBOMs, checksums and the section of CHANGELOG.md. With COSIGN_KEY, a
# key as cosign takes it, images and checksums are signed. DIRTY=1 allows changes that
# are not committed.
source "$(dirname "$0")/lib.sh"

version=$(<VERSION)
[[ $version =~ ^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || die "VERSION: \"$version\" is no semantic version"
platforms=${PLATFORMS:-linux/amd64,linux/arm64}
[[ $platforms =~ ^linux/[a-z0-9/]+(,linux/[a-z0-9/]+)*$ ]] || die "PLATFORMS: \"$platforms\" is not like linux/amd64,linux/arm64"
: "${KO_DOCKER_REPO:?Set it to the registry that the images are released in}"
if [[ -n ${COSIGN_KEY:-} ]]; then
  command -v cosign >/dev/null || die "COSIGN_KEY is set and cosign is missing: see https://docs.sigstore.dev/cosign"
fi
[[ -n ${DIRTY:-} || -z $(git status --porcelain) ]] || die "There are changes that are not committed: commit them, or set DIRTY=1"

changes=$(awk -v heading="## [$version]" 'index($0, "## ") == 1 {on = index($0, heading) == 1} on' CHANGELOG.md)
[[ -n $changes ]] || die "CHANGELOG.md has no section ## [$version]"

use_ko
rm -rf release
mkdir -p release/sboms
printf '%s\n' "$changes" >release/CHANGELOG.md

# join writes files as one: join FILE…
join() {
  local file
  for file; do
    echo ---
    cat "$file"
  done
}
mapfile -t core < <(find config/core -name '*.yaml' -not -path '*/300-resources/*' | LC_ALL=C sort)
join config/core/300-resources/*.yaml >release/crds.yaml
join config/post-install/*.yaml >release/post-install.yaml
join "${core[@]}" >release/core.yaml
go run ./hack/kustomize config/monitoring >release/monitoring.yaml
for name in pro studio; do go run ./hack/kustomize "config/overlays/$name" >"release/$name.yaml"; done
go run ./hack/kustomize config/overlays/pro/samples >release/pro-samples.yaml

# All images are built once, so that all manifests name the same ones.
say "Building the images of $version for $platforms"
mapfile -t images < <(grep -ho 'ko://[A-Za-z0-9][A-Za-z0-9._/-]*' release/*.yaml | sort -u)
printf -- '- %s\n' "${images[@]}" |
  ko resolve --platform="$platforms" --base-import-paths --tags="v$version" --sbom=spdx --sbom-dir=release/sboms -f - |
  sed -n 's/^- //p' >release/images.txt
[[ $(grep -c '@sha256:' release/images.txt) == "${#images[@]}" ]] || die "Not every image has a digest: see release/images.txt"

script=(-e "s|app.kubernetes.io/version: devel|app.kubernetes.io/version: v$version|")
while IFS=' ' read -r source image; do
  script+=(-e "s|$source\$|$image|" -e "s|$source\([^A-Za-z0-9._/-]\)|$image\1|g")
done < <(paste -d ' ' <(printf '%s\n' "${images[@]}") release/images.txt)
sed -i "${script[@]}" release/*.yaml
if grep -n 'ko://' release/*.yaml; then die "These images are not resolved"; fi

(cd release && find . -type f -not -name sha256sums | LC_ALL=C sort | xargs sha256sum >sha256sums)
if [[ -n ${COSIGN_KEY:-} ]]; then
  say "Signing"
  xargs -n 1 cosign sign --yes --recursive --key "$COSIGN_KEY" <release/images.txt
  cosign sign-blob --yes --key "$COSIGN_KEY" --output-signature release/sha256sums.sig release/sha256sums
fi
say "release/ has $version for $platforms"
