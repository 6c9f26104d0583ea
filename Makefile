# The two commands that matter: `make run` and `make test`. Both set up .venv if it is missing.

PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash

.PHONY: run compare test test-slow viz-site bench docs lint format install lock clean help

help: ## say what each target does
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: .venv/installed ## set up .venv from the lock file

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

run: install ## train the GAN on the sample data and say where to look
	$(BIN)/kedro run --pipeline=gan

compare: install ## open MLflow's comparison of the newest run of each model
	$(BIN)/kedro compare

test: install lint ## lint, check types and imports, run the tests
	$(BIN)/python -m pytest

test-slow: install ## the tests that take minutes
	$(BIN)/python -m pytest -m slow

lint: install ## ruff, mypy and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

viz-site: install ## the pipelines with all previews as a static site in build/
	rm -rf build
	@# The last run's error may name images.
	@rm -f .viz/kedro_pipeline_events.json
	$(BIN)/kedro viz build --include-previews
	@test -f build/api/main || { echo "kedro viz build failed: see above"; exit 1; }
	@# Without fonts from the network.
	@sed -i.bak '/fonts\.g/d' build/index.html && rm build/index.html.bak
	@echo "Look at it   $(BIN)/python -m http.server --bind 127.0.0.1 --directory build 8000"
	@echo "             then open http://127.0.0.1:8000"

docs: install ## write docs/parameters.md from the typed parameters
	$(BIN)/python -m cxr_pipeline.parameters.reference

bench: install ## measure speed ratios, ten minutes on a quiet machine; writes benchmarks/results.json
	$(BIN)/python benchmarks/run.py

lock: ## resolve requirements.lock anew (needs uv: https://docs.astral.sh/uv)
	uv pip compile pyproject.toml --all-extras --group dev --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --custom-compile-command "make lock" \
		--quiet --output-file requirements.lock

clean: ## remove what runs made; the sample data, .venv and MLflow's runs stay
	rm -rf data/0[2-8]_* .viz build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +
