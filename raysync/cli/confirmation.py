"""Confirmation by the user before something is lost."""

from __future__ import annotations

import sys

import typer

from raysync.cli.output.console import ask_yes_or_no, say


def require_confirmation(question: str, *, yes: bool) -> None:
    """Return only if the user agrees. Without a terminal nobody can be asked: exit 2."""
    if yes:
        return
    agreed = ask_yes_or_no(question) if sys.stdin.isatty() else None
    if agreed is None:
        raise typer.BadParameter(
            "there is no terminal to ask on. Give --yes to go ahead without a question.",
            param_hint="--yes",
        )
    if not agreed:
        say("Nothing was changed.")
        raise typer.Exit(1)
