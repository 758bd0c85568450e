"""Checks of command lines that run elsewhere: on a cluster, or by a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from raysync.models.secret_texts import has_password, looks_like_token


def refuse_secrets(words: Sequence[str]) -> None:
    """Refuse a secret among *words*, which others will see. The error does not repeat it."""
    if any(looks_like_token(word) for word in words):
        raise typer.BadParameter(
            "The command contains what looks like a bot token, and other users can see the "
            "command. Reset the token in Discord's Developer Portal, and give it to "
            "`raysync tenant add --token-env`."
        )
    if any(has_password(word) for word in words):
        raise typer.BadParameter(
            "The command contains a URL with a password, and other users can see the command. Set "
            "it in an environment variable where the command runs."
        )


def parse_command(root: typer.Context, words: Sequence[str]) -> dict[str, Any]:
    """Parse *words* as `raysync` would elsewhere, and return the parameters by name.

    Raises:
        typer.BadParameter and other usage errors: as the command itself does.
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
