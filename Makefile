# repzone's targets. `make demo` and `make test` each do all their set-up on a
# fresh Debian 12 with git, make and python3-venv and nothing else.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests wait half of their time, for servers and clocks.
WORKERS ?= $(shell expr $$(nproc) + 1)
# Hashes in the lock files are checked; the project itself is installed from this tree.
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: help demo install test soak bench docs lint lock clean

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

demo: $(VENV)/run.stamp ## everything at once on the shipped log; ONCE=1 checks it and ends
	@$(BIN)/repzone demo $(if $(ONCE),--once)

install: $(VENV)/dev.stamp ## .venv with everything for development

test: install ## lint, types, layers and every test
	@$(MAKE) --no-print-directory lint
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

soak: install ## the same tests, with many more examples and kills
	REPZONE_SOAK=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile tests/logs tests/jobs tests/store tests/fastpath tests/serve

bench: install ## speed and size beside peers (apt-get install pflogsumm fail2ban rbldnsd dnsperf hyperfine)
	$(BIN)/python -m bench.ingest
	$(BIN)/python -m bench.store
	$(BIN)/python -m bench.follow
	$(BIN)/python -m bench.dns
	$(BIN)/python -m bench.overload
	$(BIN)/python -m bench.ready
	$(BIN)/python -m bench.web
	$(BIN)/python -m bench.calculate
	$(BIN)/python -m bench.startup

docs: install ## the manual pages, into build/man; a wheel that is built afterwards has them
	$(BIN)/python -m ops.man build/man

lint: install ## ruff, mypy --strict and import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

lock: ## write the lock files anew (needs uv)
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group build pyproject.toml -o requirements.lock
	uv pip compile --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	  --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock

clean: ## remove what the targets made
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.lock pyproject.toml hatch_build.py $(wildcard repzone/*/*.[ch]) | $(BIN)/python
	@echo "Installing repzone into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@$(BIN)/python -m compileall -q repzone # every command starts faster, whoever runs it first
	@touch $@

$(VENV)/dev.stamp: requirements-dev.lock $(VENV)/run.stamp
	@echo "Installing the development tools into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
