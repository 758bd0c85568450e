"""The page: one file that asks nothing of a network, runs no script, and prints."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib.resources import files

from markupsafe import Markup

from raysync import __version__
from raysync.cli.job_report import sections, troubles
from raysync.cli.job_report.figures import Figures, figures_of
from raysync.cli.job_report.lead import lead
from raysync.cli.output import words
from raysync.models.history import JobHistory
from raysync.visible import visible

_PAGE = Markup("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{header}
{body}
</main>
<footer><p>{footer}</p></footer>
</body>
</html>
""")


def page(history: JobHistory, now: datetime) -> str:
    """The whole page as HTML, made at *now*."""
    figures = figures_of(history, now)
    style = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    parts = [
        sections.efficiency(figures),
        troubles.problems(history),
        troubles.quarantined(history),
        sections.over_time(history, figures),
        sections.who_read_what(history, figures),
        troubles.left_out(history),
        troubles.not_covered(history),
        troubles.verification(history),
        sections.waits(history, figures),
        sections.slowest(history, figures),
        sections.asked(history),
    ]
    made = str(
        _PAGE.format(
            digest=digest,
            title=f"{history.record.tenant}: a sync of {figures.began_at:%Y-%m-%d %H:%M} UTC",
            style=Markup(style),  # noqa: S704 it is our own file
            header=_header(history, figures),
            body=Markup("\n").join(each for each in parts if each),
            footer=(
                f"Made by raysync {__version__} at {now:%Y-%m-%d %H:%M:%S} UTC. "
                "All times are UTC. The page names channels: treat it like the archive."
            ),
        )
    )
    return visible(made)  # whatever a part forgot to take out of a name


def _header(history: JobHistory, figures: Figures) -> Markup:
    record = history.record
    facts = [
        ("Sync", figures.sync_type.value),
        ("StartedJobs", f"{figures.began_at:%Y-%m-%d %H:%M:%S} UTC"),
        ("Took" if figures.is_over else "So far", words.seconds(figures.took_s)),
        ("Job", record.id),
    ]
    told = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*each) for each in facts
    )
    return Markup(
        '<header><h1>{} <span class="status {}">{}</span></h1>\n<p class="lead">{}</p>\n'
        '<dl class="facts">{}</dl>\n{}\n{}</header>'
    ).format(
        record.tenant,
        figures.status,
        figures.status,
        lead(figures),
        told,
        sections.notices(history, figures),
        sections.key_figures(figures),
    )
