"""Files of a world, found by their CDN paths."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

from raysync.emulator.world.messages import Payload
from raysync.emulator.world.world import World


def find_attachment(world: World, path: str) -> Payload | None:
    """Return the file of a path (attachments/channel/id/name), or None if it was deleted."""
    _, channel_text, id_text, _ = [*path.split("/", 3), "", "", ""][:4]
    if not (channel_text.isdigit() and id_text.isdigit()):
        return None
    channel = world.channels.get(int(channel_text))
    at = bisect_right(channel.log.ids, int(id_text)) - 1 if channel else -1
    if channel is None or at < 0:
        return None
    message = channel.log.payload(channel.log.ids[at])
    files = [*message["attachments"], *media_in(message["components"])]
    return next((file for file in files if file["id"] == id_text), None)


def media_in(part: Any) -> Iterator[Payload]:
    """Yield the media of components, at any depth."""
    if isinstance(part, list):
        for item in part:
            yield from media_in(item)
    elif isinstance(part, dict):
        if "proxy_url" in part:
            yield part
        for value in part.values():
            yield from media_in(value)
