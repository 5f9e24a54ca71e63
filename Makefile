# The project's commands. `make demo` and `make test` need nothing but Python 3.11+ and a fresh clone.

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
# How many processes the tests run in; those of a file run in one, the longest first.
PROCESSES ?= logical
IN_PROCESSES := --numprocesses=$(PROCESSES) --maxprocesses=8 --dist=loadfile --no-loadscope-reorder
# They run in environments of their own (uv tool run), with the versions of constraints.txt.
TOOLS := proselint mkdocs mkdocs-material 'mkdocstrings[python]' pip-audit twine basedpyright

TOOL := $(UV) tool run --quiet --python $(BIN)/python --constraint constraints.txt

# Everything that runs here writes inside the checkout: temporary files too, and no ~/airflow.
export TMPDIR := $(CURDIR)/.tmp
export AIRFLOW_HOME := $(CURDIR)/.tmp/airflow
# The environment's own interpreter is used, never one that uv would fetch.
export UV_PYTHON_DOWNLOADS := never
# Once, at installation: where Python may write no bytecode, each process would compile all of Airflow anew.
export UV_COMPILE_BYTECODE := 1
export PYTHON

STAMP := $(VENV)/.installed
CONFORMANCE_STAMP := $(CONFORMANCE_VENV)/.installed
CLUSTER_STAMP := $(CLUSTER_VENV)/.installed
CONFORMANCE_UV := $(CONFORMANCE_VENV)/bin/uv
CONFORMANCE_INTO := --quiet --python $(CONFORMANCE_VENV)/bin/python

.PHONY: help venv demo ui test coverage lint prose format types conformance cluster matrix constraints build package release audit docs screenshots bench flaky clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 20

venv: $(STAMP) ## the virtual environment, with the package and its extras installed

$(STAMP): pyproject.toml constraints.txt | .tmp
	@scripts/venv.sh $(VENV)
	@echo "Installing the package and what it needs into $(VENV)"
	@$(UV) pip install --quiet --python $(BIN)/python -c constraints.txt --build-constraints constraints.txt -e '.[emulator,dev]'
	@touch $@

.tmp:
	@mkdir -p $@

demo: $(STAMP) .tmp ## run the recurring eval on real Airflow against the emulator
	@$(BIN)/python scripts/demo.py

ui: $(STAMP) .tmp ## Airflow's UI with a week of evals, and the emulator beside it, until Ctrl-C
	@$(BIN)/python scripts/ui.py

test: $(STAMP) .tmp ## every test, with branch coverage
	@rm -f .coverage .coverage.*
	$(BIN)/python -m pytest -m 'not live' --cov --cov-report= --durations=20 --durations-min=10 $(IN_PROCESSES)
	@# Apart from the others: each file has a whole Airflow of its own, and the browser's event loop its process.
	$(BIN)/python -m pytest -m live --durations=20 --durations-min=30 $(IN_PROCESSES)
	@$(MAKE) --no-print-directory coverage

coverage: $(STAMP) ## the coverage of the last `make test`
	@if compgen -G '.coverage.*' >/dev/null; then $(BIN)/coverage combine --quiet; fi
	@$(BIN)/coverage report --fail-under=$(COVERAGE_MINIMUM)

# ONLY="once runs/polling/budget.py" changes these files, SAMPLE=50 tries so many changes, SEED=7 the same ones again.
mutants: $(STAMP) .tmp ## change the core in small ways and count what the tests notice
	@$(BIN)/python scripts/mutants.py $(ONLY) $(if $(SAMPLE),--sample $(SAMPLE)) $(if $(SEED),--seed $(SEED)) \
		--mutations '$(TOOL) --from cosmic-ray python'

planted: $(STAMP) .tmp ## plant known mistakes, and see that a test notices each
	@$(BIN)/python scripts/planted.py $(ONLY)

# TIMES=20 runs them so often.
flaky: $(STAMP) .tmp ## the unit tests again and again, on a busy machine
	@$(BIN)/python scripts/flaky.py $(TIMES)

lint: $(STAMP) ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

prose: $(STAMP) .tmp ## the words of the pages and of the code's texts
	$(TOOL) --from proselint python scripts/prose.py

format: $(STAMP) ## rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) .tmp ## static types: of the package, of the scripts, and of what users write
	$(BIN)/mypy
	$(BIN)/mypy scripts
	@# basedpyright is pyright with a Node.js of its own, so that nothing is fetched from elsewhere.
	$(BIN)/python scripts/user_types.py $(TOOL) basedpyright

$(CONFORMANCE_STAMP): pyproject.toml constraints.txt tests/conformance/requirements.txt | .tmp
	@scripts/venv.sh $(CONFORMANCE_VENV)
	@echo "Installing Arize's SDK and the emulator into $(CONFORMANCE_VENV)"
	@$(CONFORMANCE_UV) pip install $(CONFORMANCE_INTO) -r tests/conformance/requirements.txt
	@# Without what the package depends on: the emulator needs no Airflow, and Arize's SDK pins its own.
	@$(CONFORMANCE_UV) pip install $(CONFORMANCE_INTO) --build-constraints constraints.txt --no-deps -e .
	@# The oldest SDK that is supported, beside the newest; and the TypeScript client, where there is npm.
	@$(CONFORMANCE_UV) pip install $(CONFORMANCE_INTO) --no-deps --target $(CONFORMANCE_VENV)/arize-8.50 arize==8.50.0
	@if command -v npm >/dev/null; then \
		npm install --silent --no-audit --no-fund --prefix $(CONFORMANCE_VENV)/node @arizeai/ax-client@1.28.0; fi
	@touch $@

