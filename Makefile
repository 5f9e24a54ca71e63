# The project's commands. `make demo` and `make test` work in a fresh clone; they only need Python 3.11 or later.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
CONFORMANCE_VENV ?= .venv-conformance
CLUSTER_VENV ?= .venv-cluster
BIN := $(VENV)/bin
UV := $(BIN)/uv
AIRFLOW_VERSION ?= 3.3.2
COVERAGE_MINIMUM ?= 90
# Tests wait for servers and subprocesses: two processes per core. The tests of a file run in one process.
PROCESSES ?= $(shell expr 2 \* $$(getconf _NPROCESSORS_ONLN))
PYTEST := $(BIN)/python -m pytest --numprocesses=$(PROCESSES) --maxprocesses=8 --dist=loadfile --no-loadscope-reorder
# Tools that run in separate environments (uv tool run), with the versions in constraints.txt.
TOOLS := proselint mkdocs mkdocs-material 'mkdocstrings[python]' pip-audit twine basedpyright cosmic-ray

TOOL := $(UV) tool run --quiet --python $(BIN)/python --constraint constraints.txt

# Everything writes inside the checkout, including temporary files; nothing uses ~/airflow.
export TMPDIR := $(CURDIR)/.tmp
export AIRFLOW_HOME := $(CURDIR)/.tmp/airflow
# Use the environment's interpreter; don't let uv download one.
export UV_PYTHON_DOWNLOADS := never
# Compile at installation. If Python may not write bytecode, each process would compile Airflow again.
export UV_COMPILE_BYTECODE := 1
# Let Python keep the bytecode of the checkout, too: the tests start hundreds of processes.
unexport PYTHONDONTWRITEBYTECODE
export PYTHON

STAMP := $(VENV)/.installed
CONFORMANCE_STAMP := $(CONFORMANCE_VENV)/.installed
CLUSTER_STAMP := $(CLUSTER_VENV)/.installed
CONFORMANCE_UV := $(CONFORMANCE_VENV)/bin/uv
CONFORMANCE_INTO := --quiet --python $(CONFORMANCE_VENV)/bin/python

.PHONY: help venv demo ui test test-all coverage mutants flaky lint prose format types conformance cluster matrix constraints build package release audit docs screenshots bench clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

venv: $(STAMP) ## create the virtual environment and install the package into it

$(STAMP): pyproject.toml constraints.txt | .tmp
	@scripts/venv.sh $(VENV)
	@echo "Installing the package and its dependencies into $(VENV)"
	@$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt --build-constraints constraints.txt -e '.[emulator,dev]'
	@touch $@

.tmp:
	@mkdir -p $@

demo: $(STAMP) .tmp ## run an eval on a real Airflow against the emulator
	@$(BIN)/python scripts/demo.py

ui: $(STAMP) .tmp ## start Airflow's UI with a week of evals, next to the emulator; Ctrl-C stops it
	@$(BIN)/python scripts/ui.py

# Options for pytest: make test OPTIONS="-k window -x"
test: $(STAMP) .tmp ## run the unit, integration and docs tests (about 5 minutes)
	$(PYTEST) -m 'not slow and not live and not browser' tests/unit tests/integration tests/docs $(OPTIONS)

test-all: $(STAMP) .tmp ## run all tests, including slow, packaging, browser and deployment tests
	$(PYTEST) -m 'not live' --durations=20 --durations-min=10 $(COV) $(OPTIONS)
	@# Separately, because each file starts an Airflow deployment.
	$(PYTEST) -m live --durations=20 --durations-min=30 $(OPTIONS)

coverage: $(STAMP) .tmp ## run all tests and report the branch coverage
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory test-all COV='--cov --cov-report='
	@if compgen -G '.coverage.*' >/dev/null; then $(BIN)/coverage combine --quiet; fi
	@$(BIN)/coverage report --fail-under=$(COVERAGE_MINIMUM)

# make mutants ONLY=runs/polling/budget.py SAMPLE=50 TESTS=tests/unit/runs/polling/test_budget.py
mutants: $(STAMP) .tmp ## change the code in small ways and report the changes that no test notices
	@$(TOOL) --from cosmic-ray python scripts/mutants.py $(BIN)/python $(ONLY) \
		$(if $(SAMPLE),--sample $(SAMPLE)) $(if $(TESTS),--tests $(TESTS))

# make flaky TIMES=20 ONLY=tests/unit/triggers
flaky: $(STAMP) .tmp ## repeat the unit tests on a busy machine to find unreliable ones
	$(BIN)/python -m pytest --numprocesses=8 -m 'not slow and not dag' -p no:cacheprovider \
		--count=$(or $(TIMES),10) $(or $(ONLY),tests/unit)

lint: $(STAMP) prose ## check the style and the wording
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

prose: $(STAMP) .tmp ## check the wording of the docs, docstrings and messages
	$(TOOL) --from proselint python scripts/prose.py

format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) .tmp ## check the types of the package, of the scripts and of user code
	$(BIN)/mypy
	$(BIN)/mypy scripts
	@# basedpyright is pyright with Node.js included, so that it downloads nothing.
	$(BIN)/python scripts/user_types.py $(TOOL) basedpyright

