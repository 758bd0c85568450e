"""Extras: reactors and files, which are read after the messages if a user asks for them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from raysync.models.ids import MessageId, UserId

REACTORS_PER_PAGE = 100
"""Users on one page of Discord's list of reactors."""


@dataclass(frozen=True, slots=True)
class FileRules:
    """Rules on attachments' bytes: which ones are stored, and where."""

    url: str = field(repr=False)  #: a folder, or a URL for fsspec, as in s3://bucket/path
    max_bytes: int | None = None  #: larger files are skipped
    types: tuple[str, ...] = ()  #: as in image/*; empty: all, also files without a known type


@dataclass(frozen=True, slots=True)
class Extras:
    """Extras that a user asks for."""

    reactors: bool = False
    files: FileRules | None = None

    def __bool__(self) -> bool:
        return self.reactors or self.files is not None


@dataclass(frozen=True, slots=True)
class ExtraTally:
    """Tally of extras of one channel in one job so far."""

    reactors: int = 0  #: users read, each once per emoji
    files: int = 0  #: files newly stored
    file_bytes: int = 0  #: size of the files newly stored
    files_failed: int = 0  #: files that could not be downloaded; they are retried later
    extras_due: int = 0  #: requests and files that were missing after the messages were read
    extras_done: int = 0  #: the part of `extras_due` that is done
    extras_counted: int = 0  #: channels with a known `extras_due`

    def __add__(self, other: ExtraTally) -> ExtraTally:
        return ExtraTally(
            *(getattr(self, name) + getattr(other, name) for name in ExtraTally.__slots__)
        )

    def __neg__(self) -> ExtraTally:
        return ExtraTally(*(-getattr(self, name) for name in ExtraTally.__slots__))


@dataclass(frozen=True, slots=True)
class ReactionCount:
    """Count of one emoji on one message, as the message states it."""

    message_id: MessageId
    emoji: str
    count: int  #: normal and burst reactions together
    burst_count: int

    @property
    def requests(self) -> int:
        """Number of pages of reactors; normal and burst reactions have pages of their own."""
        normal = max(self.count - self.burst_count, 0)
        return -(-normal // REACTORS_PER_PAGE) + -(-self.burst_count // REACTORS_PER_PAGE)


@dataclass(frozen=True, slots=True)
class Reactor:
    """User who reacted to a message with one emoji."""

    ref: str  #: a pseudonym; the user id if the tenant's privacy is `full`
    count: int  #: 2 for a normal and a burst reaction
    burst_count: int


@dataclass(frozen=True, slots=True)
class ReactorPage:
    """One page of a list of reactors."""

    refs: Collection[str]
    next_after: UserId | None  #: cursor of the next page; None: this is the last page
    is_whole: bool = True  #: False: some users could not be read


@dataclass(frozen=True, slots=True)
class MissingFile:
    """Attachment without stored bytes."""

    message_id: MessageId
    attachment_id: int
    url: str  #: without a signature
    size: int
    content_type: str | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Location of an attachment's bytes."""

    sha256: bytes
    key: str  #: path below the URL of the rules
