"""An outage of the database, in sentences."""

from __future__ import annotations

from raysync.cli.output import words
from raysync.models.outage import Outage


def waiting(outage: Outage) -> str:
    """Since when the database has not answered, and until when the run waits: two hours at most."""
    since, until = f"{outage.since:%H:%M:%S} UTC", f"{outage.until:%H:%M:%S} UTC"
    return f"PostgreSQL has not answered since {since}; waiting until {until}"


def reason(outage: Outage) -> str:
    """Why, and what to do where only somebody else can end it."""
    why = words.printable(outage.reason)
    if not outage.is_stopped:
        return why
    return f"{why}; any other command starts it, `raysync db url` for one"


def line(outage: Outage) -> str:
    """Both in one line."""
    return f"{waiting(outage)} ({reason(outage)})."


def over(after_s: float) -> str:
    """That the database answers again."""
    return f"PostgreSQL answers again, after {words.seconds(after_s)}."
