# Every habit of the project. `make help` lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
PORT ?= 8888
BIN := .venv/bin
DATA := data

.DEFAULT_GOAL := help
.PHONY: help install install-monitoring serve test test-servers test-examples test-fast coverage stop check faults faults-quick bench bench-quick vendor screenshots lock audit clean

help:  ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: .venv/.installed  ## Make .venv with the service, its command `kinto`, tests and checks

.venv/.installed: requirements-dev.txt requirements.in pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --config-settings editable_mode=compat --editable .
	@touch $@

install-monitoring:  ## Add New Relic's agent, the one monitoring that requirements.txt does not bring
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'newrelic>=14.1'

$(DATA)/secret:
	@mkdir -p $(DATA)
	@umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > $@

# Anyone may sign up, whoever has an account may create buckets. A variable that is already set wins.
serve: export KINTO_STORAGE_URL ?= sqlite:///$(CURDIR)/$(DATA)/kinto.sqlite
serve: export KINTO_INCLUDES ?= kinto.plugins.accounts kinto.plugins.default_bucket kinto.plugins.history kinto.plugins.admin
serve: export MULTIAUTH_POLICIES ?= account
serve: export MULTIAUTH_POLICY_ACCOUNT_USE ?= kinto.plugins.accounts.AccountsPolicy
serve: export KINTO_ACCOUNT_CREATE_PRINCIPALS ?= system.Everyone
serve: export KINTO_BUCKET_CREATE_PRINCIPALS ?= system.Authenticated
serve: export KINTO_USERID_HMAC_SECRET ?= $(shell cat $(DATA)/secret 2>/dev/null)
serve: export KINTO_DEFAULT_BUCKET_HMAC_SECRET ?= $(shell cat $(DATA)/secret 2>/dev/null)
serve: install $(DATA)/secret  ## Serve http://127.0.0.1:8888/v1/ from an embedded database (PORT=8888)
	@echo "Open http://127.0.0.1:$(PORT)/v1/admin/ in a browser."
	$(BIN)/gunicorn wsgi:app --bind 127.0.0.1:$(PORT)

# Three workers for two cores: many tests wait for servers. A worker that has none left takes over tests of another.
# The many processes that the tests start would compile every module anew.
test test-servers: export PYTHONDONTWRITEBYTECODE :=
test: install  ## Run all tests but those of test-servers, or those of T (T=tests/api/test_batch.py)
	$(BIN)/pytest -n 3 --dist worksteal $(or $(T),tests $(addprefix --ignore=,$(SERVERS)))

# These wait for servers and browsers more than they compute.
SERVERS := tests/deploy tests/production tests/clients tests/console tests/faults tests/test_bench.py

test-servers: install  ## Run the tests with other servers, clients and browsers, and with broken ones
	$(BIN)/pytest -n 3 --dist worksteal $(SERVERS)

test-examples: export KINTO_TEST_EXAMPLES := all
test-examples: install  ## Run the tests that draw their examples, with three times as many as `make test`
	$(BIN)/pytest -n 3 --dist worksteal -m hypothesis $(addprefix --ignore=,$(SERVERS)) tests

test-fast: install  ## Run the tests that need no server and no database
	$(BIN)/pytest -q tests/rules tests/test_architecture.py tests/test_documentation.py tests/test_settings_doc.py

coverage: install  ## Run rules, API, plugins and dumps without PostgreSQL; print what of app/ they leave out, 3 % at most
	$(BIN)/coverage erase
	KINTO_TEST_EXAMPLES=all COVERAGE_PROCESS_START=pyproject.toml $(BIN)/coverage run -m pytest -q -k "not postgresql" tests/rules tests/api tests/plugins tests/test_dumps.py
	$(BIN)/coverage combine -q
	$(BIN)/coverage report --include 'app/*' --fail-under 97

stop: install  ## End the PostgreSQL server that an interrupted run of the tests left
	$(BIN)/python -m tests.support.stop

CONSOLE := blueprints/plugins/admin/console

check: install  ## Lint, format and types; the syntax of the console where Node.js is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@! command -v node >/dev/null || for file in $$(find $(CONSOLE) -name '*.js'); do \
	    node --check --input-type=module < $$file || { echo "$$file"; exit 1; }; done

faults: install  ## Break servers, databases, caches and clocks under load, and compare; print a table (SECONDS=6 for each)
	$(BIN)/python -m tests.faults --seconds $(SECONDS)

faults-quick: install  ## The same for a second each, on PostgreSQL; on SQLite what concerns its file
	$(BIN)/python -m tests.faults --seconds 1 --database postgresql
	$(BIN)/python -m tests.faults --seconds 1 --database sqlite --only file --only disk

SECONDS := 6

bench: install  ## Measure what requests cost and how costs grow; write docs/performance.md (BENCH_KINTO=1: beside Kinto 26.5)
	$(BIN)/python -m tests.bench gunicorn granian --write
	$(BIN)/python -m tests.bench growth --write

bench-quick: install  ## The servers on less data, in two minutes; nothing is written
	$(BIN)/python -m tests.bench gunicorn granian --records 1000 --seconds 0.2 --rounds 1

vendor:  ## Bundle the libraries of the console from npm by the hashes in vendor/ (CHECK=--check: compare only)
	cd vendor && npm ci --ignore-scripts --no-audit --no-fund --silent && node build.mjs $(CHECK)

screenshots: install  ## Draw the pictures of the console in docs/ anew
	$(BIN)/python -m tests.console.screenshots

lock: install  ## Pin what requirements*.in ask for: one resolution for both files
	$(BIN)/uv pip compile $(LOCK) requirements-dev.in -o requirements-dev.txt
	$(BIN)/uv pip compile $(LOCK) -c requirements-dev.txt requirements.in -o requirements.txt

LOCK := --quiet --upgrade --python-version 3.11 --no-annotate --no-emit-index-url --custom-compile-command "make lock"

audit: install  ## Look the pinned packages up among known vulnerabilities (needs the network)
	$(BIN)/pip-audit --disable-pip --no-deps -r requirements.txt

clean:  ## Remove what the other targets made, the embedded database apart
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage* build *.egg-info
