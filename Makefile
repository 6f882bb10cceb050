# make demo   environment, install, and the first ablation: nine runs and a report, about three minutes on two cores
# make test   environment, install, lint, types, tests
# make docs   the generated YAML files in conf/ and docs/components.md

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test test-slow lint types docs clean

demo: $(VENV)/.demo
	$(BIN)/stargan-lab sweep quickstart trainer=fast

test: lint types
	$(PYTEST) -n 2 -m "not slow and not integration"

test-slow: $(VENV)/.test
	$(PYTEST) -n 2 --dist loadfile -m "slow or integration"

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.test
	$(BIN)/mypy

docs: $(VENV)/.test
	$(BIN)/python -m stargan_lab.cli.component_page

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(VENV)/bin/python setup.cfg pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.test: $(VENV)/bin/python setup.cfg pyproject.toml constraints.txt
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
