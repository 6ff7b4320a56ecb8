# Every command that a person or CI runs. `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
UV = tools/uv
RUN = .venv/bin
PYTEST = $(RUN)/pytest
# Several tests at once, for most of them wait; `make test PARALLEL=` runs one after the other.
PARALLEL ?= -n auto
BASETEMP ?=
DIST ?= dist

.PHONY: help setup demo test test-unit test-postgres test-kube test-chart test-monitoring test-e2e test-chaos test-cluster cluster cluster-down images soak lint type fmt bench picture verify generate packages sbom ci clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready ## make the virtual environment (.venv, from uv.lock)

.venv/.ready: uv.lock pyproject.toml worker/pyproject.toml operator/pyproject.toml tools/uv
	@echo "penstock: making .venv from uv.lock (once; about 600 MB with the test tools)"
	@$(UV) sync --frozen --quiet --compile-bytecode
	@touch $@

demo: setup ## the main job on an embedded Postgres: workers 0 -> N -> 0, then it stops (KEEP=1 keeps it running)
	@PYTHONPATH=examples $(RUN)/python -m shop.demo $(if $(KEEP),--keep)

test: setup ## the whole suite, several tests at once, real Postgres and real Kubernetes API servers included
	$(PYTEST) $(PARALLEL) tests --ignore=tests/cluster

test-unit: setup ## what needs nothing running
	$(PYTEST) $(PARALLEL) tests/unit

test-postgres: setup ## what needs real Postgres servers
	$(PYTEST) $(PARALLEL) tests/postgres

test-kube: setup ## what needs a real Kubernetes control plane (the first build takes six minutes)
	$(PYTEST) $(PARALLEL) tests/kube

test-chart: setup ## the Helm chart
	$(PYTEST) tests/chart

test-monitoring: setup ## alerts and dashboards, with promtool and a Prometheus server
	$(PYTEST) tests/monitoring

test-e2e: setup ## everything together, in real processes
	$(PYTEST) $(PARALLEL) tests/e2e

test-cluster: setup ## real pods, on a node of its own (root on Linux) or on PENSTOCK_TEST_KUBECONFIG
	$(PYTEST) tests/cluster

cluster: setup ## a real node, left running; prints KUBECONFIG=...; PENSTOCK_CLUSTER=NAME for another one
	@$(RUN)/python -m tests.support.cluster up

cluster-down: setup ## remove every trace of that node
	@$(RUN)/python -m tests.support.cluster down

images: setup ## operator, worker and test images from the Dockerfile, as archives in the cache
	@$(RUN)/python -m tests.support.cluster.images

test-chaos: setup ## random faults on real workers and a server of their own
	$(PYTEST) tests/chaos -s

soak: setup ## the random tests for longer: SOAK_SECONDS (600) of chaos, thousands of model runs, 200 scale-downs
	PENSTOCK_SOAK=1 PENSTOCK_SOAK_SECONDS=$(or $(SOAK_SECONDS),600) $(PYTEST) -s -o timeout=3600 \
		tests/chaos tests/postgres/model/test_store_machine.py tests/postgres/claims/test_store_freeze.py \
		tests/kube/jobqueue/test_scale_downs.py \
		tests/postgres/model/test_store_soak.py

lint: setup ## ruff, import rules, sizes
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/lint-imports

type: setup ## mypy, strict
	$(RUN)/mypy worker/penstock operator/penstock_operator tests benchmarks examples tools

fmt: setup ## format and fix what can be fixed
	$(RUN)/ruff format .
	$(RUN)/ruff check --fix .

bench: setup ## benchmarks; NAME=store|worker|stages|... for one
	$(RUN)/python -m benchmarks $(NAME)

generate: setup ## copies and generated pages, from their sources
	$(RUN)/python -m tools.generate

picture: setup ## docs/images/demo.svg and docs/images/dashboard.svg, from real runs of the shop
	PYTHONPATH=examples $(RUN)/python -m tools.demo_picture
	PENSTOCK_PICTURE=docs/images/dashboard.svg $(PYTEST) tests/chart/test_monitoring_panels.py -k picture

packages: setup ## both distributions, as source and as wheel, into dist/packages
	@rm -rf $(DIST)/packages
	@$(UV) build --quiet --package penstock --out-dir $(DIST)/packages
	@$(UV) build --quiet --package penstock-operator --out-dir $(DIST)/packages
	@ls $(DIST)/packages/*

sbom: setup ## bills of materials (CycloneDX) of both images' Python packages, into dist/
	@mkdir -p $(DIST)
	@$(UV) export --frozen --quiet --no-default-groups --package penstock --extra uvloop \
		--format cyclonedx1.5 --output-file $(DIST)/sbom-worker.json >/dev/null
	@$(UV) export --frozen --quiet --no-default-groups --package penstock-operator \
		--format cyclonedx1.5 --output-file $(DIST)/sbom-operator.json >/dev/null
	@ls $(DIST)/sbom-*.json

verify: setup ## fail if a copy or a generated page differs from its source
	$(RUN)/python -m tools.generate --check

ci: lint type verify ## all that decides whether a change may land; reruns failed tests once, at most three
	@$(MAKE) --no-print-directory test || $(RUN)/python -m tools.again

clean: ## remove what the targets made
	rm -rf .venv .uv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache benchmarks/out dist
