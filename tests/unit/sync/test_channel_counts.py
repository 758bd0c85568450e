"""Counts of channels add up to their total, during a job and however it ends."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from raysync.cli.job_report.figures import figures_of
from raysync.cli.job_report.lead import lead
from raysync.cli.progress.channel_counts import counts_of_result, counts_of_view
from raysync.cli.progress.live import render
from raysync.cli.progress.plain import progress_line
from raysync.cli.progress.summary import job_summary
from raysync.errors import AccessDeniedError
from raysync.models.ids import ChannelKey
from raysync.models.work import DeadLetterNote, Recheck, StoredChannel
from raysync.sync.results.summary import summarize
from tests.cli.histories import channel, finished
from tests.unit.sync.test_job import HEADER, HIDDEN, FakeGuild, Stage, make_channel
from tests.virtual_time import run_virtual

KINDS = ("read", "unchanged", "skipped", "failed", "cooling")
_COUNTED = re.compile(r"([\d,]+) (synced|unchanged|skipped|failed|to go|not \w+|in cooldown)")
_TOTAL = re.compile(r"([\d,]+)\+?(?: channels?)?(?::| \()")


NOW = HEADER.started_at + timedelta(minutes=1)


def staged(kinds: list[str], pause_s: float) -> Stage:
    channels = [make_channel(number) for number in range(1, len(kinds) + 1)]
    stage = Stage(FakeGuild(channels=channels))
    stage.dispatcher.pause_s = pause_s
    for at, kind in enumerate(kinds):
        each = channels[at]
        if kind == "skipped":
            channels[at] = replace(each, overwrites=(HIDDEN,))
        elif kind == "failed":
            stage.dispatcher.failures[each.id] = AccessDeniedError("403")
        elif kind == "unchanged":
            channels[at] = replace(each, last_message_id=None)
        elif kind == "cooling":
            stored = StoredChannel(ChannelKey(each.id), each.id, (), 0, None)
            due = Recheck(stored, each.name, each.type, None, None, (), 0, is_last=False)
            until = NOW + timedelta(days=3)
            stage.catalog.refused[each.id] = DeadLetterNote(until, "Discord answers 403", due)
    return stage


def text_of(rendered: object) -> str:
    console = Console(width=240, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(rendered)
    return capture.get()


def assert_adds_up(text: str, total: int) -> None:
    """Assert that a line of counts names every channel once."""
    (line,) = [row for row in text.splitlines() if " synced" in row]
    synced = line[: line.index(" synced")]
    shown = [int(number.replace(",", "")) for number in _TOTAL.findall(synced)]
    counted = [int(number.replace(",", "")) for number, _ in _COUNTED.findall(line)]
    assert sum(counted) == total, line
    assert shown[-1] == total, line


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(KINDS), max_size=12),
    cancelled_after_s=st.one_of(st.none(), st.floats(0.1, 3.0)),
)
def test_counts_of_channels_add_up(kinds: list[str], cancelled_after_s: float | None) -> None:
    stage = staged(kinds, pause_s=1.0)

    async def scenario():
        job = stage.job()
        running = asyncio.create_task(job.run())
        if cancelled_after_s is not None:
            await asyncio.sleep(cancelled_after_s)
            job.cancel()
        end = await running
        view = stage.board.view(30)
        return end, view

    end, view = run_virtual(scenario())
    result = summarize(HEADER, end, {}, stage.board.under_way(), 1, NOW)

    counts = counts_of_result(result)
    total = len(kinds)
    assert counts.total == counts_of_view(view).total == result.channels_total == total
    assert result.channels_total == (
        result.channels_processed
        + result.channels_unchanged
        + result.channels_failed
        + result.channels_skipped
        + result.channels_left
    )
    assert counts.unchanged == kinds.count("unchanged")
    assert counts.skipped == kinds.count("skipped")
    assert counts.left_alone == kinds.count("cooling")
    assert_adds_up(text_of(job_summary(result)), total)
    if total:
        assert_adds_up(progress_line(replace(view, planning=False)), total)
        assert_adds_up(text_of(render([view], NOW, 200)), total)
    history = finished([channel(1)])
    record = replace(history.record, result=result, view=view)
    assert_adds_up(lead(figures_of(replace(history, record=record), NOW)), total)
