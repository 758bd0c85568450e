"""The options of a run, each named once: what they take, and what `--help` says of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from raysync.cli import params

Tenants = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SLUG", help="Sync this tenant; may be repeated. [default: every active one]"
    ),
]

Full = Annotated[bool, typer.Option("--full", help="Read everything again, stored or not.")]

Incremental = Annotated[
    bool, typer.Option("--incremental", help="Read what is new or missing. [default]")
]

Since = Annotated[
    datetime | None,
    typer.Option(parser=params.moment, metavar="ISO", help="Only messages from then on (UTC)."),
]

Until = Annotated[
    datetime | None,
    typer.Option(parser=params.moment, metavar="ISO", help="Only messages before then (UTC)."),
]

Channels = Annotated[
    list[int] | None,
    typer.Option(parser=params.snowflake, metavar="ID", help="Only this channel; may be repeated."),
]

Lookback = Annotated[
    timedelta | None,
    typer.Option(
        parser=params.duration,
        metavar="DURATION",
        help="How far back to look again for edits, as in 7d, 12h or 0. [default: 7d]",
    ),
]

ReconcileRequests = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Spend N requests of each tenant's run on old messages, those checked longest "
        "ago first. [default: 0]",
        show_default=False,
    ),
]

WithReactors = Annotated[
    bool,
    typer.Option(
        "--reactors",
        help="Read who reacted, too, where counts have changed: a request or more for each "
        "emoji of a message.",
    ),
]

Attachments = Annotated[
    str | None,
    typer.Option(
        parser=params.place,
        metavar="DIR-or-URL",
        help="Keep attachments' bytes there: a folder, or what fsspec knows, as in "
        "s3://bucket/path.",
    ),
]

AttachmentMaxSize = Annotated[
    int | None,
    typer.Option(parser=params.size, metavar="SIZE", help="No larger attachments than, say, 25MB."),
]

AttachmentTypes = Annotated[
    list[str] | None,
    typer.Option(
        parser=params.media_type,
        metavar="TYPE",
        help="Only attachments of this type, as in image/*; may be repeated.",
    ),
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        metavar="N",
        help="Worker processes, at most. [default: SYNC_MAX_CHANNEL_WORKERS, or 10]",
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

ResultAsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
]
