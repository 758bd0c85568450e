"""Efficiency of a run: the time that Discord's limits demand, against the time it took."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from raysync.models.events import JobHeader
from raysync.models.results import PageEstimates
from raysync.models.status import ChannelJobStatus
from raysync.models.work import ChannelOutcome, ChannelTask

CHANNEL_BURST_S = 5.0
"""Burst of a channel's bucket, in seconds of its rate: these pages come at once. [observed]"""


def ideal_s(total_requests: int, per_channel_requests: Iterable[int], header: JobHeader) -> float:
    """Return the seconds that the limits alone demand, from the first request to the last.

    The token's budget bounds all requests together, the channel's bucket the largest channel.
    """
    largest = max(per_channel_requests, default=0)
    by_token = max(total_requests - 1, 0) / header.budget_per_second
    by_channel = max(largest / header.channel_pages_per_second - CHANNEL_BURST_S, 0)
    return max(by_token, by_channel)


def efficiency(ideal: float, first: datetime | None, last: datetime | None) -> float | None:
    """Return *ideal* over the time from the *first* to the *last* request, at most 1.

    Return None without two requests.
    """
    if first is None or last is None or last <= first:
        return None
    return min(ideal / (last - first).total_seconds(), 1.0)


def average_s(outcomes: Sequence[ChannelOutcome]) -> float:
    """Return the mean time from a channel's start to its end, in seconds."""
    if not outcomes:
        return 0.0
    return sum((o.completed_at - o.started_at).total_seconds() for o in outcomes) / len(outcomes)


def page_estimates(
    planned: Sequence[ChannelTask], outcomes: Sequence[ChannelOutcome]
) -> PageEstimates | None:
    """Return how the pages read compare with the pages expected when the run was planned."""
    tasks = {task.channel_id: task for task in planned}
    ended = [
        (tasks[outcome.channel_id], max(outcome.tally.pages, 1))
        for outcome in outcomes
        if outcome.status is ChannelJobStatus.COMPLETED and outcome.channel_id in tasks
    ]
    if not ended:
        return None
    return PageEstimates(
        channels=len(ended),
        guessed=sum(task.is_guess for task, _ in ended),
        within_twofold=sum(0.5 < task.expected_pages / read < 2 for task, read in ended),
        expected_pages=round(sum(task.expected_pages for task, _ in ended), 1),
        read_pages=sum(read for _, read in ended),
    )
