"""What `raysync status` says of a tenant's tail."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from raysync.cli.output import words
from raysync.cli.output.hints import command_line
from raysync.models.live import ListenedTenant


def tail_lines(tail: ListenedTenant, tenant: str, now: datetime) -> list[str]:
    """Return lines about a tail: whether it listens, since when, and what it heard."""
    lines = [f"tail: {_state(tail, tenant, now)}"]
    figures = [f"{words.counted(tail.events, 'event')} stored"]
    if tail.events_a_minute is not None and tail.is_alive:
        figures.append(f"{words.count(tail.events_a_minute)} in the last minute")
    if tail.lag_ms is not None and tail.is_alive:
        figures.append(f"at most {words.seconds(tail.lag_ms / 1000)} behind Discord")
    if tail.looked_back_at is not None:
        figures.append(f"compared by a look-back {_ago(tail.looked_back_at, now)}")
    if tail.identifies_left is not None:
        figures.append(f"{words.counted(tail.identifies_left, 'session')} left today")
    lines.append(f"heard: {', '.join(figures)}")
    if tail.missed:
        lines.append(f"missed: {words.counted(tail.missed, 'change')} that a look-back found later")
    if tail.gaps:
        lines.append(f"gaps: {words.counted(tail.gaps, 'session')} lost; a look-back settled each")
    return lines


def _state(tail: ListenedTenant, tenant: str, now: datetime) -> str:
    command = command_line("tail", "--tenant", tenant)
    if not tail.is_alive:
        seen = "" if tail.alive_at is None else f", last seen {_ago(tail.alive_at, now)}"
        return f"nobody listens{seen}. Listen with {command}"
    if tail.interrupted_at is not None:
        return f"interrupted {_ago(tail.interrupted_at, now)}, and connecting again"
    if tail.listened_since is None:
        return "connected, and waiting for Discord to describe the guild"
    since = f"listening since {tail.listened_since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    is_settled = tail.settled_at is not None and tail.settled_at >= tail.listened_since
    return since if is_settled else f"{since}; what happened before is not settled yet"


def _ago(moment: datetime, now: datetime) -> str:
    return f"{words.seconds(max((now - moment).total_seconds(), 0.0))} ago"


def tail_as_json(tail: ListenedTenant) -> dict[str, Any]:
    """Return the tail's state for `--json`: times ISO 8601 in UTC, unknown values null."""
    times = {
        name: None if (moment := getattr(tail, name)) is None else moment.isoformat()
        for name in (
            "listened_since",
            "alive_at",
            "interrupted_at",
            "settled_at",
            "looked_back_at",
            "last_event_at",
        )
    }
    return {
        "alive": tail.is_alive,
        **times,
        "events": tail.events,
        "events_a_minute": tail.events_a_minute,
        "lag_ms": tail.lag_ms,
        "missed": tail.missed,
        "gaps": tail.gaps,
        "identifies_left": tail.identifies_left,
    }
