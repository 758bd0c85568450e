"""The names of log events: programs compare them, so none changes by accident."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "raysync"
EVENTS = {
    "channel_crashed",
    "channel_ended",
    "channel_failed",
    "claimed_again",
    "close_failed",
    "control_away",
    "control_back",
    "database_away",
    "database_back",
    "event_refused",
    "events_lost",
    "gateway_closed",
    "hand_over_failed",
    "identifies_low",
    "job_ended",
    "job_error",
    "job_opened",
    "job_progress",
    "job_started",
    "limit_not_believed",
    "limit_not_kept",
    "message_refused",
    "not_covered",
    "page_refused",
    "progress_not_written",
    "rate_limited",
    "ray_ready",
    "release_failed",
    "renewal_failed",
    "report_failed",
    "request_retried",
    "settle_failed",
    "share_not_renewed",
    "tail_waits",
    "token_recovers",
    "token_slowed",
    "unplaced",
    "worker_crashed",
    "worker_failed",
    "worker_lost",
    "worker_released",
    "workers_awaited",
}
HELPERS = {"where": 1, "_log_change": 1, "_write": 0}
"""Functions that take the name of an event, and the position of this argument."""


def named_events(tree: ast.AST) -> Iterator[str]:
    """Yield the events that a module names, in a log record's fields or for a helper."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (value.value for value in event_fields(node) if is_text(value))
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            arguments = node.args[HELPERS[name] :][:1] if name in HELPERS else []
            yield from (argument.value for argument in arguments if is_text(argument))


def event_fields(node: ast.Dict) -> Iterator[ast.expr]:
    """Yield the value of the field "event" in the literal of a dictionary."""
    for key, value in zip(node.keys, node.values, strict=True):
        if isinstance(key, ast.Constant) and key.value == "event":
            yield value


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def trees() -> list[ast.AST]:
    return [ast.parse(path.read_text()) for path in PACKAGE.rglob("*.py")]


def test_every_event_keeps_its_name() -> None:
    found = {event for tree in trees() for event in named_events(tree)}

    assert found == EVENTS, "Programs that watch logs compare these names: add, but do not rename."


def test_every_event_is_named_where_this_test_looks() -> None:
    passed_on = {
        function.name
        for tree in trees()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Dict) and not all(map(is_text, event_fields(node)))
    }

    assert passed_on == HELPERS.keys()