conformance: $(CONFORMANCE_STAMP) .tmp ## Arize's own clients against the emulator
	$(CONFORMANCE_VENV)/bin/python -m pytest tests/conformance

$(CLUSTER_STAMP): pyproject.toml constraints.txt tests/cluster/requirements.txt | .tmp
	@scripts/venv.sh $(CLUSTER_VENV)
	@echo "Installing the package, Celery and the drivers of PostgreSQL and Redis into $(CLUSTER_VENV)"
	@$(CLUSTER_VENV)/bin/uv pip install --quiet --python $(CLUSTER_VENV)/bin/python -c constraints.txt \
		--build-constraints constraints.txt -e '.[emulator,dev]' -r tests/cluster/requirements.txt
	@touch $@

# QUICK=1 runs the smaller sizes; ONLY="kills or crowd" only tests whose names match; MINUTES=8 begins none later.
cluster: $(CLUSTER_STAMP) .tmp ## a deployment with PostgreSQL, Redis and Celery, and what befalls it
	$(if $(MINUTES),CLUSTER_MINUTES=$(MINUTES)) $(CLUSTER_VENV)/bin/python -m pytest tests/cluster --durations=0 -m 'cluster $(if $(QUICK),and not slow)' $(if $(ONLY),-k '$(ONLY)')

# QUICK=1 runs what CI has the time for; CELLS="3.0 3.12" only these versions of Airflow and Python.
matrix: $(STAMP) .tmp ## the tests on every supported Airflow and Python
	$(BIN)/python scripts/matrix.py $(if $(QUICK),--quick) $(CELLS)

# hatchling and editables build the package, uv installs it, the tools look at it: pinned here too, in the one
# place for versions.
constraints: $(STAMP) .tmp ## write constraints.txt anew from pyproject.toml
	@printf '%s\n' 'apache-airflow==$(AIRFLOW_VERSION)' hatchling editables uv $(TOOLS) > .tmp/pins.in
	@$(UV) pip compile --quiet --upgrade --universal --python-version 3.11 \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links \
		--extra emulator --extra dev pyproject.toml tests/cluster/requirements.txt .tmp/pins.in \
		-o constraints.txt
	@echo "constraints.txt: $$(wc -l < constraints.txt) packages, Airflow $(AIRFLOW_VERSION)"

build: $(STAMP) .tmp ## the sdist and the wheel, in dist/
	@rm -rf dist
	$(UV) build --quiet --python $(BIN)/python --build-constraints constraints.txt
	@ls dist

package: build ## the sdist and the wheel, checked as a package index would
	$(TOOL) twine check --strict dist/*

VERSION = $(shell sed -nE 's/^__version__ = "(.*)"/\1/p' airflow_provider_online_tasks/__init__.py)

release: ## check that this commit can be released, and build dist/ (docs/releasing.md)
	@[ -z "$$(git status --porcelain)" ] || { echo "Commit or stash the changes first."; exit 1; }
	@grep -q '^## \[$(VERSION)\]' CHANGELOG.md || { echo "CHANGELOG.md has no section [$(VERSION)]."; exit 1; }
	@! git rev-parse -q --verify 'refs/tags/v$(VERSION)' >/dev/null || { echo "The tag v$(VERSION) exists already."; exit 1; }
	@$(MAKE) --no-print-directory package
	@echo "Next: git tag v$(VERSION) && git push origin v$(VERSION), then upload dist/."

SITE ?= site

docs: $(STAMP) .tmp ## the documentation, in site/
	@NO_MKDOCS_2_WARNING=1 $(TOOL) --from mkdocs --with mkdocs-material --with 'mkdocstrings[python]' --with ruff \
		mkdocs build --strict --quiet --site-dir $(abspath $(SITE))
	@echo "$(SITE)/index.html"

screenshots: $(STAMP) .tmp ## the documentation's screenshots, taken anew
	SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser -m live
	SCREENSHOTS=1 $(BIN)/python -m pytest tests/browser -m 'not live'

# What the package and its extras add to an Airflow, at the versions of constraints.txt.
RESOLVE := $(UV) pip compile --quiet --no-header --no-annotate --python $(BIN)/python -c constraints.txt

audit: $(STAMP) .tmp ## known vulnerabilities in what the package adds to an Airflow
	@rm -f .tmp/audit.json
	@$(RESOLVE) --extra emulator --extra openlineage pyproject.toml | sort > .tmp/with-package.txt
	@echo apache-airflow | $(RESOLVE) - | sort > .tmp/airflow.txt
	@comm -23 .tmp/with-package.txt .tmp/airflow.txt > .tmp/additions.txt
	@# Its exit code tells too little: the report is judged, and without one the next step fails.
	@$(TOOL) pip-audit --disable-pip --no-deps --progress-spinner off -f json -o .tmp/audit.json \
		-r .tmp/additions.txt 2>.tmp/audit.log || cat .tmp/audit.log
	@$(BIN)/python scripts/audit.py .tmp/audit.json

# ONLY="parse waiting" takes these figures anew and leaves the others as they were taken last.
bench: $(STAMP) .tmp ## measure against the peer, and write docs/performance.md
	$(BIN)/python -m benchmarks $(ONLY)

clean: ## remove everything that make made
	rm -rf $(VENV) $(CONFORMANCE_VENV) $(CLUSTER_VENV) .venv-matrix .venv-bench .tmp .demo dist build site .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
