"""Fields of a log line about a channel."""

from __future__ import annotations

from raysync.models.work import ChannelTask


def where(task: ChannelTask, event: str) -> dict[str, object]:
    """Return the fields of a log line that name its event, job, tenant and channel."""
    return {
        "event": event,
        "job_id": task.job_id,
        "tenant_id": task.tenant_id,
        "channel_id": task.channel_id,
    }
