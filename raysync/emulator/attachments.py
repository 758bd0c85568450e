"""Which file a CDN path leads to."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from raysync.emulator.messages import Payload
from raysync.emulator.world import World


def find_attachment(world: World, path: str) -> Payload | None:
    """Return the file behind a path (attachments/channel/id/name); None once it is deleted."""
    _, channel_text, id_text, _ = [*path.split("/", 3), "", "", ""][:4]
    if not (channel_text.isdigit() and id_text.isdigit()):
        return None
    channel = world.channels.get(int(channel_text))
    at = bisect_right(channel.log.ids, int(id_text)) - 1 if channel else -1
    if channel is None or at < 0:
        return None
    message = channel.log.payload(channel.log.ids[at])
    files = [*message["attachments"], *media_in(message["components"])]
    return next((each for each in files if each["id"] == id_text), None)


def media_in(part: Any) -> Iterator[Payload]:
    """Yield the media that components show, however deep."""
    if isinstance(part, list):
        for each in part:
            yield from media_in(each)
    elif isinstance(part, dict):
        if "proxy_url" in part:
            yield part
        for each in part.values():
            yield from media_in(each)
