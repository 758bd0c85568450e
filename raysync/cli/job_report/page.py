"""Report page: one file that loads nothing from a network, runs no script, and prints."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib.resources import files

from markupsafe import Markup

from raysync import __version__
from raysync.cli.job_report import sections, troubles
from raysync.cli.job_report.figures import figures_of
from raysync.cli.job_report.rendering import render
from raysync.models.history import JobHistory
from raysync.visible import visible


def page(history: JobHistory, now: datetime) -> str:
    """Return the whole page as HTML, made at *now*."""
    figures = figures_of(history, now)
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    html = render(
        "page",
        tenant=history.record.tenant,
        began_at=figures.began_at,
        made_at=now,
        version=__version__,
        style=Markup(style),  # noqa: S704 it is our own file
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        header=sections.header(history, figures),
        sections=[
            sections.efficiency(figures),
            troubles.problems(history),
            troubles.quarantined(history),
            sections.over_time(history, figures),
            sections.timeline_of_channels(history, figures),
            troubles.left_out(history),
            troubles.not_covered(history),
            troubles.verification(history),
            sections.waits(history, figures),
            sections.slowest(history, figures),
            sections.requests_by_route(history),
        ],
    )
    return visible(html)  # a second guard, for names that reach the page inside the drawings
