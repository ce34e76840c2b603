# Everything a stranger needs: `make demo`, `make test`, `make check`. Each makes its own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKSHOP := $(VENV)-workshop/bin
PIP := -m pip --disable-pip-version-check install -q -c constraints.txt
# The line's own tests also run where neither onnx nor torch is installed, on the oldest and newest Python we promise.
LINE_PYTHONS ?= 3.10 3.13

.PHONY: demo test check lint coverage workshop-test line-test wheelhouse clean
.SECONDARY:

demo: $(VENV)/.demo
	$(BIN)/edge-inspect demo

test: $(VENV)/.dev
	rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest

coverage: test workshop-test
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

# Where torch is: without it mypy would take every network for Any.
lint: $(VENV)-workshop/.train
	$(WORKSHOP)/ruff check .
	$(WORKSHOP)/ruff format --check .
	$(WORKSHOP)/mypy
	$(WORKSHOP)/lint-imports

# Where torch is needed: models, training, export, and that the backbone shipped here is the one its package publishes.
workshop-test: $(VENV)-workshop/.train
	$(WORKSHOP)/coverage run -m pytest -m torch

line-test: $(LINE_PYTHONS:%=line-test-%)

line-test-%:
	@if tools/find-python $* >/dev/null; then $(MAKE) --no-print-directory $(VENV)-line-$*/.line && \
	  $(VENV)-line-$*/bin/pytest -m "not workshop and not torch and not nspawn"; \
	else echo "line-test: no Python $* here, left out"; fi

# Everything CI runs.
check: lint coverage workshop-test line-test

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.dev: $(VENV)/bin/python setup.cfg constraints.txt
	$(BIN)/python $(PIP) -e ".[dev]"
	@touch $@

$(VENV)/.demo: $(VENV)/bin/python setup.cfg constraints.txt
	$(BIN)/python $(PIP) -e ".[demo]"
	@touch $@

$(VENV)-workshop/.train: setup.cfg constraints.txt
	$(PYTHON) -m venv $(VENV)-workshop
	$(WORKSHOP)/python $(PIP) -e ".[train,dev]"
	@touch $@

$(VENV)-line-%/.line: setup.cfg constraints.txt
	$$(tools/find-python $*) -m venv $(VENV)-line-$*
	$(VENV)-line-$*/bin/python $(PIP) -e ".[test]"
	@touch $@

# The offline bundle: wheels for this Python on this kind of machine, their hashes, and the installer.
wheelhouse: $(VENV)/bin/python
	$(BIN)/python tools/build-wheelhouse wheelhouse

clean:
	rm -rf $(VENV) $(VENV)-workshop $(VENV)-line-* build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache
