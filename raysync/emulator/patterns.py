"""Regular expressions that cannot hang their server: matched in linear time, and bounded.

Python's own engine tries every way in which a pattern may fit; `(a+)+$` takes it years. Here all
ways are followed at once, a character at a time, as Thompson described it in 1968. What that
cannot do (back references, look-around) is refused. The syntax is read by Python's own parser.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, Final

MOST_CHARACTERS: Final = 200
"""Of a pattern."""
MOST_STEPS: Final = 200
"""That a pattern is made of, its repeats written out."""
MOST_LOOKED_AT: Final = 1_000
"""Characters of a path; what comes behind fits nothing."""

Takes = Callable[[str], bool]
"""Whether a step takes a character."""


@dataclass(slots=True)
class _Step:
    """One step: it takes a character, or holds at a place, or leads to others at once."""

    takes: Takes | None = None
    holds: Callable[[str, int], bool] | None = None
    then: tuple[int, ...] = ()


_ANYTHING_BUT_ONE: Final = {codes.LITERAL: False, codes.NOT_LITERAL: True}
_CATEGORIES: Final[dict[Any, Takes]] = {
    codes.CATEGORY_DIGIT: str.isdecimal,
    codes.CATEGORY_NOT_DIGIT: lambda each: not each.isdecimal(),
    codes.CATEGORY_SPACE: str.isspace,
    codes.CATEGORY_NOT_SPACE: lambda each: not each.isspace(),
    codes.CATEGORY_WORD: lambda each: each.isalnum() or each == "_",
    codes.CATEGORY_NOT_WORD: lambda each: not (each.isalnum() or each == "_"),
}


def _is_word_edge(text: str, at: int) -> bool:
    sides = (text[at - 1 : at], text[at : at + 1])
    before, after = (bool(each) and (each.isalnum() or each == "_") for each in sides)
    return before != after


_PLACES: Final[dict[Any, Callable[[str, int], bool]]] = {
    codes.AT_BEGINNING: lambda _, at: at == 0,
    codes.AT_BEGINNING_STRING: lambda _, at: at == 0,
    codes.AT_END: lambda text, at: at == len(text) or text[at:] == "\n",
    codes.AT_END_STRING: lambda text, at: at == len(text),
    codes.AT_BOUNDARY: _is_word_edge,
    codes.AT_NON_BOUNDARY: lambda text, at: not _is_word_edge(text, at),
}


class Pattern:
    """A compiled pattern. ValueError where it is none, or too large, or not matched so."""

    def __init__(self, pattern: str) -> None:
        if len(pattern) > MOST_CHARACTERS:
            raise ValueError(f"a pattern has at most {MOST_CHARACTERS} characters")
        try:
            tree = parser.parse(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"no regular expression: {error}") from None
        if tree.state.flags & ~re.UNICODE:
            raise ValueError("a pattern has no flags here")
        self._steps: list[_Step] = []
        self._end = -1
        self._add_all(tree)
        self._end = self._add(_Step())

    @property
    def size(self) -> int:
        """How many steps it has: what each character of a path costs at most."""
        return len(self._steps)

    def search(self, text: str) -> bool:
        """Return whether the pattern fits anywhere in the text, like `re.search`."""
        text = text[:MOST_LOOKED_AT]
        under_way: set[int] = set()
        for at in range(len(text) + 1):
            reached = self._reached((*under_way, 0), text, at)
            if self._end in reached:
                return True
            character = text[at : at + 1]
            under_way = {each + 1 for each in reached if character and self._takes(each, character)}
        return False

    def _takes(self, number: int, character: str) -> bool:
        takes = self._steps[number].takes
        return takes is not None and takes(character)

    def _reached(self, numbers: Iterable[int], text: str, at: int) -> set[int]:
        """All steps that can be reached from these without taking a character."""
        reached: set[int] = set()
        left = list(numbers)
        while left:
            number = left.pop()
            if number in reached:
                continue
            reached.add(number)
            step = self._steps[number]
            if step.holds is not None:
                left += [number + 1] if step.holds(text, at) else []
            elif step.takes is None and number != self._end:
                left += step.then
        return reached

    def _add(self, step: _Step) -> int:
        if len(self._steps) >= MOST_STEPS:
            raise ValueError(f"a pattern has at most {MOST_STEPS} steps, its repeats written out")
        self._steps.append(step)
        return len(self._steps) - 1

    def _add_all(self, nodes: Iterable[tuple[Any, Any]]) -> int:
        """Write nodes one after another; the number of their first step."""
        first = len(self._steps)
        for kind, value in nodes:
            self._add_one(kind, value)
        return first

    def _add_one(self, kind: Any, value: Any) -> None:
        if kind in _ANYTHING_BUT_ONE or kind in (codes.ANY, codes.IN):
            self._add(_Step(takes=_taking(kind, value)))
        elif kind is codes.AT and value in _PLACES:
            self._add(_Step(holds=_PLACES[value]))
        elif kind is codes.BRANCH:
            self._add_branches(value[1])
        elif kind is codes.SUBPATTERN and not (value[1] or value[2]):
            self._add_all(value[3])
        elif kind in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            self._add_repeat(*value)
        else:
            raise ValueError(f"a pattern has no {str(kind).lower().replace('_', ' ')} here")

    def _add_branches(self, branches: Iterable[Iterable[tuple[Any, Any]]]) -> None:
        fork = self._add(_Step())
        firsts, lasts = [], []
        for each in branches:
            firsts.append(self._add_all(each))
            lasts.append(self._add(_Step()))
        self._steps[fork].then = tuple(firsts)
        for last in lasts:
            self._steps[last].then = (len(self._steps),)

    def _add_repeat(self, least: int, most: Any, nodes: Any) -> None:
        for _ in range(int(least)):
            before = len(self._steps)
            self._add_all(nodes)
            if len(self._steps) == before:  # nothing, however often
                return
        if most is codes.MAXREPEAT:
            fork = self._add(_Step())
            inside = self._add_all(nodes)
            self._add(_Step(then=(fork,)))
            self._steps[fork].then = (inside, len(self._steps))
            return
        forks = []
        for _ in range(int(most) - int(least)):
            forks.append(self._add(_Step()))
            self._add_all(nodes)
        for each in forks:
            self._steps[each].then = (each + 1, len(self._steps))


def _taking(kind: Any, value: Any) -> Takes:
    """What a node that takes one character takes."""
    if kind is codes.ANY:
        return lambda each: each != "\n"
    if kind is codes.IN:
        return _taking_any(value)
    is_negated, wanted = _ANYTHING_BUT_ONE[kind], chr(value)
    return lambda each: (each == wanted) != is_negated


def _taking_any(items: list[tuple[Any, Any]]) -> Takes:
    is_negated = bool(items) and items[0][0] is codes.NEGATE
    takes = [_taking_item(*each) for each in items if each[0] is not codes.NEGATE]
    return lambda each: any(take(each) for take in takes) != is_negated


def _taking_item(kind: Any, value: Any) -> Takes:
    if kind is codes.LITERAL:
        return lambda each: each == chr(value)
    if kind is codes.RANGE:
        return lambda each: value[0] <= ord(each) <= value[1]
    return _CATEGORIES[value]


@lru_cache(maxsize=512)
def compiled(pattern: str) -> Pattern:
    """Return the pattern, compiled once."""
    return Pattern(pattern)
