"""`raysync emulator`: the Discord emulator as a program of its own."""

import asyncio
import json
import os
import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli.output.console import tell
from raysync.cli.output.hints import invocation
from raysync.cli.output.private_file import target, write_private
from raysync.cli.output.streams import keep_exit_code
from raysync.signals import call_at_end

if TYPE_CHECKING:
    from raysync.emulator import Emulator, FaultRule, Guild, Latency, Limits, Quirks

app = typer.Typer(
    help="A Discord of your own, for trials, tests and benchmarks.", no_args_is_help=True
)


class Preset(StrEnum):
    """A kind of generated guild."""

    TINY = "tiny"
    UNIFORM = "uniform"
    LIVELY = "lively"


class LimitsChoice(StrEnum):
    """Which limits hold."""

    DISCORD = "discord"
    OFF = "off"


class BucketChoice(StrEnum):
    """How a route's limit is held."""

    SLIDING = "sliding"
    FIXED = "fixed"
    SLIDING_LOG = "sliding-log"


class GlobalChoice(StrEnum):
    """How the global limit is held."""

    FIXED = "fixed"
    SLIDING = "sliding"
    LEAKY = "leaky"  #: another word for sliding
    SLIDING_LOG = "sliding-log"


class HeadersChoice(StrEnum):
    """What rate limit headers tell."""

    HONEST = "honest"
    MASKED = "masked"
    NONE = "none"


class MissingChoice(StrEnum):
    """How a server answers a route that it does not have."""

    DISCORD = "discord"
    TEXT = "text"
    HTML = "html"
    METHOD = "method"
    GONE = "gone"
    NOT_IMPLEMENTED = "not-implemented"
    BAD_REQUEST = "bad-request"
    NO_BOTS = "no-bots"


_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class _Offer:
    """What is served, and where."""

    guilds: "list[Guild]"
    tokens: list[str]
    limits: "Limits"
    quirks: "Quirks"
    faults: list["FaultRule"]
    latency: "Latency | None"
    host: str
    port: int
    ready_file: Path | None


@app.callback()
def emulator() -> None:
    """Keep `serve` a command of its own."""


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes any free one.")] = 8750,
    corpus: Annotated[Path | None, typer.Option(help="Serve the chat of a .jsonl[.gz].")] = None,
    preset: Annotated[Preset, typer.Option(help="The guild to generate.")] = Preset.TINY,
    messages: Annotated[int | None, typer.Option(help="Messages in all.")] = None,
    channels: Annotated[int | None, typer.Option(help="Channels (uniform only).")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same guild.")] = 1,
    guilds: Annotated[
        int, typer.Option(min=1, max=1_000, help="Number of guilds, with seeds of their own.")
    ] = 1,
    token: Annotated[
        list[str] | None,
        typer.Option(
            help="Token of a bot in all guilds; given once a guild: a bot each. [default: new]"
        ),
    ] = None,
    guild_id: Annotated[
        list[int] | None, typer.Option(help="Id of a guild; once a guild, in order.")
    ] = None,
    limits: Annotated[LimitsChoice, typer.Option(help="Rate limits.")] = LimitsChoice.DISCORD,
    bucket: Annotated[BucketChoice, typer.Option(help="Route limits.")] = BucketChoice.SLIDING,
    headers: Annotated[HeadersChoice, typer.Option(help="Headers.")] = HeadersChoice.HONEST,
    global_limit: Annotated[int, typer.Option(help="Requests a second, per token.")] = 50,
    global_form: Annotated[GlobalChoice, typer.Option(help="Global limit.")] = GlobalChoice.FIXED,
    latency_ms: Annotated[float, typer.Option(help="Delay of every answer.")] = 0.0,
    faults: Annotated[Path | None, typer.Option(help="JSON list of fault rules.")] = None,
    missing_route: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROUTE",
            help="Lack a route, as in 'GET /channels/{channel_id}/threads/search'; repeatable.",
        ),
    ] = None,
    missing_form: Annotated[
        MissingChoice, typer.Option(help="How a missing route is answered.")
    ] = MissingChoice.DISCORD,
    speed: Annotated[float, typer.Option(help="How much faster the limits' time runs.")] = 1.0,
    ready_file: Annotated[Path | None, typer.Option(help="Write URL and token here.")] = None,
) -> None:
    """Serve guilds over HTTP until interrupted."""
    from raysync.emulator import Form, Headers, Latency, Limits

    ids = _guild_ids(guild_id, guilds)
    if corpus is not None and guilds > 1:
        raise typer.BadParameter("a corpus is one guild", param_hint="--guilds")
    made = [
        _guild(corpus, preset, messages, channels, seed + number, ids[number])
        for number in range(guilds)
    ]
    leaky = global_form is GlobalChoice.LEAKY
    chosen_limits = Limits(
        enabled=limits is LimitsChoice.DISCORD,
        bucket_form=Form(bucket),
        headers=Headers(headers),
        global_limit=global_limit,
        global_form=Form.SLIDING if leaky else Form(global_form),
        speed=speed,
    )
    offer = _Offer(
        guilds=made,
        tokens=_tokens(token, guilds),
        limits=chosen_limits,
        quirks=_quirks(missing_route or (), missing_form),
        faults=_fault_rules(faults),
        latency=Latency(latency_ms / 1000) if latency_ms else None,
        host=host,
        port=port,
        ready_file=ready_file,
    )
    keep_exit_code()
    _run(offer)


