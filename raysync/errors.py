"""Every error raysync raises on purpose.

    RaysyncError                        exit 1
    ├── ConfigurationError              exit 2 where nothing was begun: the user can mend it
    │   ├── UnknownTenantError
    │   ├── TenantTakenError            slug or guild already belongs to a tenant
    │   ├── TokenUnavailableError       the reference leads nowhere
    │   ├── TokenRejectedError          Discord says 401, or it is not a bot's
    │   ├── GuildUnavailableError       the bot is not in that guild
    │   ├── UnknownChannelError         the guild has no channel that was named
    │   ├── ContentIntentError          syncing would store empty messages
    │   ├── DatabaseUnavailableError    cannot connect, or lost for good
    │   │   └── ServerDiskFullError     the embedded server cannot start on a full disk
    │   ├── NotPermittedError           the database's role may not do it
    │   ├── SchemaOutdatedError         migrations are behind, or ahead
    │   └── JobRunningError             the tenant has a running job
    └── SyncError
        ├── RetryableError              the same request may succeed later
        │   ├── RateLimitedError        429 after the client's own tries
        │   ├── PermitUnavailableError  the governor did not answer in time
        │   ├── StoreUnavailableError   the database went away in mid-run
        │   ├── SearchIndexError        Discord has no index to search yet
        │   └── AttachmentBrokenError   what came is not the file
        ├── PermanentError              asking again gives the same answer
        │   ├── AccessDeniedError       403
        │   ├── PermissionLostError     403, and the bot's permissions say why
        │   ├── NotFoundError           404
        │   │   ├── UnknownMessageError the message, not its channel
        │   │   └── UnknownEmojiError   the emoji, not its message
        │   ├── RouteMissingError       the API lacks the route, whatever is asked for
        │   ├── ExtrasRefusedError      who reacted, or an attachment's address; not the messages
        │   ├── PayloadError            an answer that is not what Discord documents
        │   ├── NoProgressError         pages or lists that repeat instead of going on
        │   ├── TiedMessagesError       more messages in a millisecond than pages can show
        │   ├── AttachmentGoneError     the CDN has no such file, or not for that address
        │   └── FileVaultError          attachments cannot be written where they are to go
        ├── ClaimLostError              another worker took the channel over
        ├── StoreRestartedError         the database server was started anew since the claim
        └── RunStoppedError             nothing may be asked any more
            ├── BannedError             Discord blocks this address
            └── DatabaseFullError       the database has no room left

All arguments are positional, for Ray rebuilds an exception from ``args``.
"""

from __future__ import annotations

from datetime import UTC, datetime

BAN_S = 3600.0
"""The shortest ban of an address that was seen; asking in it may prolong it."""


class RaysyncError(Exception):
    """Base of all errors raised on purpose; its text is a sentence for the user."""

    exit_code = 1


class ConfigurationError(RaysyncError):
    """The user can mend this before anything ran."""

    exit_code = 2


class UnknownTenantError(ConfigurationError):
    """No tenant has that slug."""


class TenantTakenError(ConfigurationError):
    """The slug or the guild belongs to a tenant already."""


class TokenUnavailableError(ConfigurationError):
    """The token's reference leads nowhere."""


class TokenRejectedError(ConfigurationError):
    """Discord refuses the token, or it is not a bot's."""


class GuildUnavailableError(ConfigurationError):
    """The bot is not a member of the guild, or the guild does not exist."""


class UnknownChannelError(ConfigurationError):
    """The bot sees none of the channels that were named."""


class ContentIntentError(ConfigurationError):
    """The bot lacks the message content intent: every message would be empty."""


class DatabaseUnavailableError(ConfigurationError):
    """The database cannot be reached."""


class NotPermittedError(ConfigurationError):
    """The role that raysync connects as may not do this."""

    def __init__(self, message: str, refusal: str = "") -> None:
        """*refusal* is what the database says."""
        super().__init__(message, refusal)
        self.refusal = refusal

    def __str__(self) -> str:
        return str(self.args[0])


