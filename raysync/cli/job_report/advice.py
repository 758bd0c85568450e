"""What to do about what went wrong or was left out, as sentences."""

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
"""Permissions by the names that Discord's settings give them."""


def about_failure(
    failure: Failure, tenant: str, channel_id: ChannelId, job_id: str
) -> tuple[str, str]:
    """What to do about a channel that was given up in a job, and the command for it."""
    retry = f"raysync dead-letters retry --tenant {tenant} --channel {channel_id}"
    if failure.error in (AccessDeniedError.__name__, PermissionLostError.__name__):
        told = "Give the bot View Channel and Read Message History there, then ask again."
        return told, retry
    if failure.error == NotFoundError.__name__:
        return "Discord does not know it any more. If it is there after all, ask again.", retry
    match failure.failure_class:
        case FailureClass.RATE_LIMITED:
            return (
                "Discord asked for a pause. Ask again later; other bots may use the token.",
                retry,
            )
        case FailureClass.TRANSIENT:
            return "It may work by now: ask again. What was stored stays.", retry
        case FailureClass.PERMANENT:
            return "The same request will fail again until its cause is mended.", retry
        case FailureClass.FATAL:
            return "It ended the run. Mend its cause, then go on with the run.", (
                f"raysync resume --job-id {job_id}"
            )


def about_skipped(reason: str, tenant: str) -> tuple[str, str]:
    """What to do about channels that were left out for *reason*, and the command for it."""
    doctor = f"raysync doctor --tenant {tenant}"
    if UNDOCUMENTED in reason:
        return "This version cannot read what Discord says of it: upgrade raysync; see", doctor
    found = _PERMISSION.search(reason)
    if found is None:
        return "Nothing can be read there. What the bot may read is told by", doctor
    setting = _SETTINGS.get(found[0], found[0].replace("_", " ").title())
    told = f"Give the bot's role the permission {setting} in the channel or its category; see"
    return told, doctor
