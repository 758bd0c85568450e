"""Plan of an emulator: the guilds, tokens, limits and faults that it serves."""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from raysync.cli.emulator.options import MissingChoice, Preset

if TYPE_CHECKING:
    from raysync.emulator import FaultRule, Guild, Latency, Limits, Quirks


@dataclass(frozen=True, slots=True)
class EmulatorPlan:
    """Content and address of an emulator."""

    guilds: "list[Guild]"
    tokens: list[str]
    limits: "Limits"
    quirks: "Quirks"
    faults: list["FaultRule"]
    latency: "Latency | None"
    host: str
    port: int
    ready_file: Path | None

    @property
    def bots(self) -> list[tuple[str, list[int]]]:
        """Each token with the ids of the guilds that its bot is in."""
        ids = [guild.id for guild in self.guilds]
        if len(self.tokens) == 1:
            return [(self.tokens[0], ids)]
        return [(token, [guild_id]) for token, guild_id in zip(self.tokens, ids, strict=True)]


@dataclass(frozen=True, slots=True)
class GuildSource:
    """Source of the guilds: a corpus file, or a generated preset."""

    corpus: Path | None
    preset: Preset
    messages: int | None
    channels: int | None
    seed: int

    def guilds(self, count: int, given_ids: list[int] | None) -> "list[Guild]":
        """Return *count* guilds, with the ids that were given, in order."""
        ids = _guild_ids(given_ids, count)
        if self.corpus is not None and count > 1:
            raise typer.BadParameter(
                "a corpus is one guild. Leave out --guilds.", param_hint="--guilds"
            )
        return [self._guild(self.seed + number, ids[number]) for number in range(count)]

    def _guild(self, seed: int, guild_id: int | None) -> "Guild":
        from raysync.emulator import GuildSpec, generate_guild, load_corpus

        if self.channels is not None and (self.corpus or self.preset is not Preset.UNIFORM):
            raise typer.BadParameter("--channels needs --preset uniform. Give it, too.")
        if self.corpus is not None:
            if self.messages is not None:
                raise typer.BadParameter("--messages does not go with --corpus. Leave one out.")
            if not self.corpus.is_file():
                raise typer.BadParameter(f"no such file: {self.corpus}", param_hint="--corpus")
            return load_corpus(self.corpus, guild_id=guild_id)
        match self.preset:
            case Preset.TINY:
                spec = GuildSpec.tiny(self.messages or 300)
            case Preset.LIVELY:
                spec = GuildSpec.lively(self.messages or 40_000)
            case Preset.UNIFORM:
                count = self.channels or 100
                spec = GuildSpec.uniform(count, (self.messages or 1_500 * count) // count)
        return generate_guild(spec, seed, guild_id=guild_id)


def _guild_ids(given: list[int] | None, guilds: int) -> list[int | None]:
    """Return an id for each guild, or None for a generated one."""
    ids: list[int | None] = [*(given or ())]
    if len(ids) > guilds or len(set(ids)) < len(ids):
        raise typer.BadParameter(
            "give it at most once per guild, and each id only once", param_hint="--guild-id"
        )
    return ids + [None] * (guilds - len(ids))


def bot_tokens(given: list[str] | None, guilds: int) -> list[str]:
    """Return one token for all guilds, or one for each."""
    tokens = given or [secrets.token_urlsafe(24)]
    if len(tokens) not in (1, guilds) or len(set(tokens)) < len(tokens):
        raise typer.BadParameter(
            f"give it once, or once for each of the {guilds} guilds, and each token only once",
            param_hint="--token",
        )
    return tokens


def quirks(missing: Sequence[str], form: MissingChoice) -> "Quirks":
    """Return the quirks of a server that lacks the *missing* routes."""
    from raysync.emulator import MissingForm, Quirks, route_names

    unknown = sorted(set(missing) - route_names())
    if unknown:
        raise typer.BadParameter(f"no such route: {unknown[0]}", param_hint="--missing-route")
    return Quirks(missing_routes=tuple(missing), missing_form=MissingForm(form))


def fault_rules(path: Path | None) -> "list[FaultRule]":
    """Return the fault rules in a JSON file."""
    from raysync.emulator import FaultRule

    if path is None:
        return []
    try:
        return [FaultRule.from_json(rule) for rule in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--faults") from None
