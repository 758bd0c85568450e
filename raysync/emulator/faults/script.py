"""Fault scripts: ordered rules, each with a count of the requests it took."""

import random
from dataclasses import dataclass, field
from typing import Final

from raysync.emulator.api.requests import Incoming
from raysync.emulator.api.routing import Match
from raysync.emulator.faults.patterns import compiled
from raysync.emulator.faults.rules import FaultRule
from raysync.emulator.world.entities import Bot

MAX_RULES: Final = 500
MAX_STEPS: Final = 2_000
"""Steps of all path patterns of a script. Each character of a request's path costs as many."""


@dataclass(slots=True)
class _Progress:
    matching: int = 0
    taken: int = 0
    dice: random.Random = field(default_factory=random.Random)


class FaultScript:
    """Rules in order, with the progress of each."""

    def __init__(self, *rules: FaultRule) -> None:
        """Raise ValueError for a script so large that it would slow down each request."""
        steps = sum(compiled(rule.path).size for rule in rules if rule.path is not None)
        if len(rules) > MAX_RULES or steps > MAX_STEPS:
            raise ValueError(
                f"a script has at most {MAX_RULES} rules, and its paths at most {MAX_STEPS} steps "
                f"in total; this one has {len(rules)} rules and {steps} steps"
            )
        self.rules = rules
        self._progress = [_Progress(dice=random.Random(rule.seed)) for rule in rules]  # noqa: S311

    @property
    def taken(self) -> list[int]:
        """Number of requests that each rule has taken."""
        return [progress.taken for progress in self._progress]

    def choose(self, incoming: Incoming, match: Match | None, bot: Bot | None) -> FaultRule | None:
        """Return the rule that takes this request, or None."""
        for rule, progress in zip(self.rules, self._progress, strict=True):
            if rule.matches(incoming, match, bot) and _takes(rule, progress):
                return rule
        return None


def _takes(rule: FaultRule, progress: _Progress) -> bool:
    """Count a matching request, and return whether the rule takes it."""
    if rule.times is not None and progress.taken >= rule.times:
        return False
    progress.matching += 1
    number = progress.matching
    is_chosen = number in rule.nth if rule.nth else number % rule.every == 0
    if not is_chosen or progress.dice.random() >= rule.probability:
        return False
    progress.taken += 1
    return True
