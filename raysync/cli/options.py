"""Options that several commands share, with their help texts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated

import typer

from raysync.cli import params

Tenants = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SLUG",
        help="Sync this tenant. Repeat it for several. [default: every active tenant]",
    ),
]

Full = Annotated[
    bool,
    typer.Option("--full", help="Read everything again instead of only what is new or missing."),
]

Incremental = Annotated[
    bool, typer.Option("--incremental", help="Read only what is new or missing. [default]")
]

Since = Annotated[
    datetime | None,
    typer.Option(
        parser=params.moment,
        metavar="ISO",
        help="Read only messages from this time on (UTC), as in 2026-01-31.",
    ),
]

Until = Annotated[
    datetime | None,
    typer.Option(
        parser=params.moment,
        metavar="ISO",
        help="Read only messages before this time (UTC), as in 2026-01-31.",
    ),
]

Channels = Annotated[
    list[int] | None,
    typer.Option(
        parser=params.snowflake,
        metavar="ID",
        help="Read only this channel. Repeat it for several. [default: all]",
    ),
]

Lookback = Annotated[
    timedelta | None,
    typer.Option(
        parser=params.duration,
        metavar="DURATION",
        help="Read messages up to this age again, to find edits and deletions, as in 7d, 12h or 0. "
        "[default: 7d]",
    ),
]

ReconcileRequests = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="N",
        help="Spend N requests per tenant on comparing old messages again, those checked longest "
        "ago first. [default: 0]",
        show_default=False,
    ),
]

ArchivesEvery = Annotated[
    timedelta | None,
    typer.Option(
        parser=params.duration,
        metavar="DURATION",
        help="Compare each list of archived threads once in this time, and at once where there is "
        "news, as in 6h, 1d or 0 (in every run). [default: 6h]",
    ),
]

WithReactors = Annotated[
    bool,
    typer.Option(
        "--reactors",
        help="Also read who reacted, where counts have changed; at least one request per emoji of "
        "a message.",
    ),
]

Attachments = Annotated[
    str | None,
    typer.Option(
        parser=params.folder_or_url,
        metavar="DIR-or-URL",
        help="Store the files of attachments in this folder or fsspec URL, as in "
        "s3://bucket/path. [default: do not store them]",
    ),
]

AttachmentMaxSize = Annotated[
    int | None,
    typer.Option(
        parser=params.size,
        metavar="SIZE",
        help="Skip attachments larger than this, as in 25MB. [default: no limit]",
    ),
]

AttachmentTypes = Annotated[
    list[str] | None,
    typer.Option(
        parser=params.media_type,
        metavar="TYPE",
        help="Store only attachments of this media type, as in image/*. Repeat it for several. "
        "[default: all]",
    ),
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=1000,
        metavar="N",
        help="Start at most N worker processes. [default: SYNC_MAX_CHANNEL_WORKERS, or 10]",
    ),
]

Yes = Annotated[bool, typer.Option("--yes", help="Go ahead without asking.")]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

ResultAsJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, and nothing else, on stdout.")
]
