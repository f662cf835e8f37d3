# Needs only make and Python >= 3.11; everything else goes into .venv. `make` lists the targets.
PYTHON ?= python3
PYTEST_ARGS ?=
SDRS_BUSY_ROUNDS ?= 20
SDRS_SOAK_CANCELS ?= 300
SDRS_SOAK_EXAMPLES ?= 500
SDRS_SOAK_SEEDS ?= 500
SDRS_SOAK_SEED ?= $(shell date +%s)

VENV := .venv
BIN := $(VENV)/bin
INSTALL := python -m pip --quiet --disable-pip-version-check --no-input install
# Environments beside .venv: the newest of all and nothing else, the same beside what brings sniffio, the lowest.
MATRIX := .matrix
ENVIRONMENTS := beside lowest plain
BESIDE := sniffio trio openai httpx

.DEFAULT_GOAL := help
.PHONY: help demo test coverage matrix check bench soak busy format clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 14

demo: $(VENV)/.demo-stamp ## Clean up several projects on the embedded simulator, offline; writes demo-report.html
	$(BIN)/sdrs-async demo --html demo-report.html

# Three workers and many short processes read the same modules: none of them has to compile these again. Kept where pip
# keeps what it has compiled, which a folder of our own (PYTHONPYCACHEPREFIX) would hide.
test coverage soak busy: export PYTHONDONTWRITEBYTECODE :=

test: $(VENV)/.dev-stamp ## Run the whole suite (PYTEST_ARGS=... adds arguments)
	$(BIN)/python -m pytest -n 3 --dist worksteal $(PYTEST_ARGS)

coverage: $(VENV)/.dev-stamp ## The same, measured: at least 95 % of lines and branches (twice the time)
	$(BIN)/python -m pytest -n 3 --dist worksteal --cov --cov-report=term:skip-covered --cov-fail-under=95 $(PYTEST_ARGS)

matrix: $(ENVIRONMENTS:%=$(MATRIX)/%/.stamp) ## Run tests/matrix in three environments, on asyncio's loop and uvloop's
	$(BIN)/python -m tests.matrix $(MATRIX)

check: $(VENV)/.dev-stamp ## What CI runs: format, lint, types, then `make test` and `make matrix`
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory test
	$(MAKE) --no-print-directory matrix

bench: $(VENV)/.dev-stamp ## Measure overhead, calls, signing, pacing, scopes, memory, discovery; the laboratory's table
	$(BIN)/python -m benchmarks.engine_overhead
	$(BIN)/python -m benchmarks.calls
	$(BIN)/python -m benchmarks.signing
	$(BIN)/python -m benchmarks.pacing
	$(BIN)/python -m benchmarks.scopes
	$(BIN)/python -m benchmarks.memory
	$(BIN)/python -m benchmarks.discovery
	$(BIN)/python -m benchmarks.laboratory

soak: $(VENV)/.dev-stamp ## What is tried at random, many times: 300 cancellations, 500 examples (SDRS_SOAK_SEED=... repeats the cancellations)
	SDRS_SOAK_SEED=$(SDRS_SOAK_SEED) SDRS_SOAK_CANCELS=$(SDRS_SOAK_CANCELS) \
	    SDRS_SOAK_EXAMPLES=$(SDRS_SOAK_EXAMPLES) SDRS_SOAK_SEEDS=$(SDRS_SOAK_SEEDS) \
	    $(BIN)/python -m pytest -n 3 --dist worksteal --timeout 1800 -m 'soak or hypothesis' $(PYTEST_ARGS)

busy: $(VENV)/.dev-stamp ## Tests of sockets, signals and processes, 20 times with every core kept busy (SDRS_BUSY_ROUNDS=...)
	$(BIN)/python -m tests.support.busy $(SDRS_BUSY_ROUNDS) $(PYTEST_ARGS)

format: $(VENV)/.dev-stamp ## Format the code and apply the safe fixes
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

clean: ## Remove all that these targets made, .venv included
	rm -rf $(VENV) $(MATRIX) build dist .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache demo-report.html
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is touched only after its step succeeded, so an interrupted step is simply done again.
$(VENV)/.dev-stamp: pyproject.toml $(VENV)/.venv-stamp
	@echo "Installing what development needs into $(VENV) ..."
	@$(BIN)/$(INSTALL) --editable '.[dev]'
	@touch $@

$(VENV)/.demo-stamp: pyproject.toml $(VENV)/.venv-stamp
	@echo "Installing sdrs-async into $(VENV) ..."
	@$(BIN)/$(INSTALL) --editable '.[cli,html]'
	@touch $@

# Each is made afresh: what an earlier one left in it would hide what is missing now.
$(MATRIX)/beside/.stamp: ITS_PACKAGES := $(BESIDE)
$(MATRIX)/lowest/.stamp: ITS_PACKAGES := --constraint $(MATRIX)/lowest/constraints.txt
$(MATRIX)/%/.stamp: pyproject.toml tests/matrix/lowest.py | $(VENV)/.venv-stamp
	@echo "Making the environment $(@D) ..."
	@$(BIN)/python -m venv --clear $(@D)
	@$(BIN)/python tests/matrix/lowest.py >$(@D)/constraints.txt
	@$(@D)/bin/$(INSTALL) --editable '.[matrix]' $(ITS_PACKAGES)
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
