# Two commands do everything on a fresh machine with Python 3.11 or newer: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test quick format bench crash fuzz clean

demo: .venv/.installed
	$(BIN)/sevensteps train

test: .venv/.installed-dev
	$(BIN)/python -m pytest

quick: .venv/.installed-dev
	$(BIN)/python -m pytest -m "not slow"

format: .venv/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.installed-dev
	$(BIN)/python benchmarks/run.py

crash: .venv/.installed-dev
	$(BIN)/python tests/certainty/harness.py .crash --kill-every 1 --fail-every 1 --kill-at-random 300 --kill-within 50

fuzz: .venv/.installed-dev
	SEVENSTEPS_FUZZ=50 $(BIN)/python -m pytest -q tests/certainty/test_fuzz.py

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/.installed-dev: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@ .venv/.installed
