# Everything here needs only Python 3.11 or newer and make. The tools live in .venv, which git ignores.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test check format bench soak mutants clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: install  ## the walkthrough: plan, apply, invoke, destroy, on the local engine
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/demo.py

test: install  ## every test
	$(BIN)/python -m pytest -n auto --dist worksteal

check: install  ## what CI runs: format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory test

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install  ## the benchmarks, as ratios in one run
	$(BIN)/python -m benchmarks

soak: install  ## the slow suite: many real invokes, on good days and bad ones
	$(BIN)/python -m pytest -m soak

mutants: install  ## breaks each safety rule on purpose, and asks whether the tests notice
	$(BIN)/python tests/mutants.py

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .hypothesis
