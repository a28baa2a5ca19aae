# Everything is built in .venv; each target first installs what it lacks there, and nothing else.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test test-long check static docs bench constraints clean

PYTHON ?= python3
NAME ?=
ARGS ?=

VENV := .venv
RUN := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
PIP := $(RUN) -m pip -qq --disable-pip-version-check install -c constraints.txt
PYTEST := $(RUN) -m pytest -n auto --dist loadfile

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1	/p' Makefile | expand -t 14

demo: $(STAMPS)/demo ## Run the life of one model, end to end (no torch needed)
	@$(RUN) examples/lifecycle.py $(ARGS)

test: static docs $(STAMPS)/test $(STAMPS)/compiled $(STAMPS)/peers node-peers ## Run everything: linters, types, layers, documentation, all tests
	$(PYTEST) --cov --cov-report=term $(ARGS)

test-long: $(STAMPS)/test $(STAMPS)/compiled $(STAMPS)/peers node-peers ## Run the tests with many more examples, and the long ones
	$(PYTEST) --long $(ARGS)

check: static $(STAMPS)/test ## Linters, types, layers, the fast tests
	$(PYTEST) -q -m 'not crash and not slow and not long' $(ARGS)

static: $(STAMPS)/test $(STAMPS)/lint
	$(RUN) -m ruff check --quiet
	$(RUN) -m ruff format --check --quiet
	$(RUN) -m mypy
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/deptry src --no-ansi

docs: $(STAMPS)/docs ## Build the documentation into docs/_build/html
	$(RUN) -m sphinx -q -n -W --keep-going -b html docs docs/_build/html

bench: $(STAMPS)/demo ## Measure against peers: make bench NAME=verify (without NAME: list them)
	@$(RUN) -m benchmarks $(or $(NAME),--list) $(ARGS)

# For newer versions: rm -r .venv, empty constraints.txt, make constraints.
constraints: $(STAMPS)/demo $(STAMPS)/lint $(STAMPS)/test $(STAMPS)/docs $(STAMPS)/compiled ## Write constraints.txt from what .venv holds
	scripts/constraints $(RUN) >constraints.new
	mv constraints.new constraints.txt

clean: ## Remove what was built, except the environments
	rm -rf build dist docs/_build demo-artefacts .coverage .coverage.* .hypothesis .pytest_cache .mypy_cache .ruff_cache

$(STAMPS)/venv:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) was not found; install Python 3.11 or newer, or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "lifeseal needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12" >&2; exit 1; }
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) 'pip>=25.1'
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/core: pyproject.toml constraints.txt | $(STAMPS)/venv
	@echo "installing lifeseal into $(VENV)"
	@$(PIP) -e .
	@touch $@

$(STAMPS)/demo $(STAMPS)/lint $(STAMPS)/test $(STAMPS)/docs: $(STAMPS)/%: pyproject.toml constraints.txt | $(STAMPS)/core
	@echo "installing the packages of group $* into $(VENV)"
	@$(PIP) --group $*
	@touch $@

# Compiled on installation, so it may fail; the tests that need it then skip with a reason.
$(STAMPS)/compiled: pyproject.toml constraints.txt | $(STAMPS)/core
	@$(PIP) --group compiled >/dev/null 2>&1 || echo "the group 'compiled' (tpm2-pytss) could not be built: tests of the TPM are skipped"
	@touch $@

# The reference implementations that judge ours, in an environment of their own: .venv-peers.
$(STAMPS)/peers: benchmarks/_data.py benchmarks/peers.txt | $(STAMPS)/core
	@$(RUN) -c 'from benchmarks._data import peer; peer("model_signing")'
	@touch $@

# The JavaScript ones, in .venv-peers/node; without Node the tests that need them skip with a reason.
.PHONY: node-peers
node-peers: | $(STAMPS)/peers
	@scripts/node-peers
