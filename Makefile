# Every target works on a machine that has only Python >= 3.11 and make.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.filled
DEMO_ARGS ?=
TEST_ARGS ?= --numprocesses 2 --dist worksteal

.PHONY: venv demo test check coverage bench peers clean
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

# What the tests against equipment software of other people need beside Python; without it they skip.
peers: venv
	# An independent reader of Sparkplug B; what it says of paho-mqtt concerns its client, which is not used.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps pysparkplug==0.6.1
	@if [ -f /usr/include/modbus/modbus.h ]; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq gcc libmodbus-dev >/dev/null; \
	else echo "libmodbus is missing: install libmodbus-dev (Debian) as root"; fi
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
	else echo "Chromium is missing: install chromium (Debian) as root"; fi
	@if command -v npm >/dev/null; then npm ci --prefix tests/peers/opcua --ignore-scripts --no-audit --no-fund --silent; \
	else echo "npm is missing: install Node.js 18 or newer"; fi

coverage: venv
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest tests/gateway/dispatch tests/gateway/devices -q
	$(BIN)/python -m coverage report

bench: venv
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) build dist *.egg-info
