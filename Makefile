.DEFAULT_GOAL := help
.PHONY: help check lint format types contracts audit test slow bench demo docs constraints wheel

help:  ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

check: lint types contracts audit test  ## Everything: format, lint, types, import contracts, audit, tests

lint:  ## Formatting and lint, changing nothing
	uv run ruff format --check
	uv run ruff check

format:  ## Put the formatting right, and what lint can mend
	uv run ruff format
	uv run ruff check --fix

types:  ## mypy --strict
	uv run mypy

contracts:  ## The layers of docs/architecture.md, by import-linter
	uv run lint-imports

audit:  ## Known vulnerabilities of the pinned versions, where the service can be reached
	uv run python .ci/audit.py

test:  ## The tests
	uv run pytest

slow:  ## The tests that take minutes
	uv run pytest -m slow

bench:  ## The benchmarks; they print figures and assert none
	uv run pytest -m bench -s

demo:  ## The demo: an emulated guild, synced before your eyes
	uv run raysync demo

docs:  ## Generate the command reference of docs/cli.md
	uv run python -m tests.command_reference

constraints:  ## Resolve anew and pin what comes out
	uv run python .ci/constraints.py

wheel:  ## Build the wheel into dist/
	uv build --wheel
