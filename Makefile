# riskpipe's commands. `make help` lists them; `make nightly` and `make test` do all the set-up they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.setup-stamp
TOOLS  := $(VENV)/.tools-stamp
RUNTIME_LOCK := infra/container/requirements.lock
DEMO   := data/demo
# files of tests, some at a time, in the order that tests/conftest.py gives them
SIDE_BY_SIDE := --durations=10 --numprocesses $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder
# compiled kernels are kept in one place, so that workers, tests and nights share them
export NUMBA_CACHE_DIR ?= $(CURDIR)/.numba-cache
# every command starts a second sooner where Python may keep its compiled modules
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup nightly serve test test-system chaos check bench real-night lock clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: $(STAMP) ## create .venv with what nights need

$(STAMP): $(RUNTIME_LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "riskpipe needs Python 3.11 or later: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@echo "setting up $(VENV) with $$($(PYTHON) --version) (one to three minutes the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement $(RUNTIME_LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(TOOLS): requirements.lock | $(STAMP)
	@echo "adding what tests and checks need (another minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements.lock
	@touch $@

$(DEMO)/snapshot/snapshot.json: | $(STAMP)
	@$(BIN)/riskpipe synth $(DEMO) --accounts 20000 --seed 1

nightly: $(STAMP) $(DEMO)/snapshot/snapshot.json ## run tonight's night as a Prefect flow and publish its report
	@$(BIN)/python -m flows nightly --config configs/nightly.yaml

serve: $(STAMP) $(DEMO)/snapshot/snapshot.json ## Prefect server, Dask and deployments on this machine, until Ctrl-C (SERVE=options)
	@$(BIN)/python -m flows serve $(SERVE)

real-night: $(STAMP) ## a night on recorded market data of 2024-08-05 (folder MARKET, default ../shared/data)
	@$(BIN)/riskpipe synth data/2024-08-05 --accounts 100000 --seed 1 --as-of 2024-08-05T00:00Z --market $(or $(MARKET),../shared/data) --index-depth 0.4
	@$(BIN)/riskpipe run configs/real-2024-08-05.yaml

test: $(STAMP) $(TOOLS) ## check and test all that needs only pip packages, JOBS=2 files at a time
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not system and not bench"

test-system: $(STAMP) $(TOOLS) ## tests that need Debian packages or root: browser, PostgreSQL, hosts as network namespaces, a full disk
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m system

check: $(STAMP) $(TOOLS) ## lint, format, strict types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_layers.py

chaos: $(STAMP) $(TOOLS) ## disturb nights: TARGET=worker (all), SEEDS=20, FIRST=0, JOBS=3 at once, AFRESH=1; goes on where it stopped
	@$(BIN)/python -m tests.chaos --target $(or $(TARGET),all) --seeds $(or $(SEEDS),20) --first $(or $(FIRST),0) --at-once $(or $(JOBS),3) $(if $(AFRESH),--afresh)

bench: $(STAMP) $(TOOLS) ## measure: ratios beside their goals, written to bench.json (AGAINST=FILE compares with an earlier one)
	@$(BIN)/python -m tests.benchmarks $(if $(AGAINST),--against $(AGAINST))

LOCK = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-strip-extras \
  --no-emit-index-url --custom-compile-command "make lock" --quiet
lock: $(STAMP) $(TOOLS) ## resolve the lock files again (with hashes, for every platform and Python, naming no registry)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(LOCK) --group dev --output-file requirements.lock
	@$(LOCK) --group build --constraint requirements.lock --no-annotate --output-file $(RUNTIME_LOCK)

clean: ## remove what the commands made, but no store and no data
	@rm -rf $(VENV) .numba-cache .pytest_cache .mypy_cache .ruff_cache build dist
