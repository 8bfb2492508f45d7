# make compare   the main job on real handwritten digits
# make test      everything CI checks
# make quick     the tests that a change touches
# make bench     our parts beside their peers
# make site      the documentation, in docs/_build/html; make site-serve shows it on http://127.0.0.1:8000
# One thread a process: the tests and benchmarks run side by side.
export OMP_NUM_THREADS = 1
PYTHON ?= python3
BIN = .venv/bin

.PHONY: compare test quick bench evidence readme site site-serve comparisons screenshots clean

compare: .venv/user
	$(BIN)/replica compare recall

test: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/lint-imports
	@echo "Types are checked beside the tests."
	@$(BIN)/mypy & types=$$!; $(BIN)/pytest -n 3 --dist worksteal --growth; tests=$$?; wait $$types && exit $$tests

# What differs from main, or from the last commit on main itself.
quick: .venv/dev
	$(BIN)/ruff check
	@touched=$$($(BIN)/python -m tests.changed) && echo "$${touched:-Nothing is touched.}" && { [ -z "$$touched" ] || $(BIN)/pytest $$touched; }

bench: .venv/bench
	$(BIN)/python -m benchmarks

.venv/bench: .venv/user
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[bench]"
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps "spikingjelly>=2"
	@touch $@

# Measure the claims of every built paper again and record them; one claim after the other, on both cores.
evidence: .venv/user
	$(BIN)/replica verify $$($(BIN)/replica papers --status built --json | $(BIN)/python -c "import json, sys; print(*(p['slug'] for p in json.load(sys.stdin)))") --record

.venv/user: pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "Replica needs Python 3.11 or later: make PYTHON=python3.11 ..."; exit 2; }
	$(PYTHON) -m venv .venv
	@echo "Installing (PyTorch is large: a few minutes) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

.venv/dev: .venv/user
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev,ray,track,tables,photographs]"
	@touch $@

# The README's output and verdicts, made anew.
readme: .venv/user
	$(BIN)/python docs/readme.py

# The site: pages made from catalogue, evidence and recorded comparisons, built by Sphinx without a warning.
site: .venv/docs
	$(BIN)/python -m docs.generate

site-serve: site
	$(BIN)/python -m http.server 8000 --bind 127.0.0.1 --directory docs/_build/html

.venv/docs: .venv/user
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[docs]"
	@touch $@

# Each problem's default comparison, run here and recorded for the site (some minutes).
comparisons: .venv/user
	$(BIN)/python -m docs.comparisons
	$(BIN)/python -m docs.recall_map
	$(BIN)/python -m docs.events_map

# The README's screenshots of the report and the site (needs Chromium).
screenshots: .venv/dev site
	$(BIN)/python -m docs.screenshots

clean:
	rm -rf docs/_build .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache benchmarks/results
