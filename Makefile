# Everything that people and CI do with this repository. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_STATE ?= .demo
PYTEST := $(BIN)/python -m pytest
BESIDE := rest
LANE_rest := tests/e2e tests/contract tests/tools tests/unit tests/chart
SCHEMA := $(BIN)/python -m controller.api.schema
STUBS := $(BIN)/python -m controller.runtime.containerd.api.generate
POD_SECURITY := $(BIN)/python -m controller.api.podsecurity.generate
CHART := $(BIN)/python -m tools.chart
PODSPEC := $(BIN)/python -m tools.podspec
DIFFERENCES := $(BIN)/python -m tools.diffkubelet.document docs/kubelet-differences.md

.PHONY: help venv tools pod-tools helm generate verify format check test test-unit test-contract test-integration test-e2e \
	image demo demo-down golden bench diff-kubelet lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  \033[1m%-17s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# --- set-up; every other target does what it needs of this by itself

venv: $(VENV)/.done ## Make the virtual environment from requirements.lock

$(VENV)/.done: requirements.lock pyproject.toml tools/host.py tools/apt.txt
	@$(PYTHON) -m tools.host
	@echo "python: virtual environment from requirements.lock (about 30 s)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

tools: ## Build the pinned real components into .tools/bin (12 min cold, nothing to do after that)
	@$(PYTHON) -m tools.build

pod-tools:
	@$(PYTHON) -m tools.build --with kubelet --with kube-scheduler

helm:
	@$(PYTHON) -m tools.build --only helm --quiet

lock: $(VENV)/.done ## Renew requirements.lock from pyproject.toml (needs uv on the PATH)
	uv pip compile pyproject.toml --group dev --universal --generate-hashes --no-emit-index-url --quiet \
		--custom-compile-command "make lock" --output-file requirements.lock

# --- code

generate: $(VENV)/.done helm ## Renew generated files: CRDs, API reference, table of PodSpec, the chart's own, plain manifests, stubs
	@$(SCHEMA) crds --docs docs/api.md --fields controller/api/fingerprints.json
	@$(POD_SECURITY) helm/moorage
	@$(CHART)
	@$(PODSPEC)
	@$(DIFFERENCES)
	@$(STUBS)

verify: $(VENV)/.done helm ## Fail when a generated file is not what its source gives
	@$(SCHEMA) crds --docs docs/api.md --fields controller/api/fingerprints.json --check
	@$(POD_SECURITY) helm/moorage --check
	@$(CHART) --check
	@$(PODSPEC) --check
	@$(DIFFERENCES) --check
	@$(STUBS) --check

format: $(VENV)/.done ## Format the code and mend what the linter can mend
	@$(BIN)/ruff format --quiet .
	@$(BIN)/ruff check --quiet --fix .

check: $(VENV)/.done ## Lint, format, types, layers, generated files: in seconds
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "run: make format"; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > $(VENV)/layers.log 2>&1 || { cat $(VENV)/layers.log; exit 1; }
	@$(MAKE) verify
	@echo "check: ok"

# --- tests

# Tests mostly wait for real components, so some run beside others: each lane has components, node names and networks of its own.
# What is in no lane runs in sight, and first: the lanes give way to it, and their output comes at the end, a lane at a time.
# CPU is what there is too little of; programs in Go need a tenth less of it when they collect their garbage more rarely.
test: export GOGC := 400
test: check pod-tools ## Everything that CI runs: check, then all tests
	@$(foreach lane,$(BESIDE),nice -n 10 $(PYTEST) $(LANE_$(lane)) > $(VENV)/$(lane).log 2>&1 & $(lane)=$$!;) \
	echo "beside: $(foreach lane,$(BESIDE),$(LANE_$(lane))) (their output comes at the end)"; \
	code=0; $(PYTEST) $(foreach lane,$(BESIDE),$(addprefix --ignore=,$(LANE_$(lane)))) || code=$$?; \
	$(foreach lane,$(BESIDE),wait $$$(lane) || code=$$?; cat $(VENV)/$(lane).log;) exit $$code

test-unit: $(VENV)/.done ## Planners, placement, status, schema: needs nothing, in seconds
	$(PYTEST) tests/unit

test-contract: $(VENV)/.done tools ## One suite against every runtime: in memory and real containerd
	$(PYTEST) tests/contract

test-integration: $(VENV)/.done tools ## Manager and agent against a real API server and containerd
	$(PYTEST) tests/integration

test-e2e: $(VENV)/.done pod-tools ## As a user would: kubectl, Helm, restarts, outages
	$(PYTEST) tests/e2e

golden: $(VENV)/.done ## Renew the golden OCI specs: read what has changed
	$(PYTEST) -q tests/unit/runtime/test_golden.py --update-golden

bench: $(VENV)/.done tools ## Measure speed and cost beside the floor (options: BENCH="--quick"); JSON goes to .bench/
	$(BIN)/python -m benchmarks $(BENCH)

diff-kubelet: $(VENV)/.done pod-tools ## Give the same pod specs to a kubelet and to Moorage, and compare (options: DIFF="-o json volumes")
	@$(BIN)/python -m tools.diffkubelet $(DIFF)

# --- image

image: $(VENV)/.done ## Build the image of both halves into dist/, from Debian packages and wheels (30 s; 3 s when only code changed)
	@$(BIN)/python -m tools.images.product

# --- demo

demo: $(VENV)/.done tools ## Start everything on this machine, run the example, and leave it running
	@$(BIN)/python -m tools.lab.demo up --state $(DEMO_STATE)

demo-down: ## End the demo and remove every trace of it
	@$(PYTHON) -m tools.lab.demo down --state $(DEMO_STATE)

clean: demo-down ## Remove what make has made, but for the built tools
	rm -rf $(VENV) .bench .diff .image dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
