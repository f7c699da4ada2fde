# Everything a person or CI does with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# As ko builds, so that what tests, tools and images share is compiled once.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath

bin := $(CURDIR)/bin
cluster := go run ./hack/cluster

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-21s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Bring up a cluster if there is none, deploy a function and show its answer
	@hack/demo.sh

.PHONY: test
test: ## Run every test: unit, generated code, lint, conformance and end to end on the local cluster
	@hack/test.sh

.PHONY: unit
unit: ## Run the tests that need no cluster
	go test ./cmd/... ./internal/... ./pkg/... ./runtime/... ./runtimes/... ./hack/... ./test/...

.PHONY: lint
lint: bin/golangci-lint ## Run the linters
	bin/golangci-lint run ./...

bin/golangci-lint: third_party/golangci-lint/go.mod third_party/golangci-lint/go.sum
	cd third_party/golangci-lint && go build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: generate
generate: ## Write everything that is generated
	hack/update-codegen.sh

.PHONY: verify
verify: ## Check that everything generated is up to date and tracked
	hack/verify-codegen.sh

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (default 30s), those that FUZZ matches
	hack/fuzz.sh $${FUZZTIME:-30s} $${FUZZ:-.}

.PHONY: cluster-up
cluster-up: ## Bring up the local cluster (Linux, root); WITH=eventing,minio adds these parts
	$(cluster) up $(addprefix --with=,$(WITH))

.PHONY: cluster-down
cluster-down: ## Remove the local cluster; what was built is kept
	$(cluster) down

.PHONY: cluster-status
cluster-status: ## Show what of the local cluster runs
	$(cluster) status

.PHONY: install
install: ## Build and install the operator in the cluster of KUBECONFIG, or the local one
	hack/install.sh

.PHONY: uninstall
uninstall: ## Remove the operator from the cluster of KUBECONFIG, or the local one
	hack/install.sh --remove

.PHONY: deploy-dev
deploy-dev: install ## Build this working tree and install it as config/core has it

.PHONY: deploy-pro deploy-studio
deploy-pro: ## Build the environment pro and apply it to the cluster of KUBECONFIG
	hack/ops/deploy.sh pro
deploy-studio: ## Build the environment studio and apply it; needs Flagger, Linkerd and more
	hack/ops/deploy.sh studio

.PHONY: deploy-diff
deploy-diff: ## Show what deploying ENV (pro or studio) would change
	hack/ops/deploy.sh "$(ENV)" --diff

.PHONY: build-images-local
build-images-local: ## Build the operator's images for this platform and push them to the local registry
	hack/ops/images.sh

.PHONY: publish-environments flux-test-branch
publish-environments: ## Render pro and studio and push them to the branch that Flux follows
	hack/ops/publish.sh "$${BRANCH:-environments}" pro studio
flux-test-branch: ## Have Flux try ENV as this working tree has it, from a branch of its own
	hack/ops/flux-test-branch.sh "$(ENV)"

.PHONY: canary-status canary-promote canary-rollback canary-describe ab-split-status
canary-status: ## Show how far the roll-out of the receiver is
	hack/ops/canary.sh status
canary-promote: ## Promote the new receiver now
	hack/ops/canary.sh promote
canary-rollback: ## Take the new receiver back now
	hack/ops/canary.sh rollback
canary-describe: ## Show the canary with its events
	hack/ops/canary.sh describe
ab-split-status: ## Show how requests are split between primary and canary
	hack/ops/canary.sh ab-split

.PHONY: k6-apply-tests k6-smoke k6-load k6-stress k6-status k6-clean
k6-apply-tests: ## Put the load tests into the cluster
	hack/ops/k6.sh apply-tests
k6-smoke: ## Run the smoke test in the cluster against TARGET, 30 s
	hack/ops/k6.sh smoke
k6-load: ## Run the load test in the cluster against TARGET, 13 min
	hack/ops/k6.sh load
k6-stress: ## Run the stress test in the cluster against TARGET, 24 min
	hack/ops/k6.sh stress
k6-status: ## Show load tests that run or ran
	hack/ops/k6.sh status
k6-clean: ## Remove the load tests
	hack/ops/k6.sh clean

.PHONY: metrics alerts
metrics: ## Print the metrics of COMPONENT (controller, webhook, receiver or broker)
	hack/ops/observe.sh metrics
alerts: ## List the operator's alerts that Prometheus knows
	hack/ops/observe.sh alerts

bin/k6: third_party/k6/go.mod third_party/k6/go.sum
	cd third_party/k6 && go build -trimpath -ldflags '-s -w' -o $(CURDIR)/$@ go.k6.io/k6

.PHONY: base-image
base-image: ## Push a base image for PLATFORMS to KO_DOCKER_REPO/base, for where distroless cannot be had
	@go run ./hack/baseimage "$${KO_DOCKER_REPO:?Set it to a registry}/base" $$(tr , ' ' <<<"$${PLATFORMS:-linux/amd64,linux/arm64}")

.PHONY: release
release: ## Build what is released as VERSION says into release/, for PLATFORMS
	hack/release.sh

.PHONY: e2e
e2e: ## Run conformance, end-to-end and tenants' attacks against an installed operator
	hack/e2e.sh

.PHONY: rekt
rekt: ## Run Knative Eventing's own tests against this project's Broker class
	hack/rekt.sh

.PHONY: attack
attack: ## Attack an installed operator as a tenant would, without the other tests
	hack/e2e.sh security/tenant

.PHONY: fault
fault: ## Break what the installed operator stands on, on the local cluster, and tell how long each took to settle
	hack/fault.sh

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what is linked, where their database can be reached
	hack/vuln.sh

.PHONY: clean
clean: ## Remove what was built here; the local cluster's cache too
	$(cluster) down
	rm -rf $(bin) release
	rm -rf --one-file-system $${LAMBDA_CLUSTER_DIR:-/var/lib/knative-lambda-cluster}
