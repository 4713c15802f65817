# Two commands do all: `make demo` and `make test`. Each sets up what it needs first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= 2
# Compiled afterwards, by several processes and without the packages' own tests: pip takes twice as long.
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Memory that is given back is asked for again at once: kept, the demo's segmentation takes a sixth less time.
KEEP    = MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=1073741824
# What is compiled is kept, whatever the shell says: a test's own processes take a second less to begin, the next run's collection a third.
PYTEST  = $(KEEP) PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.PHONY: demo test coverage lint typecheck imports montage pictures bench clean lock
.DEFAULT_GOAL := help

help:
	@echo "make demo       set up, train three small models on synthetic data, explain, judge, write runs/demo/report.html"
	@echo "make test       set up, lint, type check, and pass the tests"
	@echo "make coverage | lint | typecheck | imports | montage | pictures | bench | lock | clean"

$(READY): requirements.lock requirements-peers.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -r requirements.lock
	$(INSTALL) --no-deps -r requirements-peers.lock
	$(INSTALL) --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q -j $(JOBS) -x '/tests?/' $(VENV)/lib > $(VENV)/compiled.log 2>&1 || true  # some are templates
	@touch $@

# Passive waiting: two threads that spin for each other are ten times slower when anything else runs.
demo: $(READY)
	$(KEEP) OMP_WAIT_POLICY=passive $(BIN)/pellucid demo --resume --out runs/demo

# Types and imports are checked beside the tests, whose workers leave a core idle now and then; what fails is told last.
test: $(READY) lint
	@$(MAKE) --no-print-directory imports typecheck > $(VENV)/checks.log 2>&1 & checks=$$!; \
	$(PYTEST) --durations=15; tests=$$?; \
	wait $$checks; checked=$$?; cat $(VENV)/checks.log; \
	exit $$((tests != 0 ? tests : checked))

# The same with the lines that no test runs; measuring them takes a quarter more time.
coverage: $(READY)
	rm -f .coverage .coverage.*
	$(PYTEST) --cov --cov-report=term:skip-covered

lint: $(READY)
	$(BIN)/ruff check .

imports: $(READY)
	$(BIN)/lint-imports

typecheck: $(READY)
	$(BIN)/mypy

montage: $(READY)
	$(BIN)/python examples/montage.py --out build/montage

pictures: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python examples/method_pictures.py
	OMP_NUM_THREADS=1 $(BIN)/python examples/sanity_curves.py

bench: $(READY)
	$(BIN)/python -m benchmarks

lock: $(READY)
	$(BIN)/python -m pip freeze --exclude-editable | grep -vxFf requirements-peers.lock > requirements.lock

clean:
	rm -rf $(VENV) build dist runs .pytest_cache .mypy_cache .ruff_cache
