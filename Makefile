# Everything a stranger needs: `make demo`, `make test`, `make check`. Each makes its own environment first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKSHOP := $(VENV)-workshop/bin
# Three at a time: most tests wait for something, a camera, a PLC or a start, and two cores have time for another meanwhile.
WORKERS ?= -n 3 --dist loadfile
LINE_WORKERS ?= -n 2 --dist loadfile
PIP := -m pip --disable-pip-version-check install -q -c constraints.txt
# The line's own tests also run where neither onnx nor torch is installed, on the oldest and newest Python we promise.
LINE_PYTHONS ?= 3.10 3.13
# There, of the tests that start a station, those of what a language and its library can change: processes, signals, files, text.
LINE_TESTS := tests/architecture tests/contract tests/unit $(addprefix tests/integration/test_,station_process.py sigterm.py bad_input.py \
  spoiled_files.py calibrate_beside.py new_thresholds.py replay.py)

.PHONY: demo test check audit lint coverage workshop-test line-test wheelhouse clean
.SECONDARY:

demo: $(VENV)/.demo
	$(BIN)/edge-inspect demo

test: $(VENV)/.dev
	$(BIN)/coverage run -m pytest $(WORKERS)

coverage: $(VENV)/.dev $(VENV)-workshop/.train
	rm -f .coverage .coverage.*
	$(MAKE) --no-print-directory test workshop-test
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
	$(WORKSHOP)/coverage run -m pytest $(WORKERS) -m torch

# Both Pythons side by side.
line-test:
	+$(MAKE) --no-print-directory -j2 --output-sync=target $(LINE_PYTHONS:%=line-test-%)

line-test-%:
	@if tools/find-python $* >/dev/null; then $(MAKE) --no-print-directory $(VENV)-line-$*/.line && \
	  $(VENV)-line-$*/bin/pytest $(LINE_WORKERS) -m "not workshop and not torch and not nspawn and not once and not slow" $(LINE_TESTS); \
	else echo "line-test: no Python $* here, left out"; fi

# Everything CI runs.
check: lint coverage line-test audit

# Known holes in what is pinned; where nobody can be asked it says so.
audit: $(VENV)-audit/.audit
	tools/audit-dependencies $(VENV)-audit/bin/pip-audit constraints.txt

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

$(VENV)-audit/.audit:
	$(PYTHON) -m venv $(VENV)-audit
	-$(VENV)-audit/bin/python -m pip install -q --disable-pip-version-check pip-audit
	@touch $@

$(VENV)-line-%/.line: setup.cfg constraints.txt
	$$(tools/find-python $*) -m venv $(VENV)-line-$*
	$(VENV)-line-$*/bin/python $(PIP) -e ".[test]"
	@touch $@

# The offline bundle: wheels for this Python on this kind of machine, their hashes, and the installer.
wheelhouse: $(VENV)/bin/python
	$(BIN)/python tools/build-wheelhouse wheelhouse

clean:
	rm -rf $(VENV) $(VENV)-workshop $(VENV)-audit $(VENV)-line-* build *.egg-info .coverage* .mypy_cache .ruff_cache .pytest_cache
