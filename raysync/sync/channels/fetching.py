"""The fetching of a channel's pages, and the refusal of those whose content is withheld."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice

from raysync.clock import Clock
from raysync.errors import ContentIntentError, PayloadError, RetryableError
from raysync.models.entities import Message
from raysync.models.ids import ChannelId, MessageId
from raysync.sync.channels.page import comes_empty
from raysync.sync.ports import HistorySource
from raysync.sync.retry import Retrier

MANY_BLANK = 5
"""Number of blank messages in one page that is no coincidence."""
CURSORS_OF_ONE_PAGE = 4
"""Number of cursors tried for one page: a cut page may be cut again for the same cursor.

Neighbouring cursors request the same page."""
WITHHELD = (
    "Discord sends every message of a page empty, though it says that the bot has the Message "
    "Content intent. So the channel is not read further, and stored messages keep their content. "
    "If all channels are like that, switch the intent off and on again (Discord Developer Portal, "
    "your application, Bot)."
)


@dataclass(slots=True)
class PageFetcher:
    """Fetches pages of one channel, with retries."""

    source: HistorySource
    channel_id: ChannelId
    page_size: int
    again: Retrier
    set_head_start: Callable[[], None]  #: ranks the next page among the worker's requests
    count_request: Callable[[], None]
    clock: Clock
    requested_s: float = 0.0  #: monotonic time of the last page's request

    async def __call__(
        self, after: MessageId, *, above: MessageId | None = None, limit: int | None = None
    ) -> Sequence[Message]:
        """Return the page after a cursor, of *limit* messages or the usual size.

        *above* is a message below others that are known to exist. A page without any of those is
        fetched again, unless one of its records has an id that no message of the page can have.

        Raises:
            ContentIntentError: the content intent was switched off.
            PayloadError: the content is withheld though the intent is on.
        """
        size = limit or self.page_size
        shifts = count()

        async def ask() -> Sequence[Message]:
            return await self._ask(after, size, above, shifts)

        messages = await self.again(ask)
        blank = _blank_in(messages)
        if not blank:
            return messages
        is_empty = comes_empty(messages)
        await self._require_content(anew=is_empty or blank >= MANY_BLANK)
        if is_empty:  # the intent may have been off, and be on again
            messages = await self.again(ask)
            if comes_empty(messages) and _blank_in(messages) >= MANY_BLANK:
                raise PayloadError(WITHHELD)
        return messages

    async def is_there(self, message_id: MessageId) -> bool:
        """Return whether Discord has the message."""
        self.count_request()
        return await self.again(lambda: self.source.has_message(self.channel_id, message_id))

    async def _ask(
        self, after: MessageId, size: int, above: MessageId | None, shifts: Iterator[int]
    ) -> Sequence[Message]:
        if above is None:
            return await self._page(after, size)
        for shift in islice(shifts, CURSORS_OF_ONE_PAGE):
            messages = await self._page(MessageId(max(after - shift, 0)), size)
            lowest = after - shift
            if any(message.id > above or message.id <= lowest for message in messages):
                return [
                    message for message in messages if message.id > after or message.id <= lowest
                ]
        raise RetryableError("Discord's pages lack a message that Discord has.")

    async def _page(self, after: MessageId, size: int) -> Sequence[Message]:
        self.count_request()
        self.set_head_start()
        self.requested_s = self.clock.monotonic_s()
        return await self.source.fetch_after(self.channel_id, after, size)

    async def _require_content(self, *, anew: bool) -> None:
        """Stop the run if messages come empty because the content intent was switched off."""
        if not await self.again(lambda: self.source.has_content_intent(anew=anew)):
            raise ContentIntentError(
                "The bot's Message Content intent was switched off: Discord sends every message "
                "empty. So nothing more is read, and stored messages keep their content. Switch it "
                "on again (Discord Developer Portal, your application, Bot), then start again."
            )


def _blank_in(messages: Sequence[Message]) -> int:
    return sum(message.is_blank for message in messages)
