# Everything that this project does from a fresh checkout. Needs python3 (3.11 or newer), make and a package index.

VENV := .venv
BIN := $(VENV)/bin
DATABASE ?= sqlite:///var/adjourn.db
HTTP ?= 127.0.0.1:8080
PYTEST_OPTIONS ?=
TEST_PROCESSES ?= auto
SEEDS ?= 0:10000
SEED_PROCESSES ?= 2
MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help run test check bench simulate soak fuzz requirements prove clean

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

# The newest Python that will do; a stamp file per set of packages, made anew when pyproject.toml changes.
$(VENV)/bin/python:
	@python=""; for candidate in python3.14 python3.13 python3.12 python3.11 python3; do \
	  if command -v $$candidate >/dev/null 2>&1 && $$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    python=$$candidate; break; fi; done; \
	if [ -z "$$python" ]; then echo "adjourn needs Python 3.11 or newer (found: $$(python3 --version 2>&1))" >&2; exit 1; fi; \
	$$python -m venv $(VENV) || { rm -rf $(VENV); echo "$$python cannot make a virtual environment; on Debian: apt install python3-venv" >&2; exit 1; }

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@$(BIN)/python -m tests.support.postgres --available >/dev/null 2>&1 || \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,test-postgres]'
	@touch $@ $(VENV)/installed

# The clients for JavaScript that the tests run, by the machine's Node.js or, where it has none, by the package index's.
CLIENTS := tests/clients/javascript
$(CLIENTS)/node_modules/.package-lock.json: $(CLIENTS)/package-lock.json $(VENV)/installed-test
	@command -v npm >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,test-node]'
	@cd $(CLIENTS) && PATH="$$PATH:$(CURDIR)/$(BIN)" npm ci --ignore-scripts --silent
	@touch $@

run: $(VENV)/installed  ## start the service with the demo organization
	$(BIN)/adjourn serve --database '$(DATABASE)' --http '$(HTTP)' --demo

# First a file at a time to each of TEST_PROCESSES, then what measures time: nothing may run beside that. The tests start
# hundreds of processes; where Python may not write its bytecode, each would compile everything anew.
test: check $(CLIENTS)/node_modules/.package-lock.json  ## check, then run all tests but the long suites
	-@$(BIN)/python -m compileall -q src
	$(BIN)/python -m pytest -m 'not long and not alone' -n $(TEST_PROCESSES) --maxprocesses 8 --dist loadfile --durations 10 $(PYTEST_OPTIONS)
	$(BIN)/python -m pytest -m 'alone and not long' --durations 10 $(PYTEST_OPTIONS)

check: $(VENV)/installed-test  ## lint, types, import direction
	$(BIN)/ruff check src tests benchmarks tools
	$(BIN)/ruff format --check src tests benchmarks tools
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/installed-test  ## measure against yardsticks in the same run; writes docs/performance.md
	$(BIN)/python -m benchmarks

simulate: $(VENV)/installed-test  ## 10,000 seeds of the simulation, or as many as there are in an hour; SEEDS=FIRST:END a part of them, SEEDS=7 TRACE=FILE tells one
	$(BIN)/python -m tests.simulation --seeds '$(SEEDS)' --seconds 3600 --processes '$(SEED_PROCESSES)' $(if $(TRACE),--trace '$(TRACE)')

soak: $(VENV)/installed-test  ## MINUTES (10) of real processes, operators and kills on each store, then the history checker
	$(BIN)/python -m tests.simulation.soak --database sqlite --minutes '$(MINUTES)'
	$(BIN)/python -m tests.simulation.soak --database postgres --minutes '$(MINUTES)'

fuzz: $(VENV)/installed-test  ## new properties' examples, 200,000 texts at the parsers, 40,000 requests over HTTP; ADJOURN_FUZZ_SEED repeats a run
	ADJOURN_HYPOTHESIS=exploring $(BIN)/python -m pytest tests/fuzz tests/properties -m 'long or not long' $(PYTEST_OPTIONS)

requirements: $(VENV)/installed-test  ## rows of docs/requirements.md owed so far without a passing test
	$(BIN)/python -m tools.requirements

prove: $(VENV)/installed-test  ## kill at every fault point, explore the reference model, simulate, broken variants; then the requirements, long ones too
	ADJOURN_HYPOTHESIS=exploring $(BIN)/python -m pytest tests/proof tests/simulation tests/broken -m 'long or not long' $(PYTEST_OPTIONS)
	$(BIN)/python -m pytest -m 'requirement' $(PYTEST_OPTIONS)

clean:  ## remove what the targets made, but no database
	rm -rf $(VENV) build dist $(CLIENTS)/node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
