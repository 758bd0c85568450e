"""Cause of the end of a task group."""

from __future__ import annotations

from raysync.errors import RunStoppedError


def first_error(group: BaseException) -> BaseException:
    """Return the error that ended a task group, `RunStoppedError` before those it caused."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [group]
    while pending:
        error = pending.pop(0)
        if isinstance(error, BaseExceptionGroup):
            pending.extend(error.exceptions)
        else:
            leaves.append(error)
    return next((error for error in leaves if isinstance(error, RunStoppedError)), leaves[0])
