"""Rules on personal data in a tenant's archive, and counts of what they erased."""

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
"""Version of the rules that scrub payloads; it grows when rows of earlier rules must change.

Version 1 replaced ids under keys that are known to be people's. It took a text for a signed address
if the text was one address with parameters named like a signature's.
"""

PSEUDONYM: Final = "u_[a-z2-7]{26}"
"""Regular expression of a pseudonym."""
ERASED: Final = "u_erased"
"""Placeholder of a forgotten user."""
_REF: Final = re.compile(f"{PSEUDONYM}|{ERASED}").fullmatch


def is_ref(text: str) -> bool:
    """Return whether *text* is a pseudonym or the placeholder of a forgotten user."""
    return _REF(text) is not None


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention of messages; None means for ever."""

    max_age: timedelta | None = None  #: older messages are erased, and not read again
    purge_deleted_after: timedelta | None = None  #: delay of a purge after a deletion was found

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Retention:
        """Return the retention in a tenant's settings."""
        return cls(_seconds(settings.get(_MAX_AGE)), _seconds(settings.get(_PURGE_DELETED)))

    def settings(self) -> dict[str, float | None]:
        """Return the retention in the form of a tenant's settings."""
        return {
            _MAX_AGE: _length(self.max_age),
            _PURGE_DELETED: _length(self.purge_deleted_after),
        }

    def horizon(self, now: datetime) -> int:
        """Return the lowest message id that may be kept."""
        return 0 if self.max_age is None else snowflake_at(now - self.max_age)

    def reaches_below(self, other: Retention) -> bool:
        """Return whether this retention keeps messages that are too old for *other*."""
        if other.max_age is None:
            return False
        return self.max_age is None or self.max_age > other.max_age


@dataclass(frozen=True, slots=True)
class PeopleRules:
    """Rules on people for one run: read when it begins, and in force until it ends."""

    salts: tuple[str, ...] = ()  #: hexadecimal, one for each rotation of pseudonyms so far
    users: frozenset[str] = field(default=frozenset(), repr=False)  #: suppressed users
    channels: frozenset[ChannelId] = frozenset()  #: suppressed channels, with their threads
    before: int = 0  #: messages below this id are past retention


def _seconds(value: Any) -> timedelta | None:
    return None if value is None else timedelta(seconds=value)


def _length(value: timedelta | None) -> float | None:
    return None if value is None else value.total_seconds()


@dataclass(frozen=True, slots=True)
class Suppression:
    """User or channel that is suppressed."""

    id: int
    kind: str  #: "user" or "channel"
    ref: str  #: a pseudonym, or the user's id if the tenant's privacy is `full`; a channel's id
    created_at: datetime
    erased_at: datetime | None  #: None: some stored data may not be erased yet


@dataclass(frozen=True, slots=True)
class ErasureCounts:
    """Counts of an erasure, done or previewed."""

    messages: int = 0
    versions: int = 0  #: earlier versions of these messages
    reactions: int = 0  #: to these messages, and by their authors
    attachments: int = 0
    mentions: int = 0  #: others' messages and versions in which a user was replaced
    files: int = 0  #: stored files of attachments

    def __add__(self, other: ErasureCounts) -> ErasureCounts:
        return ErasureCounts(
            *(getattr(self, name) + getattr(other, name) for name in ErasureCounts.__slots__)
        )


@dataclass(frozen=True, slots=True)
class RescrubCounts:
    """Counts of rows of earlier rules that were rewritten."""

    looked_at: int = 0  #: messages examined
    messages: int = 0
    versions: int = 0
    attachments: int = 0
    reactions: int = 0  #: emojis with a user's id in the name
    channels: int = 0

    def __add__(self, other: RescrubCounts) -> RescrubCounts:
        return RescrubCounts(
            *(getattr(self, name) + getattr(other, name) for name in RescrubCounts.__slots__)
        )


@dataclass(frozen=True, slots=True)
class PurgeCounts:
    """Counts of a purge of data past retention."""

    erased: int = 0  #: messages older than the tenant keeps them
    emptied: int = 0  #: messages deleted on Discord; only their ids are kept
    blobs: int = 0  #: attachments of these messages with stored bytes
    files: int = 0  #: files deleted because no other attachment uses them

    def __add__(self, other: PurgeCounts) -> PurgeCounts:
        return PurgeCounts(
            *(getattr(self, name) + getattr(other, name) for name in PurgeCounts.__slots__)
        )


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Changes to the locations of attachments' bytes that runs recorded."""

    more: frozenset[str] = frozenset()  #: locations that bytes were moved to
    without: frozenset[str] = frozenset()  #: locations that are gone, with all their bytes


AS_KNOWN: Final = Elsewhere()
"""No changes: all bytes are where runs recorded them."""
