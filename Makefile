# The commands of README.md. `make` alone lists them.

# Which interpreter makes .venv; empty: the newest on PATH that is at least 3.11.
PYTHON ?=
ARGS ?=
# Tests wait for radios and clocks more than they compute: four at a time keep two processors busy. What
# starves, kills and times the daemon (tests/chaos) has the machine to itself.
WORKERS ?= 4

# pytest rewrites each test file; without a cache each of its processes does so in each run.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
TESTABLE := $(VENV)/.testable

.DEFAULT_GOAL := help
.PHONY: help setup demo install uninstall test chaos bench system-test lint format constraints clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; \
	do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup: $(TESTABLE) ## make .venv with everything needed for development

demo: $(RUNNABLE) ## the daemon on simulated peripherals; options: make demo ARGS="..."
	@$(BIN)/healthd demo $(ARGS)

install: ## as root: healthd as a service of this machine, or its newer version
	@PYTHON='$(PYTHON)' systemd/setup install

uninstall: ## as root: remove it; settings and outbox stay
	@systemd/setup uninstall

test: export NOT_TESTED := $(VENV)/.not-tested
test: lint ## every check, then the tests with coverage; installs what they need if it may
	@.ci/tools
	@rm -f $(NOT_TESTED)
	MEASURE_COVERAGE=1 $(BIN)/pytest tests/unit tests/contract tests/end_to_end \
	    --numprocesses $(WORKERS) --dist loadfile
	$(BIN)/pytest tests/chaos
	@.ci/tools closing $(NOT_TESTED)

chaos: $(TESTABLE) ## random faults for 20 minutes; options: make chaos ARGS="--minutes 5 --seed 7"
	@.ci/tools mosquitto
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(TESTABLE) ## figures against budgets; 20 minutes; some: make bench ARGS="--only cpu drain"
	@.ci/tools mosquitto dbus
	@$(BIN)/python -m benchmarks $(ARGS)

system-test: $(TESTABLE) ## the service in virtual machines with the real BlueZ; 20 minutes
	@.ci/system-test
	$(BIN)/pytest tests/system --capture=no $(ARGS)

lint: $(TESTABLE) ## ruff, pyright (strict) and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(TESTABLE) ## let ruff fix and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

constraints: $(TESTABLE) ## pin the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --upgrade \
	    --quiet --custom-compile-command 'make constraints' --output-file constraints.txt

clean: ## remove .venv, caches and build results
	rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNNABLE): pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' .ci/venv $(VENV) '.[sim]'
	@touch $@

$(TESTABLE): pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' .ci/venv $(VENV) '.[sim,dev]'
	@touch $(RUNNABLE) $@
