# Needs only make and Python >= 3.11; everything else goes into .venv. `make` lists the targets.
PYTHON ?= python3
PYTEST_ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help demo test check bench format clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: $(VENV)/.demo-stamp ## Clean up several projects on the embedded simulator, offline; writes demo-report.html
	$(BIN)/sdrs-async demo --html demo-report.html

test: $(VENV)/.dev-stamp ## Run the whole suite with coverage (PYTEST_ARGS=... adds arguments)
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=95 $(PYTEST_ARGS)

check: $(VENV)/.dev-stamp ## What CI runs: format, lint, types, then `make test`
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test

bench: $(VENV)/.dev-stamp ## Measure overhead, signing, pacing, scopes, memory, discovery; the laboratory's table
	$(BIN)/python -m benchmarks.engine_overhead
	$(BIN)/python -m benchmarks.signing
	$(BIN)/python -m benchmarks.pacing
	$(BIN)/python -m benchmarks.scopes
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.discovery
	$(BIN)/python -m benchmarks.laboratory

format: $(VENV)/.dev-stamp ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

clean: ## Remove all that these targets made, .venv included
	rm -rf $(VENV) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache demo-report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched only after its step succeeded, so an interrupted step is simply done again.
$(VENV)/.dev-stamp: pyproject.toml $(VENV)/.venv-stamp
	@echo "Installing what development needs into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $@

$(VENV)/.demo-stamp: pyproject.toml $(VENV)/.venv-stamp
	@echo "Installing sdrs-async into $(VENV) ..."
	@$(PIP) install --editable '.[cli,html]'
	@touch $@

# `venv` mends what an interrupted run left behind, except half a pip: then it starts afresh.
$(VENV)/.venv-stamp:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "$(PYTHON) is not there; name a Python >= 3.11: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python >= 3.11 is needed, $(PYTHON) is `$(PYTHON) --version 2>&1`; name another: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@touch $@
