"""Session of one client: sequence numbers, and the events that a RESUME repeats."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from raysync.emulator.gateway.faults import DeliveryFault, GatewayFaults
from raysync.emulator.gateway.settings import GatewaySettings
from raysync.emulator.world.entities import Bot


@dataclass(slots=True)
class _Late:
    """Event that later ones overtake."""

    left: int
    frame: bytes


@dataclass(slots=True, eq=False)
class Session:
    """Session, with or without a connection. The gateway's lock guards it."""

    bot: Bot
    intents: int
    shard: int
    shards: int
    settings: GatewaySettings
    faults: GatewayFaults
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    seq: int = 0
    send: Callable[[bytes], None] | None = None  #: to the connection; None: there is none
    closed_s: float | None = None
    is_zombie: bool = False  #: its connection brings nothing any more
    kept: deque[tuple[int, float, bytes]] = field(default_factory=deque)
    lost_seq: int = 0  #: highest event that is no longer kept
    _late: list[_Late] = field(default_factory=list)

    @property
    def is_connected(self) -> bool:
        """True while a connection has the session."""
        return self.send is not None

    def serves(self, guild_id: int) -> bool:
        """Return whether the guild's events belong to this shard."""
        return (guild_id >> 22) % self.shards == self.shard

    def dispatch(self, name: str, body: bytes) -> None:
        """Give an event its number, keep it, and send it unless a fault prevents that."""
        rule = self.faults.choose(name)
        if rule is not None and rule.fault is DeliveryFault.LOSE:
            return
        self.seq += 1
        frame = b'{"t":"%b","s":%d,"op":0,"d":%b}' % (name.encode(), self.seq, body)
        now_s = time.monotonic()
        self.kept.append((self.seq, now_s, frame))
        while self.kept and (
            len(self.kept) > self.settings.replay_events
            or self.kept[0][1] < now_s - self.settings.replay_s
        ):
            self.lost_seq = self.kept.popleft()[0]
        match rule and rule.fault:
            case DeliveryFault.DROP:
                return
            case DeliveryFault.DUPLICATE:
                self._send(frame)
                self._send(frame)
            case DeliveryFault.DELAY if rule is not None:
                self._late.append(_Late(rule.count, frame))
                return
            case DeliveryFault.REORDER:
                self._late.append(_Late(1, frame))
                return
            case _:
                self._send(frame)
        self._send_late()

    def replay(self, after: int) -> bool:
        """Send the kept events above *after* again. Return False if some are not kept."""
        if not self.lost_seq <= after <= self.seq:
            return False
        self._late.clear()
        for seq, _, frame in list(self.kept):
            if seq > after:
                self._send(frame)
        return True

    def _send(self, frame: bytes) -> None:
        if self.send is not None and not self.is_zombie:
            self.send(frame)

    def _send_late(self) -> None:
        for waiting in self._late:
            waiting.left -= 1
        due = [waiting for waiting in self._late if waiting.left <= 0]
        for waiting in due:
            self._late.remove(waiting)
            self._send(waiting.frame)
