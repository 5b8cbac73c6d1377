# Commands for those who change the code: `make help`. They use the virtual environment in .venv if there is one.
VENV ?= .venv
CONSTRAINTS ?= constraints.txt
FOLDER ?= ../pocket
# the parts of the slow tier, and where their tests are
PART ?= faults walks benchmarks others
faults = tests/faults
walks = tests/project/test_guide.py tests/project/test_readme.py
benchmarks = tests/project/test_benchmarks.py
others = tests/commands tests/pipeline tests/stages tests/project/test_launchers.py tests/project/test_project.py
BENCHMARKS = augment coverage dag everyday growth memory precision predict rates search store teachers train scaling packing
export PATH := $(abspath $(VENV))/bin:$(PATH)

.PHONY: help setup lint types test middle slow pocket smoke bench docs versions clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 10

setup: ## make .venv with everything that is needed to change the code (6 GB)
	python3 -m venv $(VENV) && . $(VENV)/bin/activate && pip install -q -c $(CONSTRAINTS) '.[dev]'

lint: ## check the style
	python -m ruff check . && python -m ruff format --check .

types: ## check the types of stages/, commands/ and tools/
	python -m mypy

test: ## run the quick tier of the tests
	python -m pytest

middle: ## run the middle tier of the tests
	python -m pytest -m middle

slow: ## run the slow tier of the tests; one part of it: make slow PART=faults
	python -m pytest -n 0 -m slow $(foreach part,$(PART),$($(part)))

pocket: ## run the pipeline in a pocket-sized copy at FOLDER (a minute or two of CPU)
	python -m tools.pocket $(FOLDER) && cd $(FOLDER) && dvc repro

smoke: ## run the pipeline at the scale smoke (four minutes on two cores)
	python -m commands.scale smoke && dvc repro

bench: ## run the quick version of every benchmark
	set -e; for name in $(BENCHMARKS); do python -m benchmarks.$$name --quick; done

docs: ## generate the page of parameters and the tables of benchmarks
	python -m tools.params_page --write && python -m benchmarks.page

versions: ## write the newest versions into constraints.txt; then test them (6 GB for a while)
	$(MAKE) setup VENV=.venv-newest CONSTRAINTS=/dev/null
	.venv-newest/bin/python -m tools.constraints --write && rm -r .venv-newest

clean: ## remove what tools leave behind; data, metrics, plots and .venv stay
	rm -rf build dvc_plots *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './.venv/*' -prune -exec rm -rf {} +
