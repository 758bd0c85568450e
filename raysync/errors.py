"""Errors that raysync raises on purpose.

    RaysyncError                        exit 1
    ├── ConfigurationError              exit 2 if nothing has begun; the user can correct it
    │   ├── UnknownTenantError          no tenant has this slug
    │   ├── TenantTakenError            the slug or the guild belongs to another tenant
    │   ├── TokenUnavailableError       the reference to the token resolves to nothing
    │   ├── TokenRejectedError          401, or the token is not a bot's
    │   ├── GuildUnavailableError       the bot is not a member of the guild
    │   ├── UnknownChannelError         the guild has no such channel
    │   ├── ContentIntentError          a sync would store empty messages
    │   ├── DatabaseUnavailableError    cannot connect, or the connection is lost for good
    │   │   └── ServerDiskFullError     the embedded server's disk is full
    │   ├── NotPermittedError           the database role lacks a privilege
    │   ├── SchemaOutdatedError         the schema is older or newer than this version needs
    │   ├── TailRunningError            another process listens with the token
    │   └── JobRunningError             the tenant has a running job
    ├── WorkersUnavailableError         no worker could be started
    ├── OutOfSightError                 the cluster of a submitted job no longer answers
    ├── ControlServiceLostError         Ray's control service went away for good
    └── SyncError
        ├── RetryableError              the same request may succeed later
        │   ├── RateLimitedError        429 after the client's own retries
        │   ├── PermitUnavailableError  the governor did not answer within the timeout
        │   ├── StoreUnavailableError   the database connection was lost during a run
        │   │   └── StatementTimeoutError a statement took too long, or was cancelled
        │   ├── GatewayClosedError      the connection to Discord's gateway ended
        │   ├── SearchIndexError        Discord has no search index yet
        │   └── AttachmentBrokenError   the downloaded file is not the attachment
        ├── PermanentError              a retry gives the same answer
        │   ├── AccessDeniedError       403
        │   ├── PermissionLostError     403, and the bot's permissions explain it
        │   ├── NotFoundError           404
        │   │   ├── UnknownMessageError the message is unknown; the channel exists
        │   │   └── UnknownEmojiError   the emoji is unknown; the message exists
        │   ├── RouteMissingError       the API does not have the route
        │   ├── ExtrasRefusedError      reactors or attachments refused; messages unaffected
        │   ├── PayloadError            the answer differs from Discord's documentation
        │   ├── NoProgressError         pages or lists repeat and would never end
        │   ├── TiedMessagesError       more messages in one millisecond than a page holds
        │   ├── AttachmentGoneError     the CDN has no such file, or not at this address
        │   └── FileVaultError          the blob store for attachments cannot be written
        ├── SessionTakenError           another process listens with the token by now
        ├── ShardsChangedError          Discord wants another number of sessions of the bot
        ├── RulesChangedError           the tenant's rules on people were changed
        ├── ClaimLostError              another worker has claimed the channel
        ├── StoreRestartedError         the database server has restarted since the claim
        ├── WorkerLostError             a worker's process died or hangs
        │   └── WorkerPreemptedError    the worker's node was taken back
        ├── UnknownJobError             the tracker has restarted and lacks the job
        ├── LedgerUnknownError          the governor has restarted and lacks the database
        └── RunStoppedError             no further request to Discord is allowed
            ├── BannedError             Discord blocks this IP address
            └── DatabaseFullError       the database's disk is full

Errors of a single command live beside that command in `cli/`, because no other room raises or
catches them. Exceptions that never leave their room, because the room translates them, derive from
no RaysyncError and live in that room, as in `discord_api/answers.py`. A test checks this, and
compares the tree above with the classes.

All constructor arguments are positional, because Ray rebuilds an exception from ``args``.
"""

from __future__ import annotations

from datetime import UTC, datetime

BAN_S = 3600.0
"""Shortest ban of an IP address that was observed, in seconds; requests may prolong it."""


class RaysyncError(Exception):
    """Base of all errors raised on purpose; the text is a sentence for the user."""

    exit_code = 1


class ConfigurationError(RaysyncError):
    """Invalid configuration that the user can correct before anything runs."""

    exit_code = 2


class UnknownTenantError(ConfigurationError):
    """No tenant has this slug."""


class TenantTakenError(ConfigurationError):
    """The slug or the guild already belongs to a tenant."""


class TokenUnavailableError(ConfigurationError):
    """The reference to the token resolves to nothing."""


class TokenRejectedError(ConfigurationError):
    """Discord rejects the token, or the token is not a bot's."""


class GuildUnavailableError(ConfigurationError):
    """The bot is not a member of the guild, or the guild does not exist."""


class UnknownChannelError(ConfigurationError):
    """The guild has no such channel, or the bot cannot see it."""


class ContentIntentError(ConfigurationError):
    """The bot lacks the message content intent, so every message would be empty."""


class DatabaseUnavailableError(ConfigurationError):
    """The database cannot be reached."""


class NotPermittedError(ConfigurationError):
    """The database role that raysync connects as lacks a privilege."""

    def __init__(self, message: str, refusal: str = "") -> None:
        """*refusal* is the database's own message."""
        super().__init__(message, refusal)
        self.refusal = refusal

    def __str__(self) -> str:
        return str(self.args[0])


class ServerDiskFullError(DatabaseUnavailableError):
    """The embedded server cannot start because its disk is full."""


