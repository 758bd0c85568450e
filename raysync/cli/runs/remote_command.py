"""Command lines that are checked here and run elsewhere: by a cluster, or by a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from raysync.models.secret_texts import has_password, looks_like_token


def refuse_secrets(words: Sequence[str]) -> None:
    """Refuse a secret among *words*, which others will see. Nothing of it is repeated."""
    if any(looks_like_token(word) for word in words):
        raise typer.BadParameter(
            "One of the words after the options looks like a bot token, and all of them are shown "
            "to others: reset it in Discord's Developer Portal, and name it by "
            "`raysync tenant add --token-env`."
        )
    if any(has_password(word) for word in words):
        raise typer.BadParameter(
            "One of the words after the options is an address with a password, and all of them "
            "are shown to others: give it by an environment variable where the command runs."
        )


def checked(root: typer.Context, words: Sequence[str]) -> dict[str, Any]:
    """Refuse here what `raysync` with *words* would refuse there; its parameters, by name.

    Raises:
        typer.BadParameter and others of the command line: as the command itself does.
    """
    context = root.find_root()
    group: Any = context.command
    rest = list(words)
    while True:
        name, command, rest = group.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
        if not hasattr(command, "commands"):
            return dict(context.params)
        group, rest = command, [*context._protected_args, *context.args]  # noqa: SLF001
