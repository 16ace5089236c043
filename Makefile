# Everything that a contributor runs. Each target does its own set-up in .venv; `make help` lists them.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# Stamps of what is installed; each is renewed when the requirements change.
STAMPS := $(VENV)/.stamps
REQUIREMENTS := pyproject.toml constraints.txt
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help demo test crash batches lint types docs bench fix clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-7s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(STAMPS)/package ## the example application: real jobs, a real worker (ARGS="--path DIR" for another tree)
	@exec $(BIN)/python -m example_app $(ARGS)

test: $(STAMPS)/test ## all tests, with throw-away servers (ARGS="-k name" or "tests/matrix --full-matrix" goes to pytest)
	@tools/install-servers
	@tools/run-tests $(BIN)/python $(ARGS)

crash: $(STAMPS)/test ## 50 rounds for each store in which something dies (ARGS="--seed 1 --round 17 --store redis")
	@tools/install-servers
	$(BIN)/python -m tests.crash $(ARGS)

batches: $(STAMPS)/test ## 300 random batches while workers die, against a model (ARGS="--seed 1 --store sqlite")
	@tools/install-servers
	$(BIN)/python -m tests.batches $(ARGS)

lint: $(STAMPS)/lint ## style, format, and the layers of the architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMPS)/types ## mypy, strict
	$(BIN)/mypy $(ARGS)

docs: $(STAMPS)/docs ## the documentation, into docs/_build/html
	$(BIN)/sphinx-build --fail-on-warning --keep-going --builder html docs docs/_build/html

bench: $(STAMPS)/bench ## what tracking costs, against peers (ARGS="workers --pairs 9"; ARGS=--help lists the others)
	@tools/install-servers
	$(BIN)/python -m benchmarks $(ARGS)

fix: $(STAMPS)/lint ## let ruff format, and mend what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove all that these targets made, .venv included
	rm -rf $(VENV) .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .jobtrack-demo
	rm -rf build dist docs/_build
	find . -name __pycache__ -prune -exec rm -rf {} +

# A half-made environment, without a working pip, is made anew.
# --group, used below, needs pip 25.1.
$(STAMPS)/venv: $(REQUIREMENTS)
	$(call require,import sys,$(PYTHON) not found: install Python 3.10 or later$(comma) or name one with PYTHON=/path/to/python3)
	$(call require,import sys; assert sys.version_info >= (3$(comma) 10),$(PYTHON) is too old: install Python 3.10 or later$(comma) or name one with PYTHON=/path/to/python3)
	$(call require,import venv$(comma) ensurepip,$(PYTHON) has no venv: apt-get install python3-venv)
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@mkdir -p $(STAMPS)
	@$(INSTALL) --upgrade 'pip>=25.1'
	@touch $@

$(STAMPS)/package: $(STAMPS)/venv
	@echo "installing celery-jobtrack into $(VENV)"
	@$(INSTALL) --editable .
	@touch $@

$(STAMPS)/test $(STAMPS)/lint $(STAMPS)/docs $(STAMPS)/bench: $(STAMPS)/package
	@echo "installing what '$(@F)' needs into $(VENV)"
	@$(INSTALL) --group $(@F)
	@touch $@

# mypy reads the types of the drivers, which the tests install.
$(STAMPS)/types: $(STAMPS)/test
	@echo "installing what '$(@F)' needs into $(VENV)"
	@$(INSTALL) --group $(@F)
	@touch $@

comma := ,
# $(call require,STATEMENT,MESSAGE): stops with one line unless $(PYTHON) can do it.
require = $(if $(shell $(PYTHON) -c '$(1)' >/dev/null 2>&1 && echo yes),,$(error $(2)))
