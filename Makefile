# `make` alone lists the targets. An active environment that has this folder's padalib is used as it
# is; otherwise .venv is made here by pip, once.

SCALE  ?= laptop
PYTHON ?= python3
ifneq ($(WORKERS),)
export PADALIB_WORKERS := $(WORKERS)
endif
export JUPYTER_PREFER_ENV_PATH := 1

# The first environment whose python, asked from another folder, imports padalib from this one.
ENV := $(shell root=$$(pwd); cd /; for env in "$$VIRTUAL_ENV" "$$CONDA_PREFIX" "$$root/.venv"; do \
  [ "$$("$$env/bin/python" -c 'import padalib; print(padalib.__path__[0])' 2>/dev/null)" \
    -ef "$$root/padalib" ] && echo "$$env" && break; done)

# The stamp marks a .venv that make made: newer than the lists when installed, of 2000 until then.
# A .venv without a stamp that has padalib is its owner's and is left alone.
STAMP := .venv/.installed
MANAGED := $(if $(ENV),$(and $(wildcard $(STAMP)),$(shell [ "$(ENV)" -ef .venv ] && echo yes)),yes)
PY := $(if $(MANAGED),.venv/bin/python,"$(ENV)/bin/python")

.DEFAULT_GOAL := help
.PHONY: help setup reproduce figures test check truth lab html bench clean venv

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "SCALE=smoke|laptop|cifar|paper|paper-cifar100 (now $(SCALE)), WORKERS=processes, PYTHON=python3.12 for setup"

setup: $(if $(MANAGED),$(STAMP))  ## make the environment (.venv, or the active one), kernel and git filter
	@$(PY) -m padalib.study.driver setup

$(STAMP): pyproject.toml constraints.txt $(if $(ENV),,venv)
	.venv/bin/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $(PYTHON) is not a Python >= 3.11, which padalib needs; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(if $(wildcard $(STAMP)),--clear) .venv
	@touch -t 200001010000 $(STAMP)

reproduce: setup  ## run every notebook: trains what is missing, writes tables and figures [SCALE=laptop]
	$(PY) -m padalib.study.driver run --scale $(SCALE)

figures: setup  ## redraw the figures from the committed tables, train nothing [SCALE=laptop]
	$(PY) -m padalib.study.driver run --scale $(SCALE) --redraw

test: check  ## formatting and lint, then the tests
	$(PY) -m pytest

check: setup  ## formatting and lint only
	$(PY) -m ruff format --check
	$(PY) -m ruff check

truth: setup  ## rebuild the mini benchmark: every architecture trained alone
	$(PY) -m padalib.benchmarks.alone

lab: setup  ## open the notebooks in JupyterLab, kernel ready
	$(PY) -m jupyter lab notebooks

html: setup  ## render the executed notebooks to build/SCALE/html [SCALE=laptop]
	$(PY) -m padalib.study.driver html --scale $(SCALE)

bench: setup  ## measure speed: ours beside the textbook way, method against method
	$(PY) -m bench

clean:  ## remove build/ and caches
	rm -rf build .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "kept: data/ (downloads, runs, truth, results), figures/ and .venv"
