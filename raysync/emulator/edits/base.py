"""Base of all edits: the world, and changes of a message's payload."""

from raysync.emulator.world.messages import Payload
from raysync.emulator.world.world import World


class WorldEdits:
    """Edits of one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def change(self, channel_id: int, message_id: int, changes: Payload) -> None:
        """Replace the keys in *changes* of a message's payload."""
        channel = self.world.channels[channel_id]
        payload = channel.log.payload(message_id) | changes
        if payload.get("reactions") == []:
            del payload["reactions"]
        channel.log.put(payload)
        self.world.touch(channel, message_id)
