"""Repeatable random draws: a hash of a seed and a place, without a stateful generator."""

from typing import Final

_MASK: Final = (1 << 64) - 1


def mix(seed: int, place: int) -> int:
    """Return 64 well-mixed bits (splitmix64)."""
    bits = (seed * 0x9E3779B97F4A7C15 + place) & _MASK
    bits = ((bits ^ bits >> 30) * 0xBF58476D1CE4E5B9) & _MASK
    bits = ((bits ^ bits >> 27) * 0x94D049BB133111EB) & _MASK
    return bits ^ bits >> 31


class Draws:
    """Series of draws for one place, such as a message."""

    __slots__ = ("_bits",)

    def __init__(self, seed: int, place: int) -> None:
        self._bits = mix(seed, place)

    def below(self, count: int) -> int:
        """Return a number from 0 to *count*, exclusive."""
        self._bits = bits = (self._bits * 0xD1342543DE82EF95 + 0x2545F4914F6CDD1D) & _MASK
        return (bits >> 32) * count >> 32

    def chance(self, rate: float) -> bool:
        """Return True with a probability."""
        return rate > 0 and self.below(1_000_000) < rate * 1_000_000