class SchemaOutdatedError(ConfigurationError):
    """The database's schema is older or newer than this version of raysync needs."""


class TailRunningError(ConfigurationError):
    """Another process already listens with the token; two would store every event twice."""


class JobRunningError(ConfigurationError):
    """The tenant already has a running job; two jobs would request the same pages."""


class WorkersUnavailableError(RaysyncError):
    """No worker could be started."""


class OutOfSightError(RaysyncError):
    """The cluster no longer answers; the submitted job may still run."""


class ControlServiceLostError(RaysyncError):
    """Ray's control service (GCS) went away during a run, and did not come back."""


class SyncError(RaysyncError):
    """Failure during a sync."""


class RetryableError(SyncError):
    """The same request may succeed later."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        return str(self.args[0])


class RateLimitedError(RetryableError):
    """Discord still answers 429 after the client's own retries."""


class PermitUnavailableError(RetryableError):
    """The governor granted no permit within the timeout, so no request was sent."""


class StoreUnavailableError(RetryableError):
    """The database connection was lost during a run."""


class StatementTimeoutError(StoreUnavailableError):
    """The database ended a statement that took too long, or that somebody cancelled."""


class GatewayClosedError(RetryableError):
    """The connection to Discord's gateway ended, or could not be opened."""

    def __init__(self, message: str, is_resumable: bool = True) -> None:
        """*is_resumable* says whether another connection may continue the session."""
        super().__init__(message, is_resumable)
        self.is_resumable = is_resumable

    def __str__(self) -> str:
        return str(self.args[0])


class SearchIndexError(RetryableError):
    """Discord has no search index yet; the first search makes it build one."""


class AttachmentBrokenError(RetryableError):
    """The downloaded file is not the attachment: its length differs, or it is an error page."""


class PermanentError(SyncError):
    """Failure that a retry would repeat."""


class AccessDeniedError(PermanentError):
    """Discord answers 403."""


class PermissionLostError(PermanentError):
    """The bot lost its permission to read the channel while the channel was read."""


class NotFoundError(PermanentError):
    """Discord answers 404."""

    def __init__(self, message: str, code: int = 0) -> None:
        """*code* is Discord's error code; 0 where the answer has none, and then proves nothing."""
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownMessageError(NotFoundError):
    """Discord does not know the message; its channel exists."""


class UnknownEmojiError(NotFoundError):
    """Discord no longer knows the emoji; its message exists."""


class RouteMissingError(PermanentError):
    """The API lacks an optional route, so the data of that route is not covered."""

    def __init__(self, message: str, route: str = "", what: str = "") -> None:
        """*route* is the documented path; *what* names its data, as the rest of a sentence."""
        super().__init__(message, route, what)
        self.route = route
        self.what = what

    def __str__(self) -> str:
        return str(self.args[0])


class PayloadError(PermanentError):
    """An answer differs from what Discord documents."""


class NoProgressError(PermanentError):
    """Discord's pages or lists repeat what was read, so reading would never end."""


class TiedMessagesError(PermanentError):
    """More messages share a millisecond than a page holds: nothing proves that all were read."""


class AttachmentGoneError(PermanentError):
    """The CDN has no such file, or not at this address."""


class ExtrasRefusedError(PermanentError):
    """Discord refuses the list of reactors, or an attachment's address; messages are unaffected."""


class FileVaultError(PermanentError):
    """The blob store for attachments cannot be written."""


class SessionTakenError(SyncError):
    """Another process listens with the token by now; only its writes count."""


class ShardsChangedError(SyncError):
    """Discord wants the bot's guilds divided among another number of sessions."""


class RulesChangedError(SyncError):
    """The tenant's rules on people were changed, so events must be read under the new ones."""


class ClaimLostError(SyncError):
    """Another worker has claimed the channel; only that worker's writes count."""


class StoreRestartedError(SyncError):
    """The database server has restarted; commits that it lost must be read again."""


class WorkerLostError(SyncError):
    """A worker's process died, or no longer answers."""


class WorkerPreemptedError(WorkerLostError):
    """The provider took the worker's node back; the worker's channels did not cause it."""


class UnknownJobError(SyncError):
    """The progress tracker has restarted and does not know the job yet."""


class LedgerUnknownError(SyncError):
    """The governor restarted and does not know yet through which database the token is shared."""


class RunStoppedError(SyncError):
    """No further request to Discord is allowed in this run."""


class BannedError(RunStoppedError):
    """Discord blocks this IP address for exceeding its rate limits."""

    def __init__(self, message: str, until: datetime | None = None) -> None:
        super().__init__(message, until)
        self.until = until

    @classmethod
    def lasting_until(cls, until: datetime) -> BannedError:
        """Return the error for a ban that lasts at least until *until*."""
        return cls(
            "Discord blocks this address for exceeding its rate limits, so no further request is "
            f"sent. Wait until {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC at least; such a block "
            "lasts from one hour to a day. Then resume the run: it continues where it stopped.",
            until,
        )

    def __str__(self) -> str:
        return str(self.args[0])


class DatabaseFullError(RunStoppedError):
    """The database's disk is full."""


def safe_message(error: BaseException) -> str:
    """Return the text of an error that may be stored; for other libraries' errors only the class.

    Other libraries' messages may quote a statement, and with it what people wrote.
    """
    return str(error) if isinstance(error, RaysyncError) else f"Unexpected {type(error).__name__}"
