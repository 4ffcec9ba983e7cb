# Everything runs in its own virtual environment; the stamp files make a second run skip the installation.
# Without "zerogap compile" everything works, too, but the first training compiles.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench clean

demo: $(VENV)/demo.stamp
	$(BIN)/zerogap fit digits:3,8 --arch cnn --kernel-size 2 --bias false --beta 20 --tol 1e-2 \
	    --out demo-out --json demo-out/certificate-with-scores.json

test: $(VENV)/test.stamp lint
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/test.stamp
	$(BIN)/python benchmarks/interior_point.py

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "zerogap needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/demo.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[plots,images]'
	-$(BIN)/zerogap compile
	touch $@

$(VENV)/test.stamp: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[plots,images,test]'
	-$(BIN)/zerogap compile
	touch $@ $(VENV)/demo.stamp

clean:
	rm -rf $(VENV) demo-out build dist .pytest_cache .mypy_cache .ruff_cache
