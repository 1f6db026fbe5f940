# 'make' lists the targets. 'make sweep' and 'make test' need nothing but Python 3.11 or newer: they build .venv first.

PYTHON     ?= python3
VENV       ?= .venv
SWEEP      ?= sweeps/smoke.yaml
CONFIG     ?= experiments/proposed.yaml
WEIGHTS    ?= proposed
ALPHA      ?= 10
DIR        ?= runs/smoke
DEVICES    ?=
WORKERS    ?=
STORAGE    ?= sqlite:///$(DIR)/study.db
PRESET     ?= smoke
TABLE      ?= 2
BUDGET     ?= smoke
PHOTOS     ?=
VAL_PHOTOS ?=
ARGS       ?=

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
# Without a GPU, training takes the recipe for processors.
CPU   := $(if $(shell command -v nvidia-smi 2>/dev/null),,--config experiments/cpu.yaml)
DDP   := $(if $(DEVICES),--trainer.devices $(DEVICES) --trainer.strategy ddp)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup sweep nas reproduce test chaos lint format types train weights magnify report dashboard clean

help: ## List the targets and their variables
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

setup: $(STAMP) ## Build the environment in .venv

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[measure,demo,openvino,postgres,dashboard]' --group dev
	@touch $@

sweep: $(STAMP) ## Search architectures and write a report (SWEEP=sweeps/smoke.yaml WORKERS=1 per GPU ARGS=)
	$(BIN)/lightning-mm sweep $(SWEEP) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

nas: $(STAMP) ## Reproduce the paper's NAS appendix (PRESET=smoke|cpu|paper ARGS=)
	$(BIN)/lightning-mm nas appendix sweeps/presets/$(PRESET).yaml $(ARGS)

reproduce: $(STAMP) ## Train a table or figure of the paper, its numbers beside ours (TABLE=1|2|3|A1|A7|F|fig4|figA4|fig5 BUDGET=smoke|cpu|full WORKERS= ARGS=)
	$(BIN)/lightning-mm $(if $(filter A1,$(TABLE)),superres experiments/superres/$(BUDGET).yaml,reproduce experiments/tables/$(TABLE).yaml --budget experiments/budgets/$(BUDGET).yaml $(if $(WORKERS),--workers $(WORKERS))) $(ARGS)

test: $(STAMP) ## Run the tests, in a process per core (ARGS='-n 0' for one process)
	$(BIN)/python -m pytest -n auto $(ARGS)

chaos: $(STAMP) ## Kill workers of sweeps at random, ten times on each kind of database
	CHAOS_ROUNDS=10 $(BIN)/python -m pytest tests/search/test_chaos.py $(ARGS)

lint: $(STAMP) ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP) ## Mend style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## Check types
	$(BIN)/pyright --pythonpath $(BIN)/python

train: $(STAMP) ## Train a magnifier, or continue (CONFIG=experiments/proposed.yaml DEVICES=all ARGS=)
	$(BIN)/lightning-mm fit --config experiments/base.yaml --config $(CONFIG) $(CPU) $(DDP) $(ARGS)

magnify: $(STAMP) ## Magnify a clip (IN=clip.mp4 OUT=out.mp4 ALPHA=10 WEIGHTS=proposed ARGS=)
	$(BIN)/lightning-mm magnify $(IN) $(OUT) --alpha $(ALPHA) --weights $(WEIGHTS) $(ARGS)

weights: $(STAMP) ## Train the weights that ship, or train them further (PHOTOS=folder VAL_PHOTOS=folder ARGS=)
	$(BIN)/lightning-mm release $(if $(PHOTOS),--photos $(PHOTOS)) $(if $(VAL_PHOTOS),--val_photos $(VAL_PHOTOS)) $(ARGS)

report: $(STAMP) ## Write the report of a directory of runs (DIR=runs/smoke ARGS=)
	$(BIN)/lightning-mm report $(DIR) $(ARGS)

dashboard: $(STAMP) ## Browse a sweep with optuna-dashboard (DIR=runs/smoke STORAGE=sqlite:///runs/smoke/study.db ARGS=)
	$(BIN)/optuna-dashboard '$(patsubst postgresql://%,postgresql+psycopg://%,$(STORAGE))' $(ARGS)

clean: ## Remove the environment and caches; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache
	find lightning_mm tests -name __pycache__ -prune -exec rm -rf {} +
