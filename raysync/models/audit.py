"""Actions that the audit log records."""

from __future__ import annotations

from enum import StrEnum


class AuditAction(StrEnum):
    """Action of an operator, as stored in ``audit_log.action``.

    Entries are never changed, so a value must stay as it is. An action that ends in "begun" is
    recorded with the first step, in the same transaction; the plain one follows at its end.
    """

    START = "start"
    RESUME = "resume"
    VERIFY = "verify"
    CANCEL = "cancel"
    RESET = "reset"
    SETTLE = "settle"  #: a tail proves by pages what it has heard
    TAIL_BEGUN = "tail begun"
    TAIL = "tail"  #: it has ended
    SCHEDULE = "schedule"  #: one tick of a schedule has ended

    TENANT_ADD = "tenant add"
    TENANT_PAUSE = "tenant pause"
    TENANT_UNPAUSE = "tenant unpause"
    TENANT_REMOVE = "tenant remove"

    FORGET_BEGUN = "forget begun"
    FORGET = "forget"
    FORGET_UNDONE = "forget undone"
    PRIVACY_RETENTION = "privacy retention"
    PRIVACY_PURGE = "privacy purge"
    PRIVACY_ROTATE_BEGUN = "privacy rotate begun"
    PRIVACY_ROTATE = "privacy rotate"
    PRIVACY_RESCRUB_BEGUN = "privacy rescrub begun"
    PRIVACY_RESCRUB = "privacy rescrub"
    PRIVACY_EXPORT = "privacy export"
    PRIVACY_ACCEPT_KEY = "privacy accept-key"

    LIMITS_FORGOTTEN = "limits forgotten"
    GRANT_ANALYST = "db grant-analyst"
    REVOKE_ANALYST = "db revoke-analyst"
    GRANT_WORKER = "db grant-worker"
    REVOKE_WORKER = "db revoke-worker"
