# Two commands matter: `make demo` and `make test`. Both set up everything they need in .venv first.
# Another Python: make PYTHON=python3.12

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
VENV := $(or $(TALLYSTICK_VENV),.venv)
BIN := $(VENV)/bin
PYTEST_ARGUMENTS ?= -q -n 2
SEEDS ?= 2000

.PHONY: help demo test lint format smoke lock clean python

help:
	@echo "make demo     two databases brought into agreement, start to end"
	@echo "make test     style, types, import rules and tests"
	@echo "make lint     style, types and import rules"
	@echo "make format   rewrite the source in the one style"
	@echo "make smoke    every benchmark once, small"
	@echo "make lock     choose versions anew (see CONTRIBUTING.md)"
	@echo "make clean    remove what the others made"

demo: python
	@$(PYTHON) tools/environment.py requirements.lock
	@$(BIN)/python examples/demo.py

# Every gate runs, also after one has failed: a typo should not hide what the tests have to say.
test: python
	@failed=0; $(MAKE) --no-print-directory lint || failed=1; \
	$(BIN)/python -m pytest $(PYTEST_ARGUMENTS) || failed=1; \
	if [ -f src/tallystick/testing/simulate.py ]; then \
		$(BIN)/python -m tallystick.testing.simulate --seeds $(SEEDS) || failed=1; fi; \
	exit $$failed

lint: python
	@$(PYTHON) tools/environment.py requirements-dev.lock
	@failed=0; for gate in "ruff check --output-format concise" "ruff format --check" "mypy --strict src" lint-imports; do \
		echo "$$gate"; $(BIN)/$$gate || { failed=1; echo "$$gate: failed"; }; done; exit $$failed

format: python
	@$(PYTHON) tools/environment.py requirements-dev.lock
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

smoke: python
	@$(PYTHON) tools/environment.py requirements-dev.lock
	@for script in $$(grep -ls __main__ benchmarks/*.py); do \
		echo "$$script --smoke"; $(BIN)/python "$$script" --smoke || exit 1; done

LOCK := build/lock/bin/uv pip compile pyproject.toml --universal --python-version 3.11 --group build \
	--generate-hashes --no-annotate --custom-compile-command "make lock" --upgrade --quiet

lock: python
	@[ -x build/lock/bin/uv ] || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install --quiet uv; }
	$(LOCK) --all-extras --group dev --output-file requirements-dev.lock
	$(LOCK) --constraints requirements-dev.lock --output-file requirements.lock

clean:
	rm -rf .venv build dist demo-data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests benchmarks examples tools -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

python:
	@[ -n "$(PYTHON)" ] || { echo "Tallystick needs Python 3.11 or newer, and none is on the path."; exit 1; }
