"""Write a page of which the store refuses something: all of it but the one message's payload.

Whatever comes from Discord is read within the bounds of the database's columns, so this is the net
under that: a limit of the server that nobody thought of must not bar a channel for ever.
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
    """Write *page*; where that fails for no reason that is known, find the message it fails for.

    Halves of the page are written, without what the page proves, down to single messages. One that
    is refused alone is kept without its payload. Then the page is written whole.

    Raises:
        RaysyncError: as *write* does; these tell of the store's state, and not of a message.
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
    receipt, messages = await _in_halves(write, page.messages)
    return _sum(receipt, await write(replace(page, messages=messages)))


async def _in_halves(
    write: Write, messages: Sequence[Message]
) -> tuple[PageReceipt, tuple[Message, ...]]:
    """Write what can be written of *messages*; what came of it, and what to write at last."""
    try:
        return await write(PageWrite(tuple(messages), None, None)), tuple(messages)
    except RaysyncError:
        raise
    except Exception as error:  # noqa: BLE001 what it is about is what is sought
        if len(messages) == 1:
            _log.warning(
                "message %d is kept without its payload: %s",
                messages[0].id,
                safe_message(error),
                extra={"event": "message_refused"},
            )
            return PageReceipt(0, 0), (_bare(messages[0]),)
    middle = len(messages) // 2
    first, lower = await _in_halves(write, messages[:middle])
    second, upper = await _in_halves(write, messages[middle:])
    return _sum(first, second), lower + upper


def _bare(message: Message) -> Message:
    """Nothing of a message but what its id says, and whose it is."""
    return without_payload(replace(message, type=0, created_at=moment_of(message.id)))


def _sum(one: PageReceipt, other: PageReceipt) -> PageReceipt:
    return PageReceipt(
        one.inserted + other.inserted,
        one.updated + other.updated,
        one.edited + other.edited,
        one.deleted + other.deleted,
    )