class ServerDiskFullError(DatabaseUnavailableError):
    """The embedded server cannot start, because its disk is full."""


class SchemaOutdatedError(ConfigurationError):
    """The database's schema is not the one this version needs."""


class JobRunningError(ConfigurationError):
    """The tenant has a running job, and two would ask for the same pages."""


class SyncError(RaysyncError):
    """Something failed while syncing."""


class RetryableError(SyncError):
    """The same request may succeed later."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class RateLimitedError(RetryableError):
    """Discord kept answering 429."""


class PermitUnavailableError(RetryableError):
    """The governor granted no permit in time, so nothing was asked."""


class StoreUnavailableError(RetryableError):
    """The database went away in mid-run."""


class SearchIndexError(RetryableError):
    """Discord has no index of what is to be searched; it makes one when it is asked."""


class AttachmentBrokenError(RetryableError):
    """What the CDN sent is not the attachment: of another length, or an error page."""


class PermanentError(SyncError):
    """Asking again gives the same answer."""


class AccessDeniedError(PermanentError):
    """Discord answers 403."""


class PermissionLostError(PermanentError):
    """The bot's permission to read the channel was taken away while it was read."""


class NotFoundError(PermanentError):
    """Discord answers 404."""

    def __init__(self, message: str, code: int = 0) -> None:
        """*code* is Discord's own; 0 where the answer has none, so that it proves nothing."""
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownMessageError(NotFoundError):
    """Discord answers that the channel has no such message."""


class UnknownEmojiError(NotFoundError):
    """Discord answers that there is no such emoji any more."""


class RouteMissingError(PermanentError):
    """The API lacks a route that a sync can do without: what it tells is not covered."""

    def __init__(self, message: str, route: str = "", what: str = "") -> None:
        """*route* is as documented, *what* is what it tells, as the rest of a sentence."""
        super().__init__(message, route, what)
        self.route = route
        self.what = what

    def __str__(self) -> str:
        return str(self.args[0])


class PayloadError(PermanentError):
    """An answer is not what Discord documents."""


class NoProgressError(PermanentError):
    """Discord's pages or lists repeat what was read instead of going on: they would never end."""


class TiedMessagesError(PermanentError):
    """More messages share a millisecond than a page holds: nothing proves that all were read."""


class AttachmentGoneError(PermanentError):
    """The CDN has no such file, or not for that address."""


class ExtrasRefusedError(PermanentError):
    """Discord refuses who reacted, or an attachment's address; messages are another matter."""


class FileVaultError(PermanentError):
    """Attachments cannot be written where they are to go."""


class ClaimLostError(SyncError):
    """Another worker took the channel over; what it writes counts."""


class StoreRestartedError(SyncError):
    """The database server was started anew: what it lost must be read again."""


class RunStoppedError(SyncError):
    """Nothing may be asked of Discord any more in this run."""


class BannedError(RunStoppedError):
    """Discord blocks this address for exceeding its limits."""

    def __init__(self, message: str, until: datetime | None = None) -> None:
        super().__init__(message, until)
        self.until = until

    @classmethod
    def lasting_until(cls, until: datetime) -> BannedError:
        """What to tell of a ban that lasts until then at least."""
        return cls(
            "Discord blocks this address for exceeding its limits: nothing more is asked. Wait "
            f"until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC at least; such a block lasts from "
            "one hour to a day. Then resume the run: it goes on where it stopped.",
            until,
        )

    def __str__(self) -> str:
        return str(self.args[0])


class DatabaseFullError(RunStoppedError):
    """The database's disk is full."""


def safe_message(error: BaseException) -> str:
    """What may be written down of an error: of one that is not ours its class alone.

    Others' messages may quote a statement with what people wrote in it.
    """
    return str(error) if isinstance(error, RaysyncError) else f"Unexpected {type(error).__name__}"
