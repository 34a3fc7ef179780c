# make demo   train LeNet-5 on handwritten digits     make test   lint, types and tests
# make bars   the training bars that take minutes     make docs   the documentation site
# make clone  demo and test once more, in a fresh clone with an empty environment

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin

.PHONY: demo test lint bars docs clone clean

demo: .venv/core
	$(BIN)/didact train

test: lint
	$(BIN)/python -m pytest -n 2 $(TESTS)

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bars: .venv/dev
	$(BIN)/python -m pytest -m slow

clone: .venv/dev
	$(BIN)/python -m pytest -m clone

docs: .venv/dev
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

# torch comes pinned from constraints.txt, in the same call as what needs it: anything else would fetch CUDA.
.venv/core: pyproject.toml constraints.txt | .venv/made
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev: pyproject.toml constraints.txt | .venv/made
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/core

.venv/made:
	$(PYTHON) -m venv .venv
	touch $@

clean:
	rm -rf .venv docs/_build .mypy_cache .pytest_cache .ruff_cache
