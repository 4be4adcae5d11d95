# The commands of README.md. `make` alone lists them.

# Which interpreter makes .venv; empty: the newest on PATH that is at least 3.11.
PYTHON ?=
ARGS ?=
# Tests wait for radios and clocks more than they compute: four at a time keep two processors busy. What
# starves, kills and times the daemon (tests/chaos) has the machine to itself.
WORKERS ?= 4

VENV := .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
TESTABLE := $(VENV)/.testable

.DEFAULT_GOAL := help
.PHONY: help setup demo install uninstall test chaos bench system-test lint format docs constraints clean

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

test: lint ## every check, then the tests; installs what it tests against where it may
	@.ci/mosquitto
	@.ci/faketime
	@.ci/dbus
	$(BIN)/pytest tests/unit tests/contract tests/end_to_end --numprocesses $(WORKERS) --dist loadfile
	$(BIN)/pytest tests/chaos

chaos: $(TESTABLE) ## random faults for 20 minutes; options: make chaos ARGS="--minutes 5 --seed 7"
	@.ci/mosquitto
	$(BIN)/python -m tests.chaos $(ARGS)

bench: $(TESTABLE) ## figures against budgets; 20 minutes; some: make bench ARGS="--only cpu drain"
	@.ci/mosquitto
	@.ci/dbus
	@$(BIN)/python -m benchmarks $(ARGS)

system-test: $(TESTABLE) ## the service in virtual machines with the real BlueZ; 20 minutes
	@.ci/system-test
	$(BIN)/pytest tests/system --capture=no $(ARGS)

lint: $(TESTABLE) ## ruff, pyright (strict) and import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(TESTABLE) ## let ruff mend and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(TESTABLE) ## generate docs/profiles.md and docs/mqtt.md from the code
	$(BIN)/python -m healthd schema --format markdown > docs/profiles.md
	$(BIN)/python -m healthd schema --format mqtt > docs/mqtt.md

constraints: $(TESTABLE) ## pin the newest versions that pyproject.toml allows
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --all-extras --upgrade \
	    --quiet --custom-compile-command 'make constraints' --output-file constraints.txt

clean: ## remove .venv, caches and build results
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNNABLE): pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' .ci/venv $(VENV) '.[sim]'
	@touch $@

$(TESTABLE): pyproject.toml constraints.txt
	@PYTHON='$(PYTHON)' .ci/venv $(VENV) '.[sim,dev]'
	@touch $(RUNNABLE) $@
