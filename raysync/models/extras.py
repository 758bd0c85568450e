"""What is read after the messages, where a user asks for it: who reacted, and files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from raysync.models.ids import MessageId, UserId

REACTORS_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class FileRules:
    """Which attachments' bytes are kept, and where."""

    url: str = field(repr=False)  #: a folder, or what fsspec knows, as in s3://bucket/path
    max_bytes: int | None = None  #: larger files are left out
    types: tuple[str, ...] = ()  #: as in image/*; none: all, those of no known type included


@dataclass(frozen=True, slots=True)
class Extras:
    """What a user wants beside messages."""

    reactors: bool = False
    files: FileRules | None = None

    def __bool__(self) -> bool:
        return self.reactors or self.files is not None


@dataclass(frozen=True, slots=True)
class ExtraTally:
    """What was done of it at a channel in one job so far."""

    reactors: int = 0  #: users who were read, each once for each emoji
    files: int = 0  #: whose bytes are stored now, and were not
    file_bytes: int = 0  #: of these
    files_failed: int = 0  #: whose bytes could not be had; they are tried again later
    extras_due: int = 0  #: requests and files that were missing when the messages had been read
    extras_done: int = 0  #: of these
    extras_counted: int = 0  #: channels of which that is known

    def __add__(self, other: ExtraTally) -> ExtraTally:
        return ExtraTally(
            *(getattr(self, each) + getattr(other, each) for each in ExtraTally.__slots__)
        )

    def __neg__(self) -> ExtraTally:
        return ExtraTally(*(-getattr(self, each) for each in ExtraTally.__slots__))


@dataclass(frozen=True, slots=True)
class ReactionCount:
    """How often an emoji was given to a message, as the message says."""

    message_id: MessageId
    emoji: str
    count: int  #: normal and burst together
    burst_count: int

    @property
    def requests(self) -> int:
        """How many pages of reactors that is: the normal ones and the burst ones by themselves."""
        normal = max(self.count - self.burst_count, 0)
        return -(-normal // REACTORS_PER_PAGE) + -(-self.burst_count // REACTORS_PER_PAGE)


@dataclass(frozen=True, slots=True)
class Reactor:
    """Somebody who gave an emoji to a message."""

    ref: str  #: a pseudonym, or the user id where the tenant is `full`
    count: int  #: 2 where it was given both as normal and as burst
    burst_count: int


@dataclass(frozen=True, slots=True)
class ReactorPage:
    """Some of those who gave an emoji."""

    refs: Collection[str]
    next_after: UserId | None  #: where to go on; None: these were the last
    is_whole: bool = True  #: False: some could not be read


@dataclass(frozen=True, slots=True)
class MissingFile:
    """An attachment whose bytes are not stored yet."""

    message_id: MessageId
    attachment_id: int
    url: str  #: without a signature
    size: int
    content_type: str | None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Where an attachment's bytes are."""

    sha256: bytes
    key: str  #: beneath the URL of the rules
