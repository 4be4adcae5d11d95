# The commands of README.md. `make` alone lists them.

# The interpreter for .venv; default: the newest on PATH, at least 3.11.
PYTHON ?=
ARGS ?=
# Tests mostly wait for radios and clocks: six at a time keep two processors busy. Those of tests/chaos
# start several daemons each, and time what they do: three at a time, after the others.
WORKERS ?= 6
CHAOS_WORKERS ?= 3

# pytest rewrites each test file; without a cache each of its processes does so in each run.
unexport PYTHONDONTWRITEBYTECODE

VENV := .venv
BIN := $(VENV)/bin
RUNNABLE := $(VENV)/.runnable
TESTABLE := $(VENV)/.testable

.DEFAULT_GOAL := help
.PHONY: help setup demo install uninstall test chaos fuzz bench system-test cluster-test hass-test lint format docs picture constraints clean

help: ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; \
	do printf '  make %-13s %s\n' "$$name" "$$text"; done

setup: $(TESTABLE) ## create .venv with everything needed for development

demo: $(RUNNABLE) ## run the daemon with simulated peripherals; options: make demo ARGS="..."
	@$(BIN)/healthd demo $(ARGS)

install: ## as root: install or upgrade healthd as a system service
	@PYTHON='$(PYTHON)' systemd/setup install

uninstall: ## as root: remove the service; settings and outbox stay
	@systemd/setup uninstall

test: export NOT_TESTED := $(VENV)/.not-tested
test: lint ## run lint and all tests with coverage; installs mosquitto and other test tools if it can
	@.ci/tools
	@rm -f $(NOT_TESTED)
	MEASURE_COVERAGE=1 $(BIN)/pytest tests/field tests/end_to_end tests/contract tests/brokers \
	    tests/fuzz tests/unit --numprocesses $(WORKERS) --dist loadfile
	$(BIN)/pytest tests/chaos tests/attack/test_attack.py --numprocesses $(CHAOS_WORKERS) \
	    --dist worksteal
	@.ci/tools closing $(NOT_TESTED)

.PHONY: attack
attack: export FULL_EFFORT := 1
attack: $(TESTABLE) ## hostile peripherals, requests, files, bit flips and histories: an hour
	@.ci/tools mosquitto
	$(BIN)/pytest tests/attack -rP $(ARGS)
	$(BIN)/pytest $$(grep -rlw effort tests --include='test_*.py' --exclude-dir=attack) \
	    --numprocesses 2 --dist worksteal --timeout 7200 $(ARGS)

chaos: $(TESTABLE) ## test with random faults for 20 minutes; options: make chaos ARGS="--minutes 5 --seed 7"
	@.ci/tools mosquitto
	$(BIN)/python -m tests.chaos $(ARGS)

fuzz: $(TESTABLE) ## try each parser with changed bytes (an hour); only some: make fuzz ARGS="--minutes 1 settings"
	@$(BIN)/python -m tests.fuzz $(ARGS)

bench: $(TESTABLE) ## run the benchmarks (30 minutes); against a commit: make bench ARGS="--against main"
	@.ci/tools mosquitto dbus openssl git
	@$(BIN)/python -m benchmarks $(ARGS)

system-test: $(TESTABLE) ## test the service in virtual machines with a real BlueZ (20 minutes)
	@.ci/system-test
	$(BIN)/pytest tests/system --capture=no $(ARGS)

cluster-test: $(TESTABLE) ## kill nodes of real RabbitMQ and NATS clusters (10 minutes)
	@.ci/cluster-test
	$(BIN)/pytest tests/clusters $(ARGS)

hass-test: $(TESTABLE) ## show 42 simulated devices in a real Home Assistant (15 minutes)
	@.ci/tools mosquitto
	@.ci/hass-test
	$(BIN)/pytest tests/hass -vv --tb=short $(ARGS)

lint: $(TESTABLE) ## ruff, pyright (strict), import-linter and plain English
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports
	$(BIN)/python .ci/plain_english.py

format: $(TESTABLE) ## fix and format the code with ruff
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: $(TESTABLE) ## generate docs/profiles.md, docs/mqtt.md and the index of profiles from the code
	$(BIN)/python -m healthd.profiles.index
	$(BIN)/python -m healthd schema --format markdown > docs/profiles.md
	$(BIN)/python -m healthd schema --format mqtt > docs/mqtt.md

constraints: $(TESTABLE) ## pin the newest versions that pyproject.toml allows, with hashes
	@.ci/constraints $(VENV)

picture: $(TESTABLE) ## draw docs/live-table.svg from the real demo
	@$(BIN)/python .ci/picture.py

clean: ## remove .venv, caches and build results
	rm -rf $(VENV) build dist .coverage .coverage.* .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNNABLE): pyproject.toml .ci/requirements/demo.txt .ci/requirements/build.txt
	@PYTHON='$(PYTHON)' .ci/venv $(VENV) .ci/requirements/demo.txt
	@touch $@

$(TESTABLE): pyproject.toml constraints.txt .ci/requirements/build.txt
	@PYTHON='$(PYTHON)' .ci/venv $(VENV) constraints.txt
	@touch $(RUNNABLE) $@