$(CONFORMANCE_STAMP): pyproject.toml constraints.txt tests/conformance/requirements.txt | .tmp
	@scripts/venv.sh $(CONFORMANCE_VENV)
	@echo "Installing Arize's SDK and the emulator into $(CONFORMANCE_VENV)"
	@$(CONFORMANCE_UV) pip install $(CONFORMANCE_INTO) -r tests/conformance/requirements.txt
	@# Without dependencies: the emulator needs no Airflow, and Arize's SDK pins its versions.
	@$(CONFORMANCE_UV) pip install $(CONFORMANCE_INTO) --build-constraints constraints.txt --no-deps -e .
	@# The oldest supported SDK next to the newest, and the TypeScript client if npm is installed.
	@$(CONFORMANCE_UV) pip install $(CONFORMANCE_INTO) --no-deps --target $(CONFORMANCE_VENV)/arize-8.50 arize==8.50.0
	@if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --prefix $(CONFORMANCE_VENV)/node @arizeai/ax-client@1.28.0; fi
	@touch $@

conformance: $(CONFORMANCE_STAMP) .tmp ## test the emulator with Arize's clients
	$(CONFORMANCE_VENV)/bin/python -m pytest tests/conformance

$(CLUSTER_STAMP): pyproject.toml constraints.txt tests/cluster/requirements.txt | .tmp
	@scripts/venv.sh $(CLUSTER_VENV)
	@echo "Installing the package, Celery and the drivers of PostgreSQL and Redis into $(CLUSTER_VENV)"
	@$(CLUSTER_VENV)/bin/uv pip install --quiet --python $(CLUSTER_VENV)/bin/python -c constraints.txt \
		--build-constraints constraints.txt -e '.[emulator,dev]' -r tests/cluster/requirements.txt
	@touch $@

# QUICK=1 skips the slow tests, ONLY="kills or crowd" selects tests, MINUTES=8 starts no test after 8 minutes.
cluster: $(CLUSTER_STAMP) .tmp ## test failures of a deployment with PostgreSQL, Redis and Celery
	$(if $(MINUTES),CLUSTER_MINUTES=$(MINUTES)) $(CLUSTER_VENV)/bin/python -m pytest tests/cluster --durations=0 -m 'cluster $(if $(QUICK),and not slow)' $(if $(ONLY),-k '$(ONLY)')

# QUICK=1 runs the tests that CI has time for, CELLS="3.0 3.12" only these versions of Airflow and Python.
matrix: $(STAMP) .tmp ## test all supported versions of Airflow and Python
	$(BIN)/python scripts/matrix.py $(if $(QUICK),--quick) $(CELLS)

# constraints.txt also pins the build backend, uv and the tools.
constraints: $(STAMP) .tmp ## update constraints.txt from pyproject.toml
	@printf '%s\n' 'apache-airflow==$(AIRFLOW_VERSION)' hatchling editables uv $(TOOLS) > .tmp/pins.in
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra emulator --extra dev pyproject.toml tests/cluster/requirements.txt .tmp/pins.in \
		-o constraints.txt
	@echo "constraints.txt: $$(wc -l < constraints.txt) packages, Airflow $(AIRFLOW_VERSION)"

build: $(STAMP) .tmp ## build the sdist and the wheel into dist/
	@rm -rf dist
	$(UV) build --quiet --python $(BIN)/python --build-constraints constraints.txt
	@ls dist

package: build ## build the distributions and check their metadata
	$(TOOL) twine check --strict dist/*

VERSION = $(shell sed -nE 's/^__version__ = "(.*)"/\1/p' airflow_provider_online_tasks/__init__.py)

release: ## check that this commit can be released, and build dist/ (docs/releasing.md)
	@[ -z "$$(git status --porcelain)" ] || { echo "Commit or stash the changes first."; exit 1; }
	@grep -q '^## \[$(VERSION)\]' CHANGELOG.md || { echo "CHANGELOG.md has no section [$(VERSION)]."; exit 1; }
	@! git rev-parse -q --verify 'refs/tags/v$(VERSION)' >/dev/null || { echo "The tag v$(VERSION) exists already."; exit 1; }
	@$(MAKE) --no-print-directory package
	@echo "Next: git tag v$(VERSION) && git push origin v$(VERSION), then upload dist/."

SITE ?= site

docs: $(STAMP) .tmp ## build the documentation into site/
	@NO_MKDOCS_2_WARNING=1 $(TOOL) --from mkdocs --with mkdocs-material --with 'mkdocstrings[python]' --with ruff \
		mkdocs build --strict --quiet --site-dir $(abspath $(SITE))
	@echo "$(SITE)/index.html"

screenshots: $(STAMP) .tmp ## update the screenshots of the documentation
	SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser -m live
	SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser -m 'not live'

# Resolve dependencies with the versions in constraints.txt.
RESOLVE := $(UV) pip compile --quiet --no-header --no-annotate --python $(BIN)/python -c constraints.txt

audit: $(STAMP) .tmp ## report known vulnerabilities in the dependencies that the package adds to Airflow
	@rm -f .tmp/audit.json
	@$(RESOLVE) --extra emulator --extra openlineage pyproject.toml | sort > .tmp/with-package.txt
	@echo apache-airflow | $(RESOLVE) - | sort > .tmp/airflow.txt
	@comm -23 .tmp/with-package.txt .tmp/airflow.txt > .tmp/additions.txt
	@# scripts/audit.py reads the report, because the exit code is 0 even if nothing was audited.
	@$(TOOL) pip-audit --disable-pip --no-deps --progress-spinner off -f json -o .tmp/audit.json \
		-r .tmp/additions.txt 2>.tmp/audit.log || cat .tmp/audit.log
	@$(BIN)/python scripts/audit.py .tmp/audit.json

# ONLY="parse waiting" repeats these measurements and keeps the other figures.
bench: $(STAMP) .tmp ## measure the provider and a comparable one, and update the table of figures
	$(BIN)/python -m benchmarks $(ONLY)

clean: ## delete everything that make created
	rm -rf $(VENV) $(CONFORMANCE_VENV) $(CLUSTER_VENV) .venv-matrix .venv-bench .tmp .demo dist build site .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
