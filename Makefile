# Gristmill. `make help` lists the targets; every one installs what it needs first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c

PYTHON ?= python3
VENV ?= .venv
OUT ?= runs
WORKERS ?= 2
TORCH_ARGS ?= torch==2.13.0
BIN := $(VENV)/bin
GRISTMILL := $(BIN)/gristmill
INSTALLED := $(VENV)/.installed
COMPILED := $(VENV)/.compiled
KERNELS := $(wildcard pipelines/kernels/*.py pipelines/*/kernels/*.py) bias_audit/matcher.py

# A misspelt variable would pass silently, and the default would run.
VARIABLES := CONFIG IN OUT WORKERS TORCH_ARGS PYTHON VENV
given := $(foreach name,$(.VARIABLES),$(if $(findstring command line,$(origin $(name))),$(name)))
unknown := $(sort $(filter-out $(VARIABLES) MAKEFLAGS MAKEOVERRIDES SHELL,$(given)))
ifneq ($(unknown),)
$(error unknown variable $(unknown): this Makefile knows $(VARIABLES))
endif

# CONFIG= and IN= (space-separated) are handed to the step; without IN= a step reads the newest run it can use.
config = $(if $(CONFIG),--config $(CONFIG),$(if $(1),--config $(1)))
inputs = $(foreach input,$(IN),--in $(input))

.PHONY: help setup demo test test-slow lint crawl prepare pretrain audit report doctor bench clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk 'BEGIN {FS = ":.*## "} {printf "  make %-10s %s\n", $$1, $$2}'
	@echo
	@echo "  Variables: CONFIG=file.toml IN=run-or-file OUT=$(OUT) WORKERS=$(WORKERS) TORCH_ARGS='$(TORCH_ARGS)'"
	@echo "             PYTHON=$(PYTHON) VENV=$(VENV)"

# Torch comes first and pinned: an unpinned torch pulls gigabytes of CUDA onto a machine without a GPU.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet $(TORCH_ARGS)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all]'
	$(BIN)/python -m pip check
	@touch $@

# Two minutes, once: else the first run, or every process of the tests, would compile them.
$(COMPILED): $(INSTALLED) $(KERNELS)
	$(BIN)/python -m pipelines.compiling
	@touch $@

setup: $(COMPILED) ## Install everything but the cloud extras into .venv

demo: $(INSTALLED) ## Crawl the demo site, prepare, pretrain two models, audit, report: about four minutes
	@bash scripts/demo.sh $(GRISTMILL) $(OUT)/demo $(WORKERS)

test: $(COMPILED) ## Run the tests in two processes; the same examples each time
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-slow: $(COMPILED) ## Run the tests that take minutes, and the property tests with many random examples
	$(BIN)/python -m pytest -m "slow or hypothesis" --hypothesis-profile=random --timeout=3600

lint: $(INSTALLED) ## Check format, lint, layers and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy

crawl: $(INSTALLED) ## Crawl the sources of CONFIG (default: Wikipedia, news, Mastodon; needs your contact address)
	$(GRISTMILL) crawl $(call config,configs/crawl/default.toml) --out $(OUT)

prepare: $(INSTALLED) ## Turn IN (default: the newest crawl) into token shards
	$(GRISTMILL) prepare $(inputs) $(call config,configs/prepare/default.toml) --out $(OUT) --workers $(WORKERS)

pretrain: $(INSTALLED) ## Pretrain a model on IN (default: the newest pack run)
	$(GRISTMILL) pretrain $(inputs) $(call config,configs/train/small-causal.toml) --out $(OUT)

audit: $(INSTALLED) ## Audit corpus, rules and models of IN (default: the newest runs)
	$(GRISTMILL) audit $(inputs) $(call config,configs/audit/default.toml) --out $(OUT)

report: $(INSTALLED) ## Write report.html for IN (default: the newest runs and what led to them)
	$(GRISTMILL) report $(IN) --runs $(OUT) --out report.html

doctor: $(INSTALLED) ## Say what is installed and what is missing
	$(GRISTMILL) doctor

bench: $(INSTALLED) ## Run the benchmarks; they compare with peers in the same run
	for file in benchmarks/*.py; do $(BIN)/python $$file; done

clean: ## Remove the virtual environment and caches (never runs)
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build dist
