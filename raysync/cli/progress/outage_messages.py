"""Sentences about an outage of the database."""

from __future__ import annotations

from raysync.cli.output import words
from raysync.models.outage import Outage


def waiting(outage: Outage) -> str:
    """Return the time since the outage began, and until when the run waits: two hours at most."""
    since, until = f"{outage.since:%H:%M:%S} UTC", f"{outage.until:%H:%M:%S} UTC"
    return f"PostgreSQL has not answered since {since}. Waiting until {until}"


def reason(outage: Outage) -> str:
    """Return the reason of the outage, and what to do if only the user can end it."""
    why = words.printable(outage.reason)
    if not outage.is_stopped:
        return why
    return f"{why}; any other raysync command starts it, such as `db url`"


def line(outage: Outage) -> str:
    """Return the wait and its reason in one line."""
    return f"{waiting(outage)} ({reason(outage)})."


def over(after_s: float) -> str:
    """Return the sentence for the end of an outage."""
    return f"PostgreSQL answers again, after {words.seconds(after_s)}."
