# Every target works on a machine that has only Python >= 3.11 and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.filled
DEMO_ARGS ?=
TEST_ARGS ?= --numprocesses 2 --dist worksteal

.PHONY: venv demo test check coverage bench clean
venv: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "stellwerk needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $(STAMP)

demo: venv
	$(BIN)/stellwerk demo $(DEMO_ARGS)

test: venv
	$(BIN)/python -m pytest $(TEST_ARGS)

check: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: venv
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest tests/gateway/dispatch tests/gateway/devices -q
	$(BIN)/python -m coverage report

bench: venv
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) build dist *.egg-info
