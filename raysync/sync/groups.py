"""What ended a group of tasks."""

from __future__ import annotations

from raysync.errors import RunStoppedError


def first_error(group: BaseException) -> BaseException:
    """The error that ended a task group: a stopped run says more than what it dragged along."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        each = pending.pop(0)
        if isinstance(each, BaseExceptionGroup):
            pending.extend(each.exceptions)
        else:
            leaves.append(each)
    return next((each for each in leaves if isinstance(each, RunStoppedError)), leaves[0])
