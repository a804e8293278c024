# The commands people use. Each sets up what it needs on first use; Python >= 3.11, make and git are all it assumes.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
UV_VERSION := 0.13.9
UV := .uv/bin/uv
RUN := .venv/bin
SERVICES := orchestrator inventory payments shipping
IMAGES := $(SERVICES:%=services/%) sandbox tools
CALLEES := inventory payments shipping
export UV_PYTHON_DOWNLOADS := never
# Tests side by side: most of the time they wait for something, so two at a time cost little more than one.
JOBS ?= 2

.PHONY: help setup demo up down compose-test manifests rules k8s-up k8s-test k8s-down test bench load check format contracts lock lift clean

help: ## This menu.
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.synced ## Install everything into .venv (done by the other commands by themselves).

.uv/.installed: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Waybill needs Python 3.11 or newer: make PYTHON=…")'
	@$(PYTHON) -m venv .uv
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@touch $@

.venv/.synced: .uv/.installed uv.lock pyproject.toml $(wildcard */pyproject.toml */*/pyproject.toml)
	@$(UV) sync --quiet --locked --all-packages --all-extras --python $(PYTHON)
	@touch $@

demo: setup ## Everything on this machine, with sample orders. ONCE=1 ends by itself; KEEP=1 begins with the last state.
	$(RUN)/waybill demo $(if $(filter-out 0 no,$(ONCE)),--once) $(if $(filter-out 0 no,$(KEEP)),--keep) $(ARGS)

# What `docker compose` reads in our environment. LIGHT=1, GRAFANA=1 and WITH=temporal-postgres may stand behind `make up`.
ifneq ($(filter-out 0 no,$(LIGHT)),)
export COMPOSE_PROFILES := light
export OTEL_TRACES_EXPORTER := none
endif
ifneq ($(filter-out 0 no,$(GRAFANA)),)
export COMPOSE_PROFILES := grafana
endif
ifneq ($(WITH),)
export COMPOSE_FILE := docker-compose.yml:deploy/compose/$(WITH).yml
endif

up: ## docker compose, with everything; waits until all is healthy. LIGHT=1, GRAFANA=1, WITH=temporal-postgres.
	@$(PYTHON) deploy/compose/preflight.py
	docker compose up --detach --build --wait --wait-timeout 600
	@$(PYTHON) deploy/compose/addresses.py

down: ## Stop it. VOLUMES=1 also deletes all orders, and the secrets.
	docker compose --profile '*' down --remove-orphans $(if $(filter-out 0 no,$(VOLUMES)),--volumes)

compose-test: setup ## docker compose from nothing to nothing: orders from outside, scaling, crashes, isolation, audit.
	@$(PYTHON) deploy/compose/preflight.py
	WAYBILL_COMPOSE_TEST=1 $(RUN)/pytest tests/compose -v --tb=short $(ARGS)

# What renders and checks the manifests: an environment of its own, with a lock of its own.
.manifests/.synced: .uv/.installed deploy/k8s/checks/uv.lock deploy/k8s/checks/pyproject.toml
	@UV_PROJECT_ENVIRONMENT="$(CURDIR)/.manifests" $(UV) sync --quiet --locked --project deploy/k8s/checks --python $(PYTHON)
	@touch $@

manifests: setup .manifests/.synced ## Render and check the Kubernetes manifests: our rules, schemas, checkov.
	$(RUN)/python -m tests.manifests

rules: setup ## Refresh the PrometheusRules from deploy/observability/prometheus/rules.
	$(RUN)/python deploy/k8s/rules.py

# Your own kubectl, if you have one. They refuse a context that is not marked as one to try things on.
K8S := PATH="$$PATH:$(CURDIR)/.manifests/bin" $(RUN)/waybill cluster
k8s-up: setup .manifests/.synced ## Deploy everything to the current kubectl context, which must be one to try things on (kind).
	$(K8S) up

k8s-test: setup .manifests/.synced ## Orders there, while pods are replaced, multiplied, deleted and killed; then the audit.
	$(K8S) test

k8s-down: setup .manifests/.synced ## Delete all of it, with all orders.
	$(K8S) down

test: setup ## Every test that a bare machine can run. ARGS="-k name" narrows it; JOBS=0 runs one at a time.
	$(RUN)/pytest --numprocesses $(JOBS) --dist loadgroup $(ARGS)

bench: setup ## Ratios, both sides in one run: build/bench.json. ONLY='fanout_* import_*' narrows it; PAIRS=5.
	$(RUN)/waybill bench $(foreach name,$(ONLY),--only '$(name)') $(if $(PAIRS),--pairs $(PAIRS)) $(ARGS)

load: setup ## How pools scale, in small: build/load/short/report.html, within five minutes. ARGS="--name mine".
	$(RUN)/waybill load short $(ARGS)

FILES := git ls-files --cached --others --exclude-standard --
check: setup ## Formatting, lint, types, import boundaries, locks, scripts, Dockerfiles, YAML, compose files.
	$(RUN)/ruff format --check
	$(RUN)/ruff check
	$(RUN)/mypy
	$(RUN)/lint-imports --no-cache
	$(UV) lock --check --quiet
	$(UV) lock --check --quiet --project deploy/k8s/checks
	@for image in $(IMAGES); do \
	  $(UV) $(EXPORT) --package waybill-$$(basename $$image) | diff -u $$image/requirements.lock - \
	  || { echo "$$image/requirements.lock is stale: make lock"; exit 1; }; done
	@PATH="$(RUN):$$PATH"; if command -v shellcheck >/dev/null; then shellcheck $$($(FILES) '*.sh' .ci/run); \
	  else echo "scripts are not checked: install shellcheck (Debian: shellcheck)"; fi
	$(RUN)/hadolint $$($(FILES) Dockerfile '*/Dockerfile')
	$(RUN)/yamllint --strict $$($(FILES) '*.yml' '*.yaml')
	$(RUN)/pytest --quiet tests/compose/test_engine.py

format: setup ## Format, and mend what the linter can mend.
	$(RUN)/ruff format
	$(RUN)/ruff check --fix

contracts: ## Refresh the orchestrator's copies of the callees' contracts.
	@for service in $(CALLEES); do \
	  cp services/$$service/src/$$service/contract.py services/orchestrator/src/orchestrator/contracts/$$service.py; done

EXPORT := export --quiet --locked --no-dev --no-emit-workspace --no-header --no-annotate
lock: .uv/.installed ## Refresh uv.lock and what each image is installed from.
	$(UV) lock
	$(UV) lock --quiet --project deploy/k8s/checks
	@for image in $(IMAGES); do \
	  $(UV) $(EXPORT) --package waybill-$$(basename $$image) > $$image/requirements.lock; done

lift: setup ## Copy a service out of the repository, install it from wheels, run its tests there: SERVICE=inventory.
	@test -n "$(SERVICE)" || { echo "which one? make lift SERVICE=inventory"; exit 2; }
	$(RUN)/python tests/lift/lift.py $(SERVICE) $(ARGS)

clean: ## Delete what the commands made.
	@# Where root runs the demo, PostgreSQL's data stands where its own user can reach it.
	@if [ -L build/stack/postgres ]; then rm -rf "$$(readlink build/stack/postgres)"; fi
	rm -rf .uv .venv .manifests build .mypy_cache .ruff_cache .pytest_cache .hypothesis
