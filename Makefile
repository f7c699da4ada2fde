# Everything a person or CI does with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

bin := $(CURDIR)/bin
cluster := go run ./hack/cluster

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## Bring up a cluster if there is none, deploy a function and show its answer
	@hack/demo.sh

.PHONY: test
test: ## Run every test: unit, generated code, lint, conformance and end to end on the local cluster
	@hack/test.sh

.PHONY: unit
unit: ## Run the tests that need no cluster
	go test ./cmd/... ./pkg/... ./runtimes/... ./hack/... ./test/...

.PHONY: lint
lint: $(bin)/golangci-lint ## Run the linters
	$(bin)/golangci-lint run ./...

$(bin)/golangci-lint: third_party/golangci-lint/go.mod third_party/golangci-lint/go.sum
	cd third_party/golangci-lint && go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

.PHONY: generate
generate: ## Write everything that is generated
	hack/update-codegen.sh

.PHONY: verify
verify: ## Check that everything generated is up to date and tracked
	hack/verify-codegen.sh

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME (default 30s)
	hack/fuzz.sh $${FUZZTIME:-30s}

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

.PHONY: e2e
e2e: ## Run conformance and end-to-end tests against an installed operator
	hack/e2e.sh

.PHONY: fault
fault: ## Break what the installed operator stands on, on the local cluster, and tell how long each took to settle
	hack/fault.sh

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what is linked, where their database can be reached
	hack/vuln.sh

.PHONY: clean
clean: ## Remove what was built here; the local cluster's cache too
	$(cluster) down
	rm -rf $(bin)
	rm -rf --one-file-system $${LAMBDA_CLUSTER_DIR:-/var/lib/knative-lambda-cluster}
