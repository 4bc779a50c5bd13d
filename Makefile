# Everything here needs only Python 3.11 or newer and make. The tools live in .venv, which git ignores.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DOCS_INSTALLED := $(VENV)/.docs-installed
EXAMPLES := $(VENV)/examples
EXAMPLES_INSTALLED := $(EXAMPLES)/.installed
RUNNABLE := $(VENV)/.runnable
PYTHON_IS_NEW := $(PYTHON) -c "import sys; sys.version_info >= (3, 11) or sys.exit('Python 3.11 or newer is needed, as in: make PYTHON=python3.13 demo')"
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
PIP := $(BIN)/python $(PIP_INSTALL)
EDITABLE := --no-deps --no-build-isolation --editable .
# pip compiles no package that is installed from its source directory.
COMPILE := $(BIN)/python -m compileall -q reconciler

LOCK := $(VENV)/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header

# Most tests start processes of ours, and each would compile all of our modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install lock demo examples test quick check workflows coverage docs format bench stats picture soak mutants clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml requirements/dev.txt
	@$(PYTHON_IS_NEW)
	$(PYTHON) -m venv $(VENV)
	$(PIP) --require-hashes -r requirements/dev.txt
	$(PIP) $(EDITABLE)
	@$(COMPILE)
	@touch $(RUNNABLE) $@

# What the command needs, and none of the tools. Bytecode is made of what is imported, when it is: pip would make all.
$(RUNNABLE): pyproject.toml requirements/run.txt requirements/build.txt
	@$(PYTHON_IS_NEW)
	@echo "Installing into $(VENV) what the command needs, and no tools (make install has those)."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --no-compile --require-hashes -r requirements/run.txt -r requirements/build.txt
	@$(PIP) --no-compile $(EDITABLE)
	@$(COMPILE)
	@touch $@

lock:  ## the newest versions that pyproject.toml allows, with their hashes, for Python 3.11 and newer
	$(PYTHON) -m venv $(VENV)/lock
	$(VENV)/lock/bin/python -m pip install --quiet --disable-pip-version-check uv
	$(LOCK) pyproject.toml --group dev -o requirements/dev.txt
	$(LOCK) pyproject.toml -c requirements/dev.txt -o requirements/run.txt
	$(LOCK) --group build -c requirements/dev.txt -o requirements/build.txt
	$(LOCK) --group coverage -c requirements/dev.txt -o requirements/coverage.txt
	$(LOCK) --group docs -c requirements/dev.txt -o requirements/docs.txt
	$(LOCK) pyproject.toml --group examples -c requirements/dev.txt -o requirements/examples.txt

demo: $(RUNNABLE)  ## the walkthrough: plan, apply, invoke, destroy, on the local engine
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python examples/demo.py

examples: $(EXAMPLES_INSTALLED)  ## the example of each web framework, tested with the real packages; offline once installed
	@for one in fastapi flask django celery; do \
		echo "examples/$$one"; (cd examples/$$one && $(abspath $(EXAMPLES))/bin/python -m pytest) || exit 1; \
	done

$(EXAMPLES_INSTALLED): pyproject.toml requirements/examples.txt
	@$(PYTHON_IS_NEW)
	$(PYTHON) -m venv $(EXAMPLES)
	$(EXAMPLES)/bin/python $(PIP_INSTALL) --no-compile --require-hashes -r requirements/examples.txt
	$(EXAMPLES)/bin/python $(PIP_INSTALL) --no-compile $(EDITABLE)
	@touch $@

test: install  ## every test
	$(BIN)/python -m pytest -n auto --dist worksteal

quick: install  ## in under a minute: format, lint, and the tests that are not marked slow
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -n auto --dist worksteal -m 'not slow and not soak'

check: install  ## what CI runs: format, lint, types, layers, tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy action/*.py
	$(BIN)/lint-imports
	$(MAKE) --no-print-directory workflows
	$(MAKE) --no-print-directory test

workflows: install  ## the workflows and pipelines of this repository and its examples: security and schemas; offline
	$(BIN)/zizmor --offline --quiet --strict-collection . examples/github-actions/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml examples/github-actions/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.gitlab-ci examples/gitlab-ci/*.gitlab-ci.yml

coverage: install  ## every test, and which lines of the package none of them runs; takes nearly twice as long
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/coverage.txt
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-report=term-missing

docs: $(DOCS_INSTALLED)  ## the documentation site, into site/; a link that leads nowhere is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --clean

$(DOCS_INSTALLED): $(INSTALLED) requirements/docs.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/docs.txt
	@touch $@

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install  ## the benchmarks, as ratios in one run; CHECK=1 says which CPU rows got slower, and writes nothing
	$(BIN)/python -m benchmarks $(if $(CHECK),--check) $(SUITES)

stats:  ## sizes of files and functions, and how docstrings begin
	$(PYTHON) tools/stats.py

picture: install  ## runs the README's commands, and writes what they show into it and into its picture
	$(BIN)/python tools/record.py

soak: install  ## the slow suite: many real invokes, on good days and bad ones
	$(BIN)/python -m pytest -m soak

mutants: install  ## breaks each safety rule on purpose, and asks whether the tests notice
	$(BIN)/python -m tests.mutants $(if $(RULE),"$(RULE)")

clean:
	rm -rf $(VENV) dist build site .mypy_cache .ruff_cache .hypothesis
