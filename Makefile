# Only Python 3.11 or newer (with pip) and make are assumed: every target makes .venv first, and again when the dependencies changed.
PYTHON ?= python3
VENV   ?= .venv
RUN    := $(VENV)/bin/python
READY  := $(VENV)/.installed
TESTS  ?= tests

.PHONY: help install demo app test lint format notebooks constraints
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1: /p' Makefile

install: $(READY) ## .venv with this package and everything it can use
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time) ..."
	@$(RUN) -m pip install --quiet --editable ".[all]" --constraint constraints.txt
	@touch $@

demo: $(READY) ## the demo study on the bundled data, then the dashboard on its results
	@$(RUN) -m laser_core demo

app: $(READY) ## the dashboard
	@$(RUN) -m laser_core app

test: $(READY) ## the tests (TESTS=tests/crm for a part)
	@$(RUN) -m pytest -n auto --dist loadfile $(TESTS)

lint: $(READY) ## ruff: errors, style, format
	@$(RUN) -m ruff check .
	@$(RUN) -m ruff format --check .

format: $(READY) ## ruff puts the code in order
	@$(RUN) -m ruff check --fix .
	@$(RUN) -m ruff format .

notebooks: $(READY) ## runs every notebook with its solutions, in the smoke profile (notebooks/build.py NAME writes one anew)
	@LASER_PROFILE=smoke $(RUN) notebooks/build.py --run

constraints: $(READY) ## constraints.txt anew from what .venv holds, everything optional in it too
	@$(RUN) -m pip install --quiet --editable ".[all,ray,mlflow]" duckdb polars --constraint constraints.txt
	@{ sed '/^#/!d' constraints.txt; $(RUN) -m pip freeze --exclude-editable | grep -v '^nvidia-\|^triton' | sed 's/+.*//'; } > constraints.new
	@mv constraints.new constraints.txt
