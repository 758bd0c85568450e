"""What a line of the log tells of the channel that it is about."""

from __future__ import annotations

from raysync.models.work import ChannelTask


def where(task: ChannelTask, event: str) -> dict[str, object]:
    """What a line of the log tells of its place."""
    return {
        "event": event,
        "job_id": task.job_id,
        "tenant_id": task.tenant_id,
        "channel_id": task.channel_id,
    }
