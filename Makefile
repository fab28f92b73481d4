# `make help` lists the targets. Everything happens in .venv, which is made and kept up to date by stamps.

ARGS ?=
VENV := .venv
PY := $(VENV)/bin/python
GRAPHIQL := web/graphiql

# The first Python of at least 3.11 that can really make a virtual environment (version managers leave dead shims).
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	&& echo $$python && break; done)

.DEFAULT_GOAL := help
.PHONY: help run test check format schema lock bench web clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

run: $(VENV)/.runtime ## serve on http://localhost:8000 (ARGS="worker", "check", ... for another command)
	@$(MAKE) --no-print-directory $(GRAPHIQL)/dist/.built 2>/dev/null || true
	@exec $(PY) main.py $(or $(ARGS),serve)

test: $(VENV)/.dev ## run the tests (ARGS="tests/unit -k name")
	@$(MAKE) -s $(GRAPHIQL)/dist/.built >&2 || true
	$(if $(strip $(ARGS)),$(PY) -m pytest $(COVER) $(ARGS),$(ALL_TESTS))

# All of them, in two halves at once: much of a test's time is waiting for other processes. The integration tests have
# their say when the others have had theirs.
ALL_TESTS = @echo "Two halves at once: tests/integration beside the others, told at the end."; \
	COVERAGE_FILE=.coverage.integration $(PY) -m pytest $(COVER) tests/integration >$(VENV)/integration.log 2>&1 & \
	COVERAGE_FILE=.coverage.others $(PY) -m pytest $(COVER) tests/chaos tests/contract tests/e2e tests/unit; others=$$?; \
	wait $$!; integration=$$?; cat $(VENV)/integration.log; exit $$((others + integration))

check: $(VENV)/.dev ## format, lint, types, layers, schema, tests with coverage: what CI runs
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m mypy .
	PYTHONPATH=. $(VENV)/bin/lint-imports --no-logo
	$(PY) main.py schema | diff -u graph/schema.graphql -
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory test COVER="--cov --cov-report="
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report
	$(PY) -m coverage report --include='domain/*' --fail-under=100

format: $(VENV)/.dev ## format and mend what ruff can mend
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

schema: $(VENV)/.runtime ## write graph/schema.graphql anew
	$(PY) main.py schema > $(VENV)/schema.graphql
	mv $(VENV)/schema.graphql graph/schema.graphql

lock: $(VENV)/.dev ## compile requirements*.txt anew from pyproject.toml (ARGS="--upgrade" for newer versions)
	$(PY) -m uv pip compile $(LOCK_FLAGS) $(ARGS) pyproject.toml --output-file requirements.txt
	$(PY) -m uv pip compile $(LOCK_FLAGS) $(ARGS) pyproject.toml --group dev --constraint requirements.txt \
		--output-file requirements-dev.txt

# One lock for every platform and Python from 3.11 on; no address of any index is written into it.
LOCK_FLAGS := --quiet --universal --python-version 3.11 --generate-hashes --no-config --no-emit-index-url \
	--no-emit-find-links --no-emit-index-annotation --custom-compile-command "make lock"

bench: $(VENV)/.dev ## run the benchmarks (see bench/README.md)
	$(PY) -m bench $(ARGS)

web: ## build the offline GraphiQL page (needs npm)
	@rm -f $(GRAPHIQL)/dist/.built
	@$(MAKE) --no-print-directory $(GRAPHIQL)/dist/.built

clean: ## remove what was built; keeps data/ and .env
	rm -rf $(VENV) $(GRAPHIQL)/dist $(GRAPHIQL)/node_modules .coverage* .*_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "Atelier needs Python 3.11 or newer with venv (Debian: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.txt | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt | $(VENV)/bin/python
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $(VENV)/.runtime $@

# GraphiQL is a convenience: without npm, or when the build fails, the server shows a small console of its own.
$(GRAPHIQL)/dist/.built: $(wildcard $(GRAPHIQL)/*.js* $(GRAPHIQL)/index.html $(GRAPHIQL)/src/*)
	@command -v npm >/dev/null || { echo "GraphiQL not built: npm is missing; the server shows a plain console."; exit 1; }
	@cd $(GRAPHIQL) && { npm ci --no-audit --no-fund && npm run build; } >build.log 2>&1 \
		|| { echo "GraphiQL not built: see $(GRAPHIQL)/build.log; the server shows a plain console."; exit 1; }
	@touch $@
