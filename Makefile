# Commands for those who change the code: `make help`. They use the virtual environment in .venv if there is one.
VENV ?= .venv
FOLDER ?= ../pocket
BENCHMARKS = augment dag everyday growth precision rates search store train scaling packing
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: help setup lint types test pocket smoke bench docs clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

setup: ## make .venv with everything that is needed to change the code (6 GB)
	python3 -m venv $(VENV) && . $(VENV)/bin/activate && pip install -q '.[dev]'

lint: ## check the style, and dvc.yaml's code dependencies against the imports
	python -m ruff check . && python -m ruff format --check . && python -m tools.dag --check

types: ## check the types of stages/, commands/ and tools/
	python -m mypy

test: ## run the quick tests (python -m pytest -m slow runs the other ones)
	python -m pytest

pocket: ## run the pipeline in a pocket-sized copy at FOLDER (a minute or two of CPU)
	python -m tools.pocket $(FOLDER) && cd $(FOLDER) && dvc repro

smoke: ## run the pipeline at the scale smoke (five minutes on two cores)
	python -m commands.scale smoke && dvc repro

bench: ## run the quick version of every benchmark
	set -e; for name in $(BENCHMARKS); do python -m benchmarks.$$name --quick; done

docs: ## generate the page of parameters and the tables of benchmarks
	python -m tools.params_page --write && python -m benchmarks.page

clean: ## remove what tools leave behind; data, metrics, plots and .venv stay
	rm -rf build dvc_plots *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
