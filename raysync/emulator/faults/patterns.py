"""Regular expressions that cannot hang a server: matched in linear time, and bounded.

Python's engine backtracks through every possible match: `(a+)+$` takes it years. This one follows
all states at once, character by character (Thompson's construction, 1968). It rejects what this
construction cannot do: back references and look-around. Python's own parser reads the syntax.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

MAX_CHARACTERS: Final = 200
"""Characters of a pattern."""
MAX_STEPS: Final = 200
"""Steps of a pattern, with its repeats expanded."""
MAX_SEARCHED: Final = 1_000
"""Characters of a path that are searched. Nothing matches in the rest."""

Takes = Callable[[str], bool]
"""Predicate: whether a step consumes a character."""


@dataclass(slots=True)
class _Step:
    """A step: consumes a character, or asserts a position, or leads to other steps."""

    takes: Takes | None = None
    holds: Callable[[str, int], bool] | None = None
    then: tuple[int, ...] = ()


_LITERALS: Final = {codes.LITERAL: False, codes.NOT_LITERAL: True}
_CATEGORIES: Final[dict[Any, Takes]] = {
    codes.CATEGORY_DIGIT: str.isdecimal,
    codes.CATEGORY_NOT_DIGIT: lambda char: not char.isdecimal(),
    codes.CATEGORY_SPACE: str.isspace,
    codes.CATEGORY_NOT_SPACE: lambda char: not char.isspace(),
    codes.CATEGORY_WORD: lambda char: char.isalnum() or char == "_",
    codes.CATEGORY_NOT_WORD: lambda char: not (char.isalnum() or char == "_"),
}


def _is_word_edge(text: str, at: int) -> bool:
    sides = (text[at - 1 : at], text[at : at + 1])
    before, after = (bool(char) and (char.isalnum() or char == "_") for char in sides)
    return before != after


_POSITIONS: Final[dict[Any, Callable[[str, int], bool]]] = {
    codes.AT_BEGINNING: lambda _, at: at == 0,
    codes.AT_BEGINNING_STRING: lambda _, at: at == 0,
    codes.AT_END: lambda text, at: at == len(text) or text[at:] == "\n",
    codes.AT_END_STRING: lambda text, at: at == len(text),
    codes.AT_BOUNDARY: _is_word_edge,
    codes.AT_NON_BOUNDARY: lambda text, at: not _is_word_edge(text, at),
}


class Pattern:
    """A compiled pattern. ValueError if it is invalid, too large, or not supported."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MAX_CHARACTERS:
            raise ValueError(
                f"a pattern has at most {MAX_CHARACTERS} characters; this one has {len(pattern)}"
            )
        try:
            tree = parser.parse(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if tree.state.flags & ~re.UNICODE:
            raise ValueError("a pattern must not have flags")
        self._steps: list[_Step] = []
        self._end = -1
        self._add_all(tree)
        self._end = self._add(_Step())

    @property
    def size(self) -> int:
        """Number of steps: the maximum cost of each character of a path."""
        return len(self._steps)

    def search(self, text: str) -> bool:
        """Return whether the pattern matches anywhere in the text, like `re.search`."""
        text = text[:MAX_SEARCHED]
        active: set[int] = set()
        for at in range(len(text) + 1):
            reached = self._reached((*active, 0), text, at)
            if self._end in reached:
                return True
            character = text[at : at + 1]
            active = {step + 1 for step in reached if character and self._takes(step, character)}
        return False

    def _takes(self, number: int, character: str) -> bool:
        takes = self._steps[number].takes
        return takes is not None and takes(character)

    def _reached(self, numbers: Iterable[int], text: str, at: int) -> set[int]:
        """Return all steps that are reachable from these without consuming a character."""
        reached: set[int] = set()
        pending = list(numbers)
        while pending:
            number = pending.pop()
            if number in reached:
                continue
            reached.add(number)
            step = self._steps[number]
            if step.holds is not None:
                pending += [number + 1] if step.holds(text, at) else []
            elif step.takes is None and number != self._end:
                pending += step.then
        return reached

    def _add(self, step: _Step) -> int:
        if len(self._steps) >= MAX_STEPS:
            raise ValueError(f"a pattern has at most {MAX_STEPS} steps, with its repeats expanded")
        self._steps.append(step)
        return len(self._steps) - 1

    def _add_all(self, nodes: Iterable[tuple[Any, Any]]) -> int:
        """Add nodes one after another. Return the number of their first step."""
        first = len(self._steps)
        for kind, value in nodes:
            self._add_one(kind, value)
        return first

    def _add_one(self, kind: Any, value: Any) -> None:
        if kind in _LITERALS or kind in (codes.ANY, codes.IN):
            self._add(_Step(takes=_taking(kind, value)))
        elif kind is codes.AT and value in _POSITIONS:
            self._add(_Step(holds=_POSITIONS[value]))
        elif kind is codes.BRANCH:
            self._add_branches(value[1])
        elif kind is codes.SUBPATTERN and not (value[1] or value[2]):
            self._add_all(value[3])
        elif kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            self._add_repeat(*value)
        else:
            name = str(kind).lower().replace("_", " ")
            raise ValueError(f"{name} is not supported in a pattern")

    def _add_branches(self, branches: Iterable[Iterable[tuple[Any, Any]]]) -> None:
        fork = self._add(_Step())
        firsts, lasts = [], []
        for branch in branches:
            firsts.append(self._add_all(branch))
            lasts.append(self._add(_Step()))
        self._steps[fork].then = tuple(firsts)
        for last in lasts:
            self._steps[last].then = (len(self._steps),)

    def _add_repeat(self, minimum: int, maximum: Any, nodes: Any) -> None:
        for _ in range(int(minimum)):
            before = len(self._steps)
            self._add_all(nodes)
            if len(self._steps) == before:  # an empty group stays empty when it is repeated
                return
        if maximum is codes.MAXREPEAT:
            fork = self._add(_Step())
            inside = self._add_all(nodes)
            self._add(_Step(then=(fork,)))
            self._steps[fork].then = (inside, len(self._steps))
            return
        forks = []
        for _ in range(int(maximum) - int(minimum)):
            forks.append(self._add(_Step()))
            self._add_all(nodes)
        for fork in forks:
            self._steps[fork].then = (fork + 1, len(self._steps))


def _taking(kind: Any, value: Any) -> Takes:
    """Return the predicate of a node that consumes one character."""
    if kind is codes.ANY:
        return lambda char: char != "\n"
    if kind is codes.IN:
        return _taking_any(value)
    is_negated, literal = _LITERALS[kind], chr(value)
    return lambda char: (char == literal) != is_negated


def _taking_any(items: list[tuple[Any, Any]]) -> Takes:
    is_negated = bool(items) and items[0][0] is codes.NEGATE
    predicates = [_taking_item(*item) for item in items if item[0] is not codes.NEGATE]
    return lambda char: any(takes(char) for takes in predicates) != is_negated


def _taking_item(kind: Any, value: Any) -> Takes:
    if kind is codes.LITERAL:
        return lambda char: char == chr(value)
    if kind is codes.RANGE:
        return lambda char: value[0] <= ord(char) <= value[1]
    return _CATEGORIES[value]


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern:
    """Return the compiled pattern, from a cache of 512."""
    return Pattern(pattern)
