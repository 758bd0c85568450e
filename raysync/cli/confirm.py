"""Asking before something is lost."""

from __future__ import annotations

import sys

import typer

from raysync.cli.output.console import confirmed, say


def ask(question: str, *, yes: bool) -> None:
    """Go on only if the user agrees. Without a terminal there is nobody to ask: exit 2."""
    if yes:
        return
    agreed = confirmed(question) if sys.stdin.isatty() else None
    if agreed is None:
        raise typer.BadParameter(
            "there is no terminal to ask on; give --yes if you mean it.", param_hint="--yes"
        )
    if not agreed:
        say("Nothing was changed.")
        raise typer.Exit(1)
