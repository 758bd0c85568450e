"""Options of `raysync emulator serve`, with their help texts."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Preset(StrEnum):
    """Kind of a generated guild."""

    TINY = "tiny"
    UNIFORM = "uniform"
    LIVELY = "lively"


class LimitsChoice(StrEnum):
    """Set of rate limits that the emulator enforces."""

    DISCORD = "discord"
    OFF = "off"


class BucketChoice(StrEnum):
    """Algorithm of a route's limit."""

    SLIDING = "sliding"
    FIXED = "fixed"
    SLIDING_LOG = "sliding-log"


class GlobalChoice(StrEnum):
    """Algorithm of the global limit."""

    FIXED = "fixed"
    SLIDING = "sliding"
    LEAKY = "leaky"  #: synonym of sliding
    SLIDING_LOG = "sliding-log"


class HeadersChoice(StrEnum):
    """Content of rate limit headers."""

    HONEST = "honest"
    MASKED = "masked"
    NONE = "none"


class MissingChoice(StrEnum):
    """Answer of the server to a route that it lacks."""

    DISCORD = "discord"
    TEXT = "text"
    HTML = "html"
    METHOD = "method"
    GONE = "gone"
    NOT_IMPLEMENTED = "not-implemented"
    BAD_REQUEST = "bad-request"
    NO_BOTS = "no-bots"


Host = Annotated[str, typer.Option(metavar="ADDRESS", help="Listen on this address.")]
Port = Annotated[
    int, typer.Option(metavar="PORT", help="Listen on this port; 0 takes any free port.")
]
Corpus = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Serve the chat in this .jsonl or .jsonl.gz file. [default: generate a guild]",
    ),
]
PresetOption = Annotated[
    Preset, typer.Option("--preset", help="Generate a guild of this kind (docs/emulator.md).")
]
Messages = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Generate this number of messages in all. [default: 300 for tiny, 40,000 for lively, "
        "1,500 per channel for uniform]",
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Generate this number of channels (uniform only). [default: 100]"
    ),
]
Seed = Annotated[
    int,
    typer.Option(metavar="N", help="Generate from this seed; the same seed, the same guild."),
]
Guilds = Annotated[
    int,
    typer.Option(
        min=1,
        max=1_000,
        metavar="N",
        help="Serve this number of guilds, each with its own seed.",
    ),
]
Tokens = Annotated[
    list[str] | None,
    typer.Option(
        metavar="TOKEN",
        help="Accept this bot token for all guilds; repeat it once per guild for a bot each. "
        "[default: a new token]",
    ),
]
GuildIds = Annotated[
    list[int] | None,
    typer.Option(
        metavar="ID",
        help="Use this id for a guild. Repeat it for several, in order. [default: generated]",
    ),
]
LimitsOption = Annotated[LimitsChoice, typer.Option("--limits", help="Enforce these rate limits.")]
Bucket = Annotated[
    BucketChoice,
    typer.Option(help="Enforce routes' limits with this algorithm (docs/emulator.md)."),
]
HeadersOption = Annotated[
    HeadersChoice,
    typer.Option("--headers", help="Send rate limit headers of this kind (docs/emulator.md)."),
]
GlobalLimit = Annotated[
    int,
    typer.Option(metavar="N", help="Allow this number of requests a second for each token."),
]
GlobalForm = Annotated[
    GlobalChoice,
    typer.Option(help="Enforce the global limit with this algorithm (docs/emulator.md)."),
]
LatencyMs = Annotated[
    float, typer.Option(metavar="MS", help="Delay every answer by this time, in ms.")
]
Faults = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Inject the faults in this JSON list of rules. [default: none]"
    ),
]
MissingRoutes = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ROUTE",
        help="Lack this route, as in 'GET /channels/{channel_id}/threads/search'. Repeat it for "
        "several. [default: none]",
    ),
]
MissingForm = Annotated[
    MissingChoice,
    typer.Option(help="Answer requests for a missing route like this (docs/emulator.md)."),
]
Speed = Annotated[
    float,
    typer.Option(metavar="N", help="Run the clock of the rate limits this many times faster."),
]
ReadyFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Write URL, token and guilds to this JSON file when ready. [default: none]",
    ),
]
