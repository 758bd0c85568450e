"""A job in a sentence, for the page's head and for the terminal."""

from __future__ import annotations

from typing import Any

from raysync.cli.job_report.figures import Bound, Efficiency, Figures
from raysync.cli.output import words
from raysync.models.history import JobHistory
from raysync.models.status import SyncType


def lead(figures: Figures) -> str:
    """What was read, from how many channels, how long it took, and what it asked."""
    read = "compared" if figures.sync_type is SyncType.VERIFY else "read"
    took = f"{words.seconds(figures.took_s)}{'' if figures.is_over else ' so far'}"
    parts = [
        f"{words.counted(figures.messages, 'message')} {read} in {took}",
        str(figures.counts),
    ]
    parts.append(f"{words.counted(figures.requests, 'request')}, {_refused(figures)}")
    return "; ".join(parts) + "."


def _refused(figures: Figures) -> str:
    hits = figures.rate_limit_encounters
    return f"{hits:,} answered with 429" if hits else "none answered with 429"


def bound_in_words(efficiency: Efficiency) -> str:
    """The headline figure, and which limit bounds it."""
    by = "the token's budget" if efficiency.bound is Bound.BUDGET else "the largest channel"
    return (
        f"Discord's limits alone, here {by}, ask for {words.seconds(efficiency.ideal_s)} from the "
        f"first request to the last, and it took {words.seconds(efficiency.actual_s)}: "
        f"efficiency {efficiency.share:.2f}."
    )


def as_json(history: JobHistory, figures: Figures) -> dict[str, Any]:
    """The main figures for a program; ids are strings, times ISO 8601 in UTC, None: not known."""
    found, result = figures.efficiency, history.record.result
    return {
        "job_id": history.record.id,
        "tenant": history.record.tenant,
        "status": figures.status,
        "sync_type": figures.sync_type.value,
        "began_at": figures.began_at.isoformat(),
        "seen_at": figures.seen_at.isoformat(),
        "took_s": round(figures.took_s, 3),
        "messages": figures.messages,
        "pages": figures.pages,
        "requests": figures.requests,
        "rate_limit_encounters": figures.rate_limit_encounters,
        "budget_per_second": figures.budget_per_second,
        "channels": figures.channels,
        "channels_completed": figures.completed,
        "channels_failed": figures.failed,
        "channels_unchanged": figures.unchanged,
        "channels_skipped": figures.skipped,
        "channels_total": figures.counts.total,
        "channels_left": figures.counts.left,
        "not_covered": [each.model_dump() for each in result.not_covered] if result else [],
        "quarantined": result.quarantined if result else 0,
        "unplaced": result.unplaced if result else 0,
        "startup_s": figures.startup_s and round(figures.startup_s, 3),
        "tail_s": figures.tail_s,
        "waits": {
            "permit_s": round(figures.waits.permit_s, 3),
            "bucket_s": round(figures.waits.bucket_s, 3),
            "database_s": round(figures.waits.database_s, 3),
        },
        "efficiency": None
        if found is None
        else {
            "share": found.share,
            "ideal_s": found.ideal_s,
            "actual_s": found.actual_s,
            "bound": found.bound.value,
            "largest_channel_id": None if found.largest is None else str(found.largest.channel_id),
            "costs": [{"what": c.label, "seconds": round(c.seconds, 3)} for c in found.costs],
        },
        "samples": len(history.samples),
    }
