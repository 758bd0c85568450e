.DEFAULT_GOAL := help
.PHONY: help check lint format types contracts audit test slow newest-ray bench demo docs constraints wheel

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

check: lint types contracts audit test  ## Check everything: format, lint, types, import contracts, audit, tests

lint:  ## Check formatting and lint
	uv run ruff format --check
	uv run ruff check

format:  ## Fix the formatting, and what ruff can fix
	uv run ruff format
	uv run ruff check --fix

types:  ## Run mypy --strict
	uv run mypy

contracts:  ## Check the layers of docs/architecture.md with import-linter
	uv run lint-imports

audit:  ## Look up known vulnerabilities of the pinned versions, where the service can be reached
	uv run python .ci/audit.py

test:  ## Run the tests
	uv run pytest

slow:  ## Run the tests that take minutes
	uv run pytest -m slow

newest-ray:  ## Run the cluster tests on the newest published Ray, which may fail
	.ci/newest-ray

bench:  ## Run the benchmarks; they print figures and assert none
	uv run pytest -m bench -s

demo:  ## Run the demo: sync an emulated guild
	uv run raysync demo

docs:  ## Generate the command reference of docs/cli.md
	uv run python -m tests.command_reference

constraints:  ## Resolve the dependencies again and pin them
	uv run python .ci/constraints.py

wheel:  ## Build the wheel into dist/
	uv build --wheel
