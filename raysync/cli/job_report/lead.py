"""Summary of a job in a sentence, for the page's header and for the terminal."""

from __future__ import annotations

from typing import Any

from raysync.cli.job_report.figures import Bound, Efficiency, Figures
from raysync.cli.output import words
from raysync.cli.progress.summary import listened_line, verified
from raysync.models.history import JobHistory


def lead(figures: Figures) -> str:
    """Return the messages, the duration, the channels and the requests of a job."""
    verb = "compared" if figures.is_verification else "read"
    took = f"{words.seconds(figures.took_s)}{'' if figures.is_over else ' so far'}"
    parts = [
        f"{words.counted(figures.messages, 'message')} {verb} in {took}",
        _proof(figures) if figures.is_verification else str(figures.counts),
        f"{words.counted(figures.requests, 'request')}, {_refused(figures)}",
    ]
    if figures.listened_since is not None:
        parts.append(listened_line(figures.listened_since))
    return "; ".join(parts) + "."


def _proof(figures: Figures) -> str:
    """Return the channels of a verification, which proves them instead of reading them."""
    found, counts = figures.verification, figures.counts
    others = [
        f"{words.count(number)} {label}"
        for label, number in (("skipped", counts.skipped), ("failed", counts.failed))
        if number
    ]
    if found is None:
        return ", ".join([f"{words.counted(counts.total, 'channel')}, none proven yet", *others])
    gaps = words.counted(len(found.gaps), "gap") if found.gaps else "no gap"
    return ", ".join([f"{verified(found, 0)}, {gaps}", *others])


def _refused(figures: Figures) -> str:
    hits = figures.rate_limit_encounters
    return f"{hits:,} answered with 429" if hits else "none answered with 429"


def bound_in_words(efficiency: Efficiency) -> str:
    """Return the efficiency and the limit that bounds it, in a sentence."""
    by = "the token's budget" if efficiency.bound is Bound.BUDGET else "the largest channel"
    return (
        f"Efficiency {efficiency.share:.2f}: the time from the first request to the last was "
        f"{words.seconds(efficiency.actual_s)}; Discord's limits (here {by}) allow "
        f"{words.seconds(efficiency.ideal_s)} at best."
    )


def as_json(history: JobHistory, figures: Figures) -> dict[str, Any]:
    """Return the main figures for a program.

    Ids are strings, times are ISO 8601 in UTC, and None means unknown.
    """
    found, result = figures.efficiency, history.record.result
    return {
        "job_id": history.record.id,
        "tenant": history.record.tenant,
        "status": figures.status,
        "sync_type": figures.sync_type.value,
        "listened_since": figures.listened_since and figures.listened_since.isoformat(),
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
        "not_covered": [route.model_dump() for route in result.not_covered] if result else [],
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
