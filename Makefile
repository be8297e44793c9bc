# Two commands do everything on a fresh Debian 12: `make run` and `make test`.

PYTHON ?= $(shell [ -x /usr/bin/python3 ] && echo /usr/bin/python3 || echo python3)
PORT ?= 8080
PROCESSES ?= 2
PYTEST ?=
VENV := .venv
BIN := $(VENV)/bin
CODE := importer tests perf deploy

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test check format soak lock vendor clean packages-run packages-test

help: ## Show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PORT=$(PORT)            where \`make run\` serves; DATA=DIR where it keeps its images"
	@echo "  PROCESSES=$(PROCESSES)          how many processes test; PYTEST='-k name' what they test"
	@echo "  SKIP_PACKAGES=1      do not look for missing Debian packages"

run: packages-run $(VENV)/run.stamp ## Start the service with two imported images, and keep serving
	@PORT=$(PORT) $(BIN)/python deploy/demo/run.py

test: packages-test $(VENV)/test.stamp $(VENV)/clients.stamp ## Set everything up, then check it as CI does
	@$(MAKE) --no-print-directory check

check: ## What CI runs, without the set-up: format, lint, types, imports, tests, benchmarks' smoke run
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/mypy
	$(BIN)/mypy deploy/demo
	$(BIN)/mypy -p deploy.monitoring
	$(BIN)/lint-imports
	$(BIN)/python -m perf --smoke
	$(BIN)/pytest -n $(PROCESSES) -m "not soak" $(PYTEST)

soak: packages-test $(VENV)/test.stamp $(VENV)/clients.stamp ## The tests that take minutes and gigabytes
	$(BIN)/pytest -m soak $(PYTEST)

format: $(VENV)/test.stamp ## Bring the code into shape
	$(BIN)/ruff format $(CODE)
	$(BIN)/ruff check --fix $(CODE)

lock: ## Renew constraints.txt with the newest versions that pyproject.toml allows
	@deploy/lock $(PYTHON)

vendor: ## Fetch and verify the libraries of the page (importer/web/vendor/lock.json); needs npm
	@deploy/vendor

clean: ## Remove what was made here; imported images stay
	rm -rf $(VENV) build .run *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis \
		.import_linter_cache tests/clients/node_modules
	find $(CODE) -name __pycache__ -prune -exec rm -rf {} +

packages-run:
	@[ -n "$(SKIP_PACKAGES)" ] || deploy/debian/install run.txt

packages-test:
	@[ -n "$(SKIP_PACKAGES)" ] || deploy/debian/install run.txt test.txt

# The stamps are older than what they were made from when that changes; then the environment is
# brought up to date. A half-made one has no stamp.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/test.stamp: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $(VENV)/run.stamp $@

# Clients of others, as npm's lock has them; nothing of theirs runs while they are installed.
$(VENV)/clients.stamp: tests/clients/package.json tests/clients/package-lock.json | $(VENV)/bin/python
	cd tests/clients && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
