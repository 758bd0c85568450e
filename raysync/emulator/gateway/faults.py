"""Faults of the gateway's delivery, by event and by chance."""

import random
from dataclasses import dataclass, field
from enum import StrEnum


class DeliveryFault(StrEnum):
    """What happens to an event on its way."""

    DROP = "drop"  #: it is not delivered; a RESUME repeats it
    LOSE = "lose"  #: it never was: no session has it
    DUPLICATE = "duplicate"  #: it is delivered twice
    DELAY = "delay"  #: it is delivered after `count` later ones
    REORDER = "reorder"  #: it changes places with the next one


@dataclass(slots=True)
class GatewayRule:
    """Fault for the next *times* matching events, each with probability *ratio*."""

    fault: DeliveryFault
    event: str | None = None  #: None: any
    times: int | None = 1  #: None: for ever
    ratio: float = 1.0
    count: int = 3  #: later events that overtake a delayed one
    seed: int = 0
    taken: int = 0
    chance: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.fault = DeliveryFault(self.fault)
        self.chance = random.Random(self.seed)  # noqa: S311 a test repeats it

    def takes(self, name: str) -> bool:
        """Return whether the rule takes this event, and count it."""
        if self.event not in (None, name) or (self.times is not None and self.taken >= self.times):
            return False
        if self.ratio < 1.0 and self.chance.random() >= self.ratio:
            return False
        self.taken += 1
        return True


class GatewayFaults:
    """Rules in order; the first that takes an event decides."""

    def __init__(self) -> None:
        self.rules: list[GatewayRule] = []

    def add(self, *rules: GatewayRule) -> None:
        """Add rules at the end."""
        self.rules.extend(rules)

    def clear(self) -> None:
        """Remove all rules."""
        self.rules.clear()

    def choose(self, name: str) -> GatewayRule | None:
        """Return the rule that takes an event. Session events are never spoiled."""
        if name in ("READY", "RESUMED"):
            return None
        return next((rule for rule in self.rules if rule.takes(name)), None)
