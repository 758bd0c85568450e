"""The live view and the plain lines, as text."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len
from rich.console import Console

from raysync.cli.progress.live import LiveObserver, render
from raysync.cli.progress.periodic import PERIOD_S
from raysync.cli.progress.plain import PlainObserver, progress_line
from raysync.errors import TokenRejectedError
from raysync.models.outage import Outage
from raysync.models.results import Verification
from raysync.sync.results.unstarted import failed_result
from tests.cli.samples import (
    JOB_ID,
    STARTED,
    channel_view,
    failed_channel,
    job_result,
    job_view,
)

NOW = STARTED + timedelta(seconds=31)
OUTAGE = Outage(
    datetime(2026, 11, 30, 14, 3, 12, tzinfo=UTC),
    datetime(2026, 11, 30, 16, 3, 12, tzinfo=UTC),
    "PANIC: could not write",
)
WAITING = "PostgreSQL has not answered since 14:03:12 UTC. Waiting until 16:03:12 UTC"


def text_of(views, width=80, height=24, outage=None) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as capture:
        console.print(render(views, NOW, width, height, outage))
    return capture.get()


def test_the_view_says_how_far_how_fast_and_how_much_of_the_limit():
    text = text_of([job_view(rate_limit_encounters=3)])

    for part in (
        "takaro  incremental  0:31  64 channels: 9 synced, 4 skipped, 51 to go",
        "62 %   ETA 0:19",
        "24,310 messages, 1,204/s",
        "47.0 requests/s, 97 % of the limit",
        "3 × 429",
    ):
        assert part in text


@pytest.mark.parametrize("outage", [None, replace(OUTAGE, reason="long " * 90)])
@pytest.mark.parametrize("views", [0, 1, 2, 9])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (60, 12), (200, 60)])
def test_the_view_fits_the_terminal(views, width, height, outage):
    wide = (
        channel_view(1, name="日本語チャンネル" * 9),
        *(failed_channel(n, "long " * 90) for n in range(8)),
    )
    shown = [job_view(tenant=f"tenant-{n}", planning=True, channels=wide) for n in range(views)]

    lines = text_of(shown, width, height, outage).splitlines()

    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width


def test_the_busiest_running_channels_come_first():
    done = channel_view(99, fraction=1.0, status="completed")

    text = text_of([job_view(channels=(channel_view(1), done, channel_view(7)))])

    assert text.index("#channel-7") < text.index("#channel-1")
    assert "#channel-99" not in text


def test_the_view_names_what_failed_and_why():
    text = text_of([job_view(channels=(failed_channel(8, "Discord answers 403"),))])

    assert "#channel-8: Discord answers 403" in text


def test_several_tenants_are_told_apart_and_summed():
    text = text_of([job_view(2), job_view(2, tenant="other")])

    assert "48,620 messages" in text
    assert "other #channel-1" in text


def test_a_channel_name_cannot_command_the_terminal():
    text = text_of([job_view(channels=(channel_view(1, name="\x1b[2Jboo[red]"),))])

    assert "\x1b" not in text
    assert "boo[red]" in text


def test_a_line_says_the_same_without_a_terminal():
    expected = (
        "takaro: 24,310 messages (1,204/s), 64+ channels (7 synced, 4 skipped, 2 failed, 51 to "
        "go), 47.0 requests/s (97 % of the limit), 1 × 429, ETA 0:19"
    )

    view = job_view(planning=True, channels_failed=2, channels_completed=7, rate_limit_encounters=1)

    assert expected == progress_line(view)


def test_before_a_channel_is_known_a_line_says_what_is_read():
    view = job_view(planning=True, channels_total=0, messages=0)

    assert progress_line(view) == "takaro: looking up which channels the bot can read"
    assert "64+ channels" in progress_line(job_view(planning=True))


def test_a_run_that_an_error_ends_says_which_jobs_it_fails():
    out = io.StringIO()

    def fails() -> None:
        with PlainObserver(Console(file=out, highlight=False), lambda: 0.0) as observer:
            observer.started("takaro", JOB_ID)
            observer.started("done", JOB_ID)
            observer.finished(job_result(tenant="done"))
            raise TokenRejectedError("Discord refuses the token.")

    with pytest.raises(TokenRejectedError):
        fails()

    assert out.getvalue().splitlines()[-1] == "takaro: failed"
    assert "done: failed" not in out.getvalue()


def test_a_job_that_failed_before_it_asked_anything_counts_no_messages():
    out = io.StringIO()
    ended = failed_result(
        JOB_ID, "takaro", TokenRejectedError("Discord refuses the token."), STARTED
    )

    PlainObserver(Console(file=out, highlight=False), lambda: 0.0).finished(ended)

    assert out.getvalue().splitlines()[0] == "takaro: failed"


class FakeTime:
    now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s


def test_plain_lines_come_every_few_seconds_and_at_each_failure():
    out, time = io.StringIO(), FakeTime()
    observer = PlainObserver(Console(file=out), time.monotonic_s)

    observer.progress([job_view(3)])
    observer.progress([job_view(3)])
    assert out.getvalue().count("\n") == 1
    observer.progress([job_view(channels=(failed_channel(1),))])
    observer.progress([job_view(channels=(failed_channel(1),))])
    assert out.getvalue().count("#channel-1 failed: Discord answers 403") == 1
    time.now_s += PERIOD_S
    observer.progress([job_view(3)])
    assert out.getvalue().count("messages") == 2


def test_the_end_of_a_verification_tells_what_is_proven():
    out = io.StringIO()
    found = Verification(channels=9, proven=8, gaps=[])

    observer = PlainObserver(Console(file=out, highlight=False), lambda: 0.0)
    observer.finished(job_result(verification=found, messages_processed=0))

    assert (
        out.getvalue() == "takaro: verify completed, 8 of 9 channels proven complete, in 33.4 s\n"
    )


@pytest.mark.parametrize("terminal", [False, True])
def test_either_observer_tells_a_run_from_beginning_to_end(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80, height=24, highlight=False)
    observer = LiveObserver(console) if terminal else PlainObserver(console, lambda: 0.0)

    with observer:
        observer.ray_ready("http://127.0.0.1:8265", token_source=None)
        observer.started("takaro", JOB_ID)
        observer.progress([job_view(3)])
        observer.finished(job_result())

    assert "http://127.0.0.1:8265" in out.getvalue()
    assert "its token" not in out.getvalue()
    assert f"status --job-id {JOB_ID}" in out.getvalue()


@pytest.mark.parametrize("terminal", [False, True])
def test_where_the_dashboard_asks_for_a_token_it_is_said_where_it_is(terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=80, height=24, highlight=False)
    observer = LiveObserver(console) if terminal else PlainObserver(console, lambda: 0.0)

    observer.ray_ready("http://127.0.0.1:8265", token_source="/home/me/raysync/ray_auth_token")

    assert "(its token is in /home/me/raysync/ray_auth_token)" in out.getvalue()


@pytest.mark.parametrize("views", [0, 1])
def test_the_view_says_that_the_database_is_away_and_why(views):
    text = text_of([job_view()] * views, outage=OUTAGE)

    assert text.splitlines()[:2] == [WAITING, "PANIC: could not write"]


def test_a_server_that_was_stopped_is_not_waited_for_without_a_hint():
    stopped = replace(OUTAGE, reason="it was stopped", is_stopped=True)

    assert "it was stopped; any other raysync command starts it" in text_of([], outage=stopped)


def test_plain_lines_say_at_once_and_while_it_lasts_that_the_database_is_away():
    out, time = io.StringIO(), FakeTime()
    observer = PlainObserver(Console(file=out, highlight=False), time.monotonic_s)

    observer.progress([job_view(3)])
    observer.database_away(OUTAGE)
    observer.progress([job_view(3)])
    assert out.getvalue().splitlines()[1:] == [f"{WAITING} (PANIC: could not write)."]
    time.now_s += PERIOD_S
    observer.progress([job_view(3)])
    assert out.getvalue().count(WAITING) == 2
    assert out.getvalue().count("24,310 messages") == 1, "no rates that sink"
    observer.database_back(75.2)
    time.now_s += PERIOD_S
    observer.progress([job_view(3)])
    assert "PostgreSQL answers again, after 1 min 15 s." in out.getvalue()
    assert out.getvalue().count("24,310 messages") == 2


def test_the_live_view_keeps_a_line_of_an_outage_that_is_over():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=90, height=24, highlight=False)
    with LiveObserver(console) as observer:
        observer.progress([job_view(3)])
        observer.database_away(OUTAGE)
        shown = observer._renderable()
        observer.database_back(3.0)

    with console.capture() as capture:
        console.print(shown)
    assert WAITING in capture.get()
    assert "PostgreSQL answers again, after 3.0 s." in out.getvalue()
