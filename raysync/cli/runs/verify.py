"""Command `raysync verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import options
from raysync.cli.error_handling import EXIT_FAILED, EXIT_INTERRUPTED
from raysync.cli.output import words
from raysync.cli.output.console import print_json
from raysync.cli.output.hints import command_line, suggest
from raysync.cli.output.invocation import as_invoked
from raysync.cli.runs.start import run

if TYPE_CHECKING:
    from raysync.models.results import CoverageGap, SyncJobResult

MAX_GAPS = 20


def verify(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Verify this tenant's archive.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Read the channels with gaps, and verify again.")
    ] = False,
    sample: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            metavar="N",
            help="Also read N random pages again, and correct the archive where it differs.",
        ),
    ] = 0,
    as_json: options.ResultAsJson = False,
) -> None:
    """Prove that no message is missing, or name the gaps.

    The archive records the ranges of message ids that were read. They are compared with the newest
    message that Discord reports for each channel and thread.

    Data for which the API has no route is listed as not covered, and does not count as a gap.

    Exit codes: 0 no gap, 1 gaps or a failure, 2 usage or configuration, 130 interrupted.
    """
    job = _run_verification(tenant, sample)
    is_whole = job.status in ("completed", "partial")
    if repair and is_whole and job.verification is not None and job.verification.gaps:
        repaired = _read_gaps(tenant, job.verification.gaps)
        is_cancelled = repaired.status == "cancelled"
        job = repaired if is_cancelled else _run_verification(tenant, sample)
    if as_json:
        print_json(job.model_dump_json(indent=2))
    else:
        _show(job, sample)
        if job.status in ("cancelled", "failed"):
            options_ = ["--repair"] * repair + ["--sample", str(sample)] * bool(sample)
            command = command_line("verify", "--tenant", tenant, *options_)
            suggest(f"The verification ended early ({job.status}). Verify again:", command)
    raise typer.Exit(exit_code(job))


def exit_code(job: SyncJobResult) -> int:
    """Return the exit code of a verification. A list that was not read proves nothing: 1."""
    if job.status == "cancelled":
        return EXIT_INTERRUPTED
    is_proven = job.verification is not None and job.status == "completed" and not _real_gaps(job)
    return 0 if is_proven else EXIT_FAILED


def _run_verification(tenant: str, sample: int) -> SyncJobResult:
    from raysync.models.status import SyncType
    from raysync.run.requests import SyncRequest

    request = SyncRequest(tenants=(tenant,), sync_type=SyncType.VERIFY, sample=sample)
    return run(request).jobs[0]


def _read_gaps(tenant: str, gaps: list[CoverageGap]) -> SyncJobResult:
    from raysync.models.ids import ChannelId
    from raysync.run.requests import SyncRequest

    channels = frozenset(ChannelId(int(gap.channel_id)) for gap in gaps)
    return run(SyncRequest(tenants=(tenant,), channels=channels, lookback_s=0.0)).jobs[0]


def _real_gaps(job: SyncJobResult) -> list[CoverageGap]:
    """Return the gaps, without those of messages written since the last sync."""
    verification = job.verification
    return [gap for gap in verification.gaps if not gap.is_news] if verification else []


def _show(job: SyncJobResult, sample: int) -> None:
    from raysync.cli.output.console import out
    from raysync.cli.progress.summary import error_line, not_covered, quarantine_line

    console = out()
    verification = job.verification
    if verification is None:
        console.print(f"{job.tenant}: not verified")
        return
    console.print(
        f"{job.tenant}: {words.count(verification.proven)} of "
        f"{words.counted(verification.channels, 'channel')} proven complete"
    )
    for gap in verification.gaps[:MAX_GAPS]:
        kind = "not synced yet" if gap.is_news else "gap"
        console.print(
            f"  {kind}: {words.channel(gap.name, gap.channel_id)}, "
            f"{gap.after:%Y-%m-%d %H:%M} to {gap.before:%Y-%m-%d %H:%M} UTC",
            markup=False,
        )
    if len(verification.gaps) > MAX_GAPS:
        console.print(f"  and {len(verification.gaps) - MAX_GAPS} more: --json lists all")
    if sample:
        console.print(
            f"  sample: {words.counted(job.messages_processed, 'message')} compared; "
            f"{words.count(job.messages_added)} were missing, "
            f"{words.count(job.messages_edited)} had been edited, "
            f"{words.count(job.messages_deleted)} deleted",
            markup=False,
        )
    for reason in sorted({channel.reason for channel in job.skipped}):
        count = sum(channel.reason == reason for channel in job.skipped)
        console.print(
            f"  skipped: {words.counted(count, 'channel')}: {as_invoked(words.printable(reason))}",
            markup=False,
        )
    for missing in not_covered(job):
        console.print(f"  not covered: {missing}", markup=False)
    if job.quarantined:
        console.print(f"  {quarantine_line(job.quarantined, job.tenant)}", markup=False)
    for error in job.errors[:MAX_GAPS]:
        console.print(f"  not verified: {error_line(error)}", markup=False)
    if _real_gaps(job):
        command = command_line("verify", "--tenant", job.tenant, "--repair")
        console.print(f"Read them: {command}", soft_wrap=True)
