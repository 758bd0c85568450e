"""Advice about failed and skipped channels, in sentences."""

from __future__ import annotations

import re

from raysync.errors import AccessDeniedError, NotFoundError, PermissionLostError
from raysync.models.ids import ChannelId
from raysync.models.status import FailureClass
from raysync.models.work import UNDOCUMENTED, Failure

_PERMISSION = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b|\bCONNECT\b")
_SETTINGS = {
    "VIEW_CHANNEL": "View Channel",
    "READ_MESSAGE_HISTORY": "Read Message History",
    "CONNECT": "Connect",
    "MANAGE_THREADS": "Manage Threads",
}
"""Names of permissions in Discord's settings."""


def about_failure(
    failure: Failure, tenant: str, channel_id: ChannelId, job_id: str
) -> tuple[str, str]:
    """Return what to do about a failed channel, and the command for it."""
    retry = f"raysync dead-letters retry --tenant {tenant} --channel {channel_id}"
    if failure.error in (AccessDeniedError.__name__, PermissionLostError.__name__):
        return "Give the bot View Channel and Read Message History there, then retry.", retry
    if failure.error == NotFoundError.__name__:
        return "Discord does not know this channel any more. If it still exists, retry.", retry
    match failure.failure_class:
        case FailureClass.RATE_LIMITED:
            return (
                "Discord rate-limited the bot. Retry later; other programs may use the token.",
                retry,
            )
        case FailureClass.TRANSIENT:
            return "The cause may be gone: retry. The stored messages are safe.", retry
        case FailureClass.PERMANENT:
            return "The request fails again until its cause is fixed.", retry
        case FailureClass.FATAL:
            return "This error ended the run. Fix its cause, then resume the job.", (
                f"raysync resume --job-id {job_id}"
            )


def about_skipped(reason: str, tenant: str) -> tuple[str, str]:
    """Return what to do about channels skipped for *reason*, and the command for it."""
    doctor = f"raysync doctor --tenant {tenant}"
    if UNDOCUMENTED in reason:
        return (
            "This version cannot read Discord's data about the channel. Upgrade raysync; see",
            doctor,
        )
    found = _PERMISSION.search(reason)
    if found is None:
        return "The bot cannot read these channels. To see what it may read:", doctor
    setting = _SETTINGS.get(found[0], found[0].replace("_", " ").title())
    advice = f"Give the bot's role the permission {setting} in the channel or its category; see"
    return advice, doctor
