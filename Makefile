# Two commands are all a newcomer needs: `make demo` and `make test`. Each sets up what it lacks.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# The clouds' own command lines, for the tests of native sessions: in an environment of their own.
CLIENTS := .venv-clients
CLIENTS_STAMP := $(CLIENTS)/.installed
# Two test processes, a file never split between them: much of the suite waits for programs to start.
PYTEST ?= -q -n 2 --dist loadfile

.PHONY: help demo test test-openstack lint bench setup lock clean

help:
	@echo "make demo   set up, then run the whole of Crossway in one terminal until Ctrl-C"
	@echo "make test   set up, then pass every test (installs Debian packages when it may)"
	@echo "make test-openstack   run a whole OpenStack from Debian's packages and pass the stories at it (root)"
	@echo "make lint   ruff and mypy"
	@echo "make bench  every benchmark, one JSON object a line"
	@echo "make lock   resolve requirements.lock again"

$(STAMP): requirements.lock pyproject.toml
	@.ci/setup-python $(VENV)
	@touch $@

$(CLIENTS_STAMP): requirements-clients.lock $(STAMP)
	@.ci/setup-clients $(CLIENTS) $(VENV)/bin/uv
	@touch $@

setup: $(STAMP)

demo: $(STAMP)
	@.ci/setup-system demo
	@$(VENV)/bin/crossway demo $(DEMO)

test: $(STAMP) $(CLIENTS_STAMP)
	@.ci/setup-system test
	@$(PYTHON) -m pytest $(PYTEST)

# One process, because there is one cloud; stories at it wait for builds, so each may take its time.
test-openstack: $(STAMP) $(CLIENTS_STAMP)
	@.ci/setup-system openstack
	@$(PYTHON) -m pytest -v --timeout 900 --durations 15 $(OPENSTACK) tests/openstack

lint: $(STAMP)
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(STAMP)
	@.ci/setup-system bench
	@failed=0; for module in tests/bench/*.py; do name=$$(basename $$module .py); \
		$(PYTHON) -m tests.bench.$$name --json $$([ $$name = orders_chaos ] && echo --quick) || failed=1; done; exit $$failed

# Hashes, but no addresses: whoever installs chooses the index.
lock:
	$(VENV)/bin/uv pip compile pyproject.toml --all-extras --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --python-version 3.11 -o requirements.lock
	$(VENV)/bin/uv pip compile requirements-clients.in --generate-hashes --no-emit-index-url --no-header \
		--no-annotate --python-version 3.11 -o requirements-clients.lock

clean:
	rm -rf $(VENV) $(CLIENTS) var dist .mypy_cache .ruff_cache .pytest_cache
