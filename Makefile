# `make` alone lists the targets. An active environment that has this folder's padalib is used as it
# is; otherwise .venv is made here by pip, once. What is asked for goes to the commands by the
# environment, so that no shell reads it as a program.

SCALE   ?= laptop
WORKERS ?=
PYTHON  ?= python3
LAB     ?=
override SCALE   := $(value SCALE)
override WORKERS := $(value WORKERS)
override PYTHON  := $(value PYTHON)
override LAB     := $(value LAB)
export SCALE WORKERS PYTHON LAB
export JUPYTER_PREFER_ENV_PATH := 1

GIVEN := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
ifneq ($(filter-out SCALE WORKERS PYTHON LAB,$(GIVEN)),)
$(error nothing reads $(filter-out SCALE WORKERS PYTHON LAB,$(GIVEN)); known are SCALE, WORKERS, PYTHON and LAB)
endif

# Of padalib/study/scales/. A typo is told before anything is installed.
NAMES := smoke laptop cifar controls tuning record options options-cifar spaces search rivals retraining budget cifar32 interventions along exposure full paper paper-cifar100
ifneq ($(filter reproduce figures compare publish html,$(MAKECMDGOALS)),)
ifneq ($(words $(SCALE)) $(filter-out $(NAMES),$(SCALE)),1 )
$(error unknown scale '$(SCALE)': choose one of $(NAMES))
endif
endif

quoted = '$(subst ','\'',$(1))'

# The first environment whose python, asked from another folder, imports padalib from this one.
HOME_ENV := $(shell root=$$(pwd); cd /; for env in "$$VIRTUAL_ENV" "$$CONDA_PREFIX" "$$root/.venv"; do \
  [ "$$("$$env/bin/python" -c 'import padalib; print(padalib.__path__[0])' 2>/dev/null)" \
    -ef "$$root/padalib" ] && echo "$$env" && break; done)

# The stamp marks a .venv that make made: newer than the lists when installed, of 2000 until then.
# A .venv without a stamp that has padalib is its owner's and is left alone.
STAMP := .venv/.installed
MANAGED := $(if $(HOME_ENV),$(and $(wildcard $(STAMP)),$(shell [ $(call quoted,$(HOME_ENV)) -ef .venv ] && echo yes)),yes)
PY := $(if $(MANAGED),.venv/bin/python,$(call quoted,$(HOME_ENV)/bin/python))
ASKED = --scale "$$SCALE" $${WORKERS:+--workers "$$WORKERS"}

.DEFAULT_GOAL := help
.PHONY: help setup reproduce figures compare publish test check truth lab html bench clean venv

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile
	@echo "SCALE=one of $(NAMES) (now $$SCALE)"
	@echo "WORKERS=processes, PYTHON=python3.12 for setup, LAB='--ip 0.0.0.0 --allow-root' for lab"

setup: $(if $(MANAGED),$(STAMP))  ## make the environment (.venv, or the active one), kernel and git filter
	@$(PY) -m padalib setup

$(STAMP): pyproject.toml constraints.txt $(if $(HOME_ENV),,venv)
	.venv/bin/python -m pip install -c constraints.txt -e '.[dev]'
	@touch $@

venv:
	@"$$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "error: $$PYTHON is not a Python >= 3.11, which padalib needs; name one: make setup PYTHON=python3.12" >&2; exit 1; }
	"$$PYTHON" -m venv $(if $(wildcard $(STAMP)),--clear) .venv
	@touch -t 200001010000 $(STAMP)

reproduce: setup  ## run every notebook: train what is missing, then compare with what is published [SCALE=laptop]
	$(PY) -m padalib run $(ASKED)

figures: setup  ## redraw the figures from the published tables, train nothing [SCALE=laptop]
	$(PY) -m padalib figures --scale "$$SCALE"

compare: setup  ## hold the claims computed here against the published ones [SCALE=laptop]
	$(PY) -m padalib compare --scale "$$SCALE"

publish: setup  ## for maintainers: make what was computed here the published results [SCALE=laptop]
	$(PY) -m padalib publish --scale "$$SCALE"

test: check  ## formatting and lint, then the tests
	$(PY) -m pytest -n auto --maxprocesses 4 --dist worksteal

check: setup  ## formatting, lint and the notebooks' parameters only
	$(PY) -m ruff format --check
	$(PY) -m ruff check
	$(PY) -m padalib check

truth: setup  ## rebuild our own truth tables in build/truth: every architecture trained alone
	$(PY) -m padalib truth $${WORKERS:+--workers "$$WORKERS"}

lab: setup  ## open the project in JupyterLab, kernel ready [LAB=options of jupyter lab]
	$(PY) -m jupyter lab $(foreach word,$(LAB),$(call quoted,$(word)))

html: setup  ## render the executed notebooks to build/SCALE/html, with an index [SCALE=laptop]
	$(PY) -m padalib html --scale "$$SCALE"

bench: setup  ## measure speed: ours beside the textbook way, method against method
	$(PY) -m bench

clean:  ## remove caches and build/, your tables and figures: the kept runs give them back
	rm -rf build .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
	@echo "kept: data/ (downloads, runs, truth, published results), figures/ and .venv"
