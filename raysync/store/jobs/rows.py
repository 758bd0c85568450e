"""JSON parameters of the statements that write jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import orjson
from pydantic import TypeAdapter

from raysync.models.durations import Durations
from raysync.models.events import ApiUsage, ChannelRow, JobView, Written
from raysync.models.extras import Extras
from raysync.models.rates import RequestRate
from raysync.models.results import SyncJobResult
from raysync.models.work import SyncWindow, VisitSpan
from raysync.store.archive.page_rows import failure_details, storable_json

_EXTRAS = TypeAdapter(Extras)
EARLIER_RUNS = "earlier runs"
"""Worker id of all calls that a job made before it was resumed."""
LIMIT_HIT = "429 "
"""Prefix of routes that count answers of 429 by scope."""


def view_json(view: JobView) -> str:
    """Return *view* without its channels, which have their own rows."""
    return _text(asdict(replace(view, channels=())))


def usage_json(usage: Mapping[str, ApiUsage]) -> str:
    """Return each worker's waits and times of requests, without the counts' own rows.

    Requests by the second stay in memory, since each heartbeat would write them again; the result
    has them. Figures that only metrics use stay in memory, too.
    """
    return _text({worker: asdict(_without_counts(waits)) for worker, waits in usage.items()})


def _without_counts(usage: ApiUsage) -> ApiUsage:
    return replace(
        usage,
        calls={},
        rate_limit_hits={},
        rate=RequestRate(),
        answers=Durations(),
        written=Written(),
    )


def calls_json(usage: Mapping[str, ApiUsage]) -> str:
    """Return the rows of `job_api_calls`."""
    return _text(
        [
            {"worker_id": worker, "route": route, "calls": calls}
            for worker, counts in usage.items()
            for route, calls in [
                *counts.calls.items(),
                *((LIMIT_HIT + scope, hits) for scope, hits in counts.rate_limit_hits.items()),
            ]
        ]
    )


def channel_rows_json(rows: Sequence[ChannelRow]) -> str:
    """Return the rows of `channel_sync_jobs`."""
    return _text([_channel_row(row) for row in rows])


def as_json(result: SyncJobResult | None) -> str | None:
    """Return a job's result as it is stored."""
    return None if result is None else storable_json(result.model_dump_json().encode()).decode()


def options_of(window: SyncWindow) -> dict[str, Any]:
    """Return the parts of *window* that have no column."""
    return {
        "reconcile_requests": window.reconcile_requests,
        "sample": window.sample,
        "archives_every_s": window.archives_every_s,
        "extras": asdict(window.extras),
        "listened_since": window.listened_since and window.listened_since.isoformat(),
    }


def extras_from(options: Mapping[str, Any]) -> Extras:
    """Return the extras of `options_of`: none for a job of a version without extras."""
    return _EXTRAS.validate_python(options.get("extras", {}))


def _text(value: Any) -> str:
    return storable_json(orjson.dumps(value)).decode()


def _channel_row(row: ChannelRow) -> dict[str, Any]:
    tally, outcome, progress = row.tally, row.outcome, row.progress
    failure = outcome.failure if outcome else None
    return {
        "tenant_id": row.task.tenant_id,
        "channel_id": row.task.channel_key,
        "worker_id": row.worker_id,
        "status": row.status.value,
        "priority": row.task.expected_pages,
        "attempts": row.attempt,
        "started_at": row.started_at,
        "completed_at": outcome.completed_at if outcome else None,
        "messages_processed": tally.messages,
        "reactions_processed": tally.reactions,
        "attachments_processed": tally.attachments,
        "requests": tally.requests,
        "last_message_id": tally.last_message_id,
        "fraction": progress.fraction if progress else None,
        "retry_count": outcome.retry_count if outcome else 0,
        "error_details": failure_details(failure) if failure else None,
        "visits": visits_json(row.visits),
    }


def visits_json(visits: Sequence[VisitSpan]) -> list[list[Any]]:
    """Return visits as the ``visits`` column stores them: short, since it is written often."""
    return [
        [
            visit.worker_id,
            round(visit.began_s, 2),
            round(visit.ended_s, 2),
            visit.count,
            round(visit.read_s, 2),
        ]
        for visit in visits
    ]


def visits_from(column: Sequence[Sequence[Any]]) -> tuple[VisitSpan, ...]:
    """Return the visits of `visits_json`."""
    return tuple(VisitSpan(*visit) for visit in column)
