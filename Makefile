# Two commands for a newcomer: make demo, make test. Both set up .venv by themselves.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 4

# A new clone is compiled once, and not by each of the many processes that a test starts.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test sweep bench lint clean notebooks

demo: $(VENV)/.installed
	$(BIN)/pantheon-runbook demo

test: $(VENV)/.installed lint
	$(BIN)/pytest -q -n $(WORKERS) --dist loadgroup -m "not rare" --nbval runbooks tests

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

sweep: $(VENV)/.installed
	PANTHEON_SWEEP=full $(BIN)/pytest -q -n $(WORKERS) -m "sweep or rare or alike" tests

bench: $(VENV)/.installed
	$(BIN)/python tests/bench/bench.py

notebooks: $(VENV)/.installed
	$(BIN)/python tests/store_outputs.py

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[sandbox,test]'
	touch $@

clean:
	rm -rf $(VENV) .pantheon build *.egg-info
