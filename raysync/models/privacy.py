"""What a tenant's archive may hold of people, and for how long."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from raysync.models.ids import ChannelId, snowflake_at

_MAX_AGE: Final = "max_age_s"
_PURGE_DELETED: Final = "purge_deleted_after_s"

SCRUBBING_RULES: Final = 2
"""The version of the rules by which payloads are kept; it grows where rows of before must change.

1 replaced ids under keys known to be people's, and took texts that were one address with
parameters named as a signature's for signed ones.
"""

PSEUDONYM: Final = "u_[a-z2-7]{26}"
"""What a pseudonym looks like, as a regular expression."""
ERASED: Final = "u_erased"
"""Who stands where somebody was forgotten."""
_REF: Final = re.compile(f"{PSEUDONYM}|{ERASED}").fullmatch


def is_ref(text: str) -> bool:
    """Whether *text* is a pseudonym, or stands in place of one."""
    return _REF(text) is not None


@dataclass(frozen=True, slots=True)
class Retention:
    """How long messages are kept; None: for ever."""

    max_age: timedelta | None = None  #: older ones are erased, and not read again
    purge_deleted_after: timedelta | None = None  #: so long after a deletion was found

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Retention:
        """What the settings of a tenant say."""
        return cls(_seconds(settings.get(_MAX_AGE)), _seconds(settings.get(_PURGE_DELETED)))

    def settings(self) -> dict[str, float | None]:
        """As a tenant's settings keep it."""
        return {
            _MAX_AGE: _length(self.max_age),
            _PURGE_DELETED: _length(self.purge_deleted_after),
        }

    def horizon(self, now: datetime) -> int:
        """The lowest message id that may be kept."""
        return 0 if self.max_age is None else snowflake_at(now - self.max_age)

    def reaches_below(self, other: Retention) -> bool:
        """Whether messages are kept that are too old for *other*."""
        if other.max_age is None:
            return False
        return self.max_age is None or self.max_age > other.max_age


@dataclass(frozen=True, slots=True)
class PeopleRules:
    """What is kept of people by one run: read when it begins, and in force until it ends."""

    salts: tuple[str, ...] = ()  #: of the rotations of pseudonyms so far, in hexadecimal
    users: frozenset[str] = field(default=frozenset(), repr=False)  #: who is kept out
    channels: frozenset[ChannelId] = frozenset()  #: what is kept out, with its threads
    before: int = 0  #: messages below this id are past retention


def _seconds(value: Any) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _length(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


@dataclass(frozen=True, slots=True)
class Suppression:
    """Who or what is kept out."""

    id: int
    kind: str  #: user or channel
    ref: str  #: a pseudonym, or a user's id where the tenant is `full`; a channel's id
    created_at: datetime
    erased_at: datetime | None  #: None: what was stored may not all be gone yet


@dataclass(frozen=True, slots=True)
class ErasureCounts:
    """What was erased, or would be."""

    messages: int = 0
    versions: int = 0  #: earlier ones, of these messages
    reactions: int = 0  #: to these messages, and by whom they were written
    attachments: int = 0
    mentions: int = 0  #: messages and versions of others in which somebody was replaced
    files: int = 0  #: with attachments' bytes

    def __add__(self, other: ErasureCounts) -> ErasureCounts:
        return ErasureCounts(
            *(getattr(self, each) + getattr(other, each) for each in ErasureCounts.__slots__)
        )


@dataclass(frozen=True, slots=True)
class RescrubCounts:
    """What was rewritten, of what was kept under earlier rules."""

    looked_at: int = 0  #: messages
    messages: int = 0
    versions: int = 0
    attachments: int = 0
    reactions: int = 0  #: emojis that had somebody's id in their names
    channels: int = 0

    def __add__(self, other: RescrubCounts) -> RescrubCounts:
        return RescrubCounts(
            *(getattr(self, each) + getattr(other, each) for each in RescrubCounts.__slots__)
        )


@dataclass(frozen=True, slots=True)
class PurgeCounts:
    """What was past retention."""

    erased: int = 0  #: messages older than the tenant keeps them
    emptied: int = 0  #: messages deleted on Discord, of which the ids are kept
    blobs: int = 0  #: their attachments whose bytes were stored
    files: int = 0  #: bytes that nobody else had, and that are gone

    def __add__(self, other: PurgeCounts) -> PurgeCounts:
        return PurgeCounts(
            *(getattr(self, each) + getattr(other, each) for each in PurgeCounts.__slots__)
        )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Where attachments' bytes are, beside where runs were told to keep them."""

    more: frozenset[str] = frozenset()  #: they were moved there
    without: frozenset[str] = frozenset()  #: it is gone for good, with all that was in it


AS_KNOWN: Final = Elsewhere()
