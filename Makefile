# The commands of this project. `make demo` and `make test` are all a newcomer needs; each makes .venv itself.
# Needs python3 (3.11 or later) with venv, and make.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.DEFAULT_GOAL := help

# The tests start hundreds of processes. Without bytecode on the disk each of them would compile everything anew, which
# takes longer than the rest of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo run test test-pure test-broker test-operators test-whole check lint types interop containers e2e alerts bench soak fuzz lock schemas words vectors clean

help: ## Show the commands.
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

$(READY): requirements/dev.txt pyproject.toml
	@echo "Making $(VENV) (once, about a minute) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(READY)

demo: $(READY) ## Four States exchange a sealed request; then everything is killed and nothing is lost.
	@$(BIN)/python deploy/demo.py

run: $(READY) ## Leave a broker running with the demo's directory, to play with.
	@$(BIN)/python deploy/demo.py --stay

test: $(READY) ## The tests; no node, no browser.
	@$(MAKE) --no-print-directory -j4 $(if $(filter output-sync,$(.FEATURES)),-Otarget) test-pure test-broker test-operators test-whole

# Side by side on two cores: what computes, what waits for a broker, what operators do at one, and what starts and kills
# whole exchanges.
OPERATORS := $(addprefix tests/broker/,console observe test_backup.py test_commands.py test_doctor.py test_gather.py \
  test_holds.py test_orders.py test_orders_of_evidence.py)

test-pure: $(READY)
	@$(BIN)/python -m pytest -q tests/schemas tests/clients tests/surface tests/broker/log

test-broker: $(READY)
	@$(BIN)/python -m pytest -q $(addprefix --ignore=,tests/broker/log $(OPERATORS)) tests/broker

test-operators: $(READY)
	@$(BIN)/python -m pytest -q $(OPERATORS)

test-whole: $(READY)
	@$(BIN)/python -m pytest -q tests/journey tests/faults tests/attacks tests/contract tests/transcripts

check: lint types test ## What every change must pass: lint, types, tests.

lint: $(READY)
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

types: $(READY)
	@$(BIN)/mypy
	@$(BIN)/mypy tests/examples.py clients/examples/send.py clients/examples/receive.py
	@for system in win32 darwin; do $(BIN)/mypy --platform $$system -p valija -p valija_schemas || exit 1; done

interop: $(READY) tests/interop/node_modules/.ready ## Other people's vectors and implementations (needs node).
	@$(BIN)/python -m pytest -q -o "norecursedirs=.* node_modules" tests/interop

tests/interop/node_modules/.ready: tests/interop/package-lock.json
	@cd tests/interop && npm ci --silent --no-fund --no-audit
	@touch $@

alerts: $(READY) ## Alert rules and the dashboard, with a real Prometheus (Debian: prometheus) beside a broker.
	@$(BIN)/python -m pytest -q -o "norecursedirs=.*" tests/alerts

bench: $(READY) ## Measure, some minutes; ONLY=log chooses, LONG=1 takes the sizes of the page, WRITE=1 writes it.
	@PYTHONPATH=tests:deploy $(BIN)/python -m bench --only "$(ONLY)" $(if $(LONG),--long) $(if $(WRITE),--write)

# Long and on purpose: kills, faults and steady load. SECONDS is the length of each; ONLY chooses, as pytest's -k does.
soak: $(READY) ## The long tests, an hour each; a trial is `make soak SECONDS=60`.
	@PYTHONPATH=tests:deploy $(BIN)/python -m soak --seconds $(or $(SECONDS),3600) --only "$(ONLY)"

fuzz: .venv-fuzz/.ready ## Schemathesis against a broker, from schemas/openapi; EXAMPLES=500 makes more of each.
	@VALIJA_FUZZ_EXAMPLES=$(or $(EXAMPLES),15) .venv-fuzz/bin/python -m pytest -q -o "norecursedirs=.*" tests/fuzz

.venv-fuzz/.ready: requirements/fuzz.txt pyproject.toml
	@$(PYTHON) -m venv .venv-fuzz
	@.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

containers: $(READY) tests/interop/node_modules/.ready .venv-containers/.ready ## What deploy/ says, run and read by others (needs node).
	@$(BIN)/python -m pytest -q -o "norecursedirs=.*" tests/containers

e2e: .venv-e2e/.ready ## The console in a real browser (needs Debian's chromium); WRITE=1 renews the screenshots of the docs.
	@VALIJA_SCREENSHOTS=$(WRITE) .venv-e2e/bin/python -m pytest -q -o "norecursedirs=.*" tests/e2e

.venv-e2e/.ready: requirements/e2e.txt pyproject.toml
	@$(PYTHON) -m venv .venv-e2e
	@.venv-e2e/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/e2e.txt
	@.venv-e2e/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv-containers/.ready: requirements/containers.txt
	@$(PYTHON) -m venv .venv-containers
	@.venv-containers/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/containers.txt
	@touch $@

schemas: $(READY) ## Write schemas/json, types and openapi again from the code, and clients/AMERICAS.md.
	@$(BIN)/python -m valija_schemas.documents
	@$(BIN)/python -m valija_broker.openapi
	@$(BIN)/python -m valija.registry.americas > clients/AMERICAS.md

words: $(READY) ## Write the catalogs of translations again from what is to be said.
	@PYTHONPATH=tests $(BIN)/python -m words

vectors: $(READY) ## Write schemas/vectors again; DRAW=1 draws anew what is recorded, EXAMPLE=1 the worked example.
	@PYTHONPATH=tests $(BIN)/python -m vectors $(if $(DRAW),--draw)
	@$(if $(EXAMPLE),PYTHONPATH=tests $(BIN)/python -m vectors.example)

lock: ## Write requirements/ again (needs uv).
	@for extra in dev client; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header --no-config $$( [ $$extra = dev ] && echo "--all-extras --group dev" ) \
	    pyproject.toml --output-file requirements/$$extra.txt; done
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header --no-config --extra broker --extra embedded pyproject.toml --output-file requirements/broker.txt
	@for group in build containers; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header --no-config --constraint requirements/dev.txt --group $$group --output-file requirements/$$group.txt; done
	@for group in e2e fuzz; do \
	  uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	    --no-header --no-config --all-extras --group dev --group $$group --constraint requirements/dev.txt \
	    pyproject.toml --output-file requirements/$$group.txt; done

clean: ## Remove what the other commands made.
	@rm -rf $(VENV) .venv-fuzz .venv-containers .venv-e2e .demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/interop/node_modules