def _guild_ids(given: list[int] | None, guilds: int) -> list[int | None]:
    """Return an id for each guild, or None for one of its own."""
    ids: list[int | None] = [*(given or ())]
    if len(ids) > guilds or len(set(ids)) < len(ids):
        raise typer.BadParameter(
            "give it at most once a guild, each another", param_hint="--guild-id"
        )
    return ids + [None] * (guilds - len(ids))


def _tokens(given: list[str] | None, guilds: int) -> list[str]:
    """Return one token for all guilds, or one for each."""
    tokens = given or [secrets.token_urlsafe(24)]
    if len(tokens) not in (1, guilds) or len(set(tokens)) < len(tokens):
        raise typer.BadParameter(
            f"give it once, or once for each of the {guilds} guilds, each another",
            param_hint="--token",
        )
    return tokens


def _guild(
    corpus: Path | None,
    preset: Preset,
    messages: int | None,
    channels: int | None,
    seed: int,
    guild_id: int | None,
) -> "Guild":
    from raysync.emulator import GuildSpec, generate_guild, load_corpus

    if channels is not None and (corpus or preset is not Preset.UNIFORM):
        raise typer.BadParameter("--channels goes with --preset uniform")
    if corpus is not None:
        if messages is not None:
            raise typer.BadParameter("--messages does not go with --corpus")
        if not corpus.is_file():
            raise typer.BadParameter(f"no such file: {corpus}", param_hint="--corpus")
        return load_corpus(corpus, guild_id=guild_id)
    match preset:
        case Preset.TINY:
            spec = GuildSpec.tiny(messages or 300)
        case Preset.LIVELY:
            spec = GuildSpec.lively(messages or 40_000)
        case Preset.UNIFORM:
            count = channels or 100
            spec = GuildSpec.uniform(count, (messages or 1_500 * count) // count)
    return generate_guild(spec, seed, guild_id=guild_id)


def _quirks(missing: Sequence[str], form: MissingChoice) -> "Quirks":
    from raysync.emulator import MissingForm, Quirks
    from raysync.emulator.engine import route_names

    unknown = sorted(set(missing) - route_names())
    if unknown:
        raise typer.BadParameter(f"no such route: {unknown[0]}", param_hint="--missing-route")
    return Quirks(missing_routes=tuple(missing), missing_form=MissingForm(form))


def _fault_rules(path: Path | None) -> "list[FaultRule]":
    from raysync.emulator import FaultRule

    if path is None:
        return []
    try:
        return [FaultRule.from_json(rule) for rule in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise typer.BadParameter(f"{path}: {error}", param_hint="--faults") from None


def _run(offer: _Offer) -> None:
    try:
        asyncio.run(_serve_until_stopped(offer))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        tell(f"Cannot listen on {offer.host}:{offer.port}: {reason}.", err=True)
        raise typer.Exit(2) from None


async def _serve_until_stopped(offer: _Offer) -> None:
    from raysync.emulator import World
    from raysync.emulator import serve as serve_world

    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, stopped.set)
    call_at_end(stopped.set)
    world = World(*offer.guilds)
    for token, guild_ids in _bots(offer):
        world.add_bot(token, guild_ids)
    async with serve_world(
        world,
        limits=offer.limits,
        quirks=offer.quirks,
        faults=offer.faults,
        latency=offer.latency,
        host=offer.host,
        port=offer.port,
    ) as served:
        _announce(served, offer)
        await stopped.wait()


def _bots(offer: _Offer) -> list[tuple[str, list[int]]]:
    """Return each token with the guilds that its bot is in."""
    ids = [guild.id for guild in offer.guilds]
    if len(offer.tokens) == 1:
        return [(offer.tokens[0], ids)]
    return [(token, [guild_id]) for token, guild_id in zip(offer.tokens, ids, strict=True)]


def _announce(served: "Emulator", offer: _Offer) -> None:
    bots = _bots(offer)
    if offer.ready_file is not None:
        ready = {
            "url": served.url,
            "port": int(served.origin.rpartition(":")[2]),
            "guilds": [str(guild.id) for guild in offer.guilds],
            "token": offer.tokens[0],
            "bots": [{"token": token, "guilds": [str(i) for i in ids]} for token, ids in bots],
            "pid": os.getpid(),
        }
        write_private(target(str(offer.ready_file)), json.dumps(ready))
    if offer.host not in _LOOPBACK:
        tell(f"Note: whoever reaches {offer.host} can use it.", err=True)
    counts = {
        guild.id: sum(len(channel.log.ids) for channel in guild.every_channel())
        for guild in offer.guilds
    }
    told = ", ".join(f"guild {guild_id}, {count} messages" for guild_id, count in counts.items())
    tell(f"Emulator ready at {served.url}: {told}.")
    tell(f"  export RAYSYNC_DISCORD_API_URL={served.url}")
    for number, (token, ids) in enumerate(bots, 1):
        variable = "DISCORD_TOKEN" if number == 1 else f"DISCORD_TOKEN_{number}"
        tell(f"  export {variable}={token}")
        for guild_id in ids:
            name = (
                "emulated" if len(counts) == 1 else f"emulated-{list(counts).index(guild_id) + 1}"
            )
            add = f"tenant add {name} --guild {guild_id} --token-env {variable}"
            tell(f"  {invocation()} {add}")
