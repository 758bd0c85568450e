"""Progress as log records with figures in fields, for `SYNC_LOG_FORMAT=json`.

The records have no names of channels, and only the class of a failure. `raysync dead-letters` shows
the details.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict

from raysync.cli.progress import outage_messages
from raysync.cli.progress.channel_counts import counts_of_result
from raysync.cli.progress.periodic import PeriodicObserver
from raysync.models.events import ChannelView, JobView
from raysync.models.ids import JobId
from raysync.models.outage import Outage
from raysync.models.results import SyncJobResult

_log = logging.getLogger(__name__)


class LogObserver(PeriodicObserver):
    """Observer that logs the start, the progress and the end of each job."""

    def ray_ready(self, dashboard_url: str | None, token_source: str | None) -> None:
        needs_token = token_source is not None
        _write("ray_ready", "Ray is ready", dashboard_url=dashboard_url, needs_token=needs_token)

    def started(self, tenant: str, job_id: JobId) -> None:
        _write("job_started", "job started", tenant=tenant, job_id=job_id)

    def _report(self, view: JobView) -> None:
        _write("job_progress", "job under way", **_figures(view))

    def finished(self, result: SyncJobResult) -> None:
        stats, counts = result.parallel_stats, counts_of_result(result)
        level = logging.INFO if result.status == "completed" else logging.WARNING
        took_s = (result.completed_at - result.started_at).total_seconds()
        _write(
            "job_ended",
            f"job {result.status}",
            level,
            tenant=result.tenant,
            job_id=result.job_id,
            status=result.status,
            took_s=round(took_s, 3),
            channels=result.channels_processed,
            channels_unchanged=result.channels_unchanged,
            channels_failed=counts.failed,
            channels_skipped=counts.skipped,
            channels_left=counts.left,
            channels_total=counts.total,
            messages=result.messages_processed,
            added=result.messages_added,
            edited=result.messages_edited,
            deleted=result.messages_deleted,
            requests=stats.total_api_calls,
            rate_limit_encounters=stats.rate_limit_encounters,
            efficiency=stats.efficiency,
            **{
                name: count
                for name, count in (
                    ("quarantined", result.quarantined),
                    ("unplaced", result.unplaced),
                )
                if count
            },
        )
        place = {"tenant": result.tenant, "job_id": result.job_id}
        for missing in result.not_covered:
            _write("not_covered", missing.reason, route=missing.route, what=missing.what, **place)
        failed = {
            channel.channel_id for channel in result.channel_results if channel.status == "failed"
        }
        for error in result.errors:
            if error.channel_id is None:
                _write("job_error", error.error, logging.ERROR, **place)
            elif error.channel_id in failed and not self.has_reported(result, error):
                _write_failed(error.channel_id, error.error.partition(":")[0], place)

    def _report_outage(self, outage: Outage) -> None:
        _write(
            "database_away",
            outage_messages.waiting(outage),
            logging.WARNING,
            since=outage.since.isoformat(),
            until=outage.until.isoformat(),
            reason=outage_messages.reason(outage),
        )

    def _report_return(self, after_s: float) -> None:
        _write("database_back", outage_messages.over(after_s), away_s=round(after_s, 1))

    def _report_failure(self, view: JobView, channel: ChannelView) -> None:
        if channel.failure is not None:
            place = {"tenant": view.tenant, "job_id": view.job_id}
            _write_failed(channel.channel_id, channel.failure.error, place)


def _write_failed(channel_id: object, error: str, place: Mapping[str, object]) -> None:
    failure = {"channel_id": channel_id, "error": error}
    _write("channel_failed", "channel given up", logging.WARNING, **place, **failure)


def _figures(view: JobView) -> dict[str, object]:
    return {
        "tenant": view.tenant,
        "job_id": view.job_id,
        "messages": view.messages,
        "messages_per_second": round(view.messages_per_second, 1),
        "requests": view.requests,
        "requests_per_second": round(view.requests_per_second, 1),
        "budget_per_second": view.budget_per_second,
        "rate_limit_encounters": view.rate_limit_encounters,
        "channels_total": view.channels_total,
        "channels_completed": view.channels_completed,
        "channels_failed": view.channels_failed,
        "channels_skipped": view.channels_skipped,
        "channels_unchanged": view.channels_unchanged,
        "channels_left_alone": view.channels_cooling,
        "planning": view.planning,
        "eta_s": None if view.eta_s is None else round(view.eta_s, 1),
        **{name: count for name, count in asdict(view.extras).items() if count},
    }


def _write(event: str, sentence: str, level: int = logging.INFO, /, **fields: object) -> None:
    _log.log(level, "%s", sentence, extra={"event": event, **fields})
