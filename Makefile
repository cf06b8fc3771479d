# `make demo` and `make test` work from a fresh clone: they find a Python, make .venv and install into it once.
# `make VENV=.venv-3.8 PYTHON=/path/to/python3.8 test-python` does the same with another Python in another folder.
VENV ?= .venv
BIN := $(VENV)/bin
# Without --no-compile pip also compiles the large packages that are never imported, a third of the time.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Two processes with one thread each are faster than one process with two threads. Each file stays in one process,
# because its tests share networks.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile
PYTHON ?=
PYTHONS := $(PYTHON) python3.11 python3.10 python3.9 python3.8 python3.12 python3 \
	$(foreach v,11 10 9 8 12,$(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.$(v).*/bin/python))
SUPPORTED := import ensurepip, sys, venv; sys.exit(not (3, 8) <= sys.version_info < (3, 13))
NONE_FOUND := No supported Python found: gluonnorm needs 3.8 to 3.12 with its venv module (Debian: apt-get install \
	python3-venv). If yours is elsewhere: make PYTHON=/path/to/python

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-python lint parity docs check-cu112 test-cu112 clean

help:  ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*##/\1\t/p' $(MAKEFILE_LIST) | expand -t 13

demo: $(VENV)/runtime.stamp  ## draw a data set, train, evaluate, export and detect: results in demo/
	$(BIN)/python scripts/quickstart.py --output demo

test: lint  ## check style and types, then run every test
	$(PYTEST)

test-fast: $(VENV)/test.stamp  ## run the tests that take less than ten seconds each
	$(PYTEST) -m "not slow"

test-python: $(VENV)/test.stamp  ## run what can differ between Pythons: of test-fast, networks with their first case only
	$(PYTEST) -m "not slow" --first-cases

lint: $(VENV)/test.stamp  ## check style and layout (ruff) and types (mypy)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy

parity: $(VENV)/test.stamp  ## compare with the other codebases' answers, and write the table of docs/weights.md
	PYTHONPATH=tests $(BIN)/python -m parity.report

docs: $(VENV)/docs.stamp  ## build the documentation site, with warnings as errors: build/site/index.html
	$(BIN)/python -m sphinx -W --keep-going -q -c docs -d build/doctrees . build/site

check-cu112:  ## install MXNet for NVIDIA GPUs (2.5 GB to download), and test its layers on the CPU, without a driver
	@$(MAKE) VENV=.venv-cu112 test-cu112

# MXNet's CUDA build is linked against the driver's library, and cannot be imported where there is no driver. This makes
# a library of the same functions, each of which returns 100, the driver's code for "no device".
test-cu112: $(VENV)/cu112.stamp
	@mkdir -p build/cu112
	nm -D --undefined-only $$($(BIN)/python -c 'import importlib.util as u; print(u.find_spec("mxnet").submodule_search_locations[0])')/libmxnet.so \
		| sed -n 's/^ *U \(cu[A-Z][A-Za-z0-9_]*\)$$/int \1(void) { return 100; }/p' > build/cu112/driver.c
	gcc -shared -fPIC -Wl,-soname,libcuda.so.1 -o build/cu112/libcuda.so.1 build/cu112/driver.c
	LD_LIBRARY_PATH=$$PWD/build/cu112 $(BIN)/python -m gluonnorm
	LD_LIBRARY_PATH=$$PWD/build/cu112 $(PYTEST) -m "not slow" tests/nn tests/ops

clean:  ## remove .venv, caches and everything the demo wrote
	rm -rf .venv .venv-* demo build *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so an interrupted installation is taken up again. Each call of pip reads the index and makes
# an environment to build in, so the tests install everything by one call.
$(VENV)/runtime.stamp: setup.py | $(BIN)/pip
	@echo "Installing gluonnorm and MXNet into $(VENV) (about a minute: downloads 200 MB, takes 700 MB of disk) ..."
	@$(PIP) -e '.[cpu]'
	@touch $@

$(VENV)/test.stamp: setup.py | $(BIN)/pip
	@echo "Installing gluonnorm and what the tests need into $(VENV) (about a minute: downloads 200 MB) ..."
	@$(PIP) -e '.[cpu,test]'
	@touch $(VENV)/runtime.stamp $(VENV)/docs.stamp $@

$(VENV)/cu112.stamp: setup.py | $(BIN)/pip
	@echo "Installing gluonnorm and MXNet for CUDA 11 into $(VENV) (downloads 2.5 GB, takes 4.5 GB of disk) ..."
	@$(PIP) -e '.[cu112]' 'pytest>=8' pytest-xdist
	@touch $@

$(VENV)/docs.stamp: setup.py | $(BIN)/pip
	@echo "Installing gluonnorm and what its site is built with into $(VENV) (about a minute: downloads 200 MB) ..."
	@$(PIP) -e '.[cpu,docs]'
	@touch $(VENV)/runtime.stamp $@

$(BIN)/pip:
	@for python in $(PYTHONS); do \
		if "$$python" -c '$(SUPPORTED)' 2>/dev/null; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			exec "$$python" -m venv --clear $(VENV); \
		fi; \
	done; \
	echo "$(NONE_FOUND)" >&2; exit 1
