# PromptFlow: `make run` and `make test` are all that a newcomer needs; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/sh

# The first interpreter that is new enough; PYTHON=… overrides.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
BIN := .venv/bin
SOURCES := core codegen workers server clients/python/promptflow_client tests benchmarks

.PHONY: help run test check format generate lock bench bench-codegen bench-flows setup setup-dev clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

run: setup ## set up, start everything, do the main job, serve until Ctrl-C (ONCE=1: stop after the job; PORT_BASE=n)
	@exec $(BIN)/promptflow up --demo $(if $(ONCE),--once) $(if $(PORT_BASE),--port-base $(PORT_BASE))

test: setup-dev ## set up and run every test
	@$(BIN)/promptflow models pull
	@$(BIN)/python -m pytest

check: setup-dev ## the tree is as generated, formatted and typed, and imports run one way
	@echo "check: generated files" && $(BIN)/promptflow check
	@echo "check: format and lint" && $(BIN)/ruff format --check . && $(BIN)/ruff check .
	@echo "check: mypy" && $(BIN)/mypy $(SOURCES)
	@echo "check: pyright" && $(BIN)/basedpyright
	@echo "check: imports" && $(BIN)/lint-imports

format: setup-dev ## format and fix what can be fixed
	@$(BIN)/ruff check --fix -q . ; $(BIN)/ruff format .

generate: setup ## regenerate protos, locks, stubs and the bundle from flows/
	@$(BIN)/promptflow generate

bench: setup-dev ## latency and throughput against bare grpc.aio and raw onnxruntime, as ratios in one run
	@$(BIN)/python benchmarks/bench.py

bench-codegen: setup-dev ## how long 1,000 flows take to generate and to check
	@$(BIN)/python -m benchmarks.many_flows_codegen

bench-flows: setup-dev ## a server of 1,000 flows: start and memory; a swap with 300
	@$(BIN)/python -m benchmarks.many_flows

lock: setup-dev ## resolve the dependencies again and write requirements/*.txt
	@$(BIN)/uv pip compile pyproject.toml --extra cpu --group dev $(LOCK_FLAGS) -o requirements/dev.txt
	@$(BIN)/uv pip compile pyproject.toml --extra cpu --group build -c requirements/dev.txt $(LOCK_FLAGS) -o requirements/run.txt
	@echo virtualenv | $(BIN)/uv pip compile - $(LOCK_FLAGS) -o requirements/virtualenv.txt
LOCK_FLAGS := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

setup:
	@test -n "$(PYTHON)" || { echo "PromptFlow needs Python 3.11 or newer as python3; or say make PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) requirements/install.py run

setup-dev: setup
	@$(PYTHON) requirements/install.py dev

clean: ## remove the environment and all state (runs, files, logs)
	@rm -rf .venv .promptflow .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
