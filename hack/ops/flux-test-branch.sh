#!/usr/bin/env bash
# Has Flux try an environment as this working tree has it, from a branch of its own:
# flux-test-branch.sh ENV. BRANCH is environments-test-ENV by default; BRANCH=environments
# with NO_PUBLISH=1 goes back.
source "$(dirname "$0")/lib.sh"
use_environment "${1:-}"
branch=${BRANCH:-environments-test-$environment}
use_kubectl
need_kind gitrepositories.source.toolkit.fluxcd.io Flux
flux() { kubectl "$1" -n flux-system "${@:2}"; }
flux get "kustomization.kustomize.toolkit.fluxcd.io/knative-lambda-$environment" >/dev/null 2>&1 ||
  die "Flux does not keep $environment here: kubectl apply -k config/flux/$environment"
if [[ -z ${NO_PUBLISH:-} ]]; then hack/ops/publish.sh "$branch" "$environment"; fi
flux patch gitrepository/knative-lambda --field-manager=flux-client-side-apply --type merge -p "{\"spec\":{\"ref\":{\"branch\":\"$branch\"}}}"
for object in gitrepository/knative-lambda "kustomization.kustomize.toolkit.fluxcd.io/knative-lambda-$environment"; do
  flux annotate --overwrite "$object" "reconcile.fluxcd.io/requestedAt=$(date +%s)"
done
flux wait "kustomization.kustomize.toolkit.fluxcd.io/knative-lambda-$environment" --for=condition=Ready --timeout=10m
