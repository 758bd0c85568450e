"""Rescue of a page that the store refuses: it is written without one message's payload.

Discord's fields are read within the bounds of the database's columns, so this is only a safety net.
An unforeseen limit of the server must not block a channel for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from raysync.errors import RaysyncError, safe_message
from raysync.models.entities import Message, without_payload
from raysync.models.ids import moment_of
from raysync.models.work import PageReceipt, PageWrite

_log = logging.getLogger(__name__)
Write = Callable[[PageWrite], Awaitable[PageReceipt]]


async def write_page(write: Write, page: PageWrite) -> PageReceipt:
    """Write *page*; if that fails for an unknown reason, find the message that it fails for.

    Halves of the page, without its coverage, are written down to single messages. A message that is
    refused alone is stored without its payload. Then the whole page is written.

    Raises:
        RaysyncError: from *write*; it concerns the store's state, and not a message.
    """
    try:
        return await write(page)
    except RaysyncError:
        raise
    except Exception as error:
        if not page.messages:
            raise
        _log.warning(
            "the store refuses a page: %s", safe_message(error), extra={"event": "page_refused"}
        )
    receipt, messages = await _in_halves(write, page.messages, page.requested_s)
    return _sum(receipt, await write(replace(page, messages=messages)))


async def _in_halves(
    write: Write, messages: Sequence[Message], requested_s: float | None
) -> tuple[PageReceipt, tuple[Message, ...]]:
    """Write *messages* in halves. Return the receipt, and the messages to write in the end."""
    try:
        part = PageWrite(tuple(messages), None, None, requested_s=requested_s)
        return await write(part), tuple(messages)
    except RaysyncError:
        raise
    except Exception as error:  # noqa: BLE001 the cause is unknown: that is what the halving looks for
        if len(messages) == 1:
            _log.warning(
                "message %d is kept without its payload: %s",
                messages[0].id,
                safe_message(error),
                extra={"event": "message_refused"},
            )
            return PageReceipt(0, 0), (_bare(messages[0]),)
    middle = len(messages) // 2
    first, lower = await _in_halves(write, messages[:middle], requested_s)
    second, upper = await _in_halves(write, messages[middle:], requested_s)
    return _sum(first, second), lower + upper


def _bare(message: Message) -> Message:
    """Return a message with nothing but its id, its time and its author."""
    return without_payload(replace(message, type=0, created_at=moment_of(message.id)))


def _sum(one: PageReceipt, other: PageReceipt) -> PageReceipt:
    return PageReceipt(
        one.inserted + other.inserted,
        one.updated + other.updated,
        one.edited + other.edited,
        one.deleted + other.deleted,
    )
