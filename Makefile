# Every target sets up what it needs: a machine with Python >= 3.11 and make is enough.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready

# Tests on real images run where they are given; elsewhere they are skipped with a reason.
export SEGFIT_TEST_DATA ?= $(if $(wildcard ../shared/data),$(abspath ../shared/data))

.PHONY: setup demo test test-slow check format lock schema clean

demo: $(STAMP)  ## train three models on synthetic scenes, print the comparison, write the report
	$(BIN)/segfit study demo

test: $(STAMP)  ## the whole default test suite, offline
	$(BIN)/pytest -n 2 --dist loadfile

test-slow: $(STAMP)  ## minutes: the demo, end to end
	$(BIN)/pytest -m slow

check: $(STAMP)  ## lint, types, architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -q tests/test_architecture.py

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup: $(STAMP)

$(STAMP): pyproject.toml requirements.txt requirements-uv.txt
	test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --offline --editable .
	touch $@

lock: $(STAMP)  ## pin the newest versions that pyproject.toml allows, with hashes and without addresses
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-annotate --no-header \
		--python-version 3.11 \
		--extra test --extra lint --extra build pyproject.toml --output-file requirements.txt

schema: $(STAMP)  ## write the recipes' JSON Schema into the package
	$(BIN)/segfit recipe schema > src/segfit/recipes/recipe.schema.json

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
