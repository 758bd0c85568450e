"""`raysync verify`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from raysync.cli import options
from raysync.cli.error_handling import EXIT_FAILED, EXIT_INTERRUPTED
from raysync.cli.output import words
from raysync.cli.output.console import say, tell_json
from raysync.cli.output.hints import invocation
from raysync.cli.runs.start import run

if TYPE_CHECKING:
    from raysync.models.results import CoverageGap, SyncJobResult

MAX_GAPS = 20


def verify(
    tenant: Annotated[str, typer.Option(metavar="SLUG", help="Whose archive.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Read what is not proven, and verify again.")
    ] = False,
    sample: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            metavar="N",
            help="Also read N random pages again and compare them; what differs is mended.",
        ),
    ] = 0,
    as_json: options.ResultAsJson = False,
) -> None:
    """Prove that no message is missing, or name the gaps.

    What was read is kept as ranges of message ids. They are compared with the newest message that
    Discord names for each channel and thread.

    What the API has no route for is not covered: that is told, and is no gap.

    Exit codes: 0 no gap, 1 gaps or a failure, 2 usage or configuration, 130 interrupted.
    """
    job = _verified(tenant, sample)
    is_whole = job.status in ("completed", "partial")
    if repair and is_whole and job.verification is not None and job.verification.gaps:
        mended = _mend(tenant, job.verification.gaps)
        job = _verified(tenant, sample) if mended.status != "cancelled" else mended
    if as_json:
        tell_json(job.model_dump_json(indent=2))
    else:
        _show(job, sample)
        if job.status in ("cancelled", "failed"):
            again = ["--repair"] * repair + ["--sample", str(sample)] * bool(sample)
            command = " ".join([invocation(), "verify", "--tenant", tenant, *again])
            say(f"The verification did not come to its end. Verify again: {command}")
    raise typer.Exit(exit_code(job))


def exit_code(job: SyncJobResult) -> int:
    """What the verification means to a script: a list that was not read proves nothing."""
    if job.status == "cancelled":
        return EXIT_INTERRUPTED
    is_proven = job.verification is not None and job.status == "completed" and not _holes(job)
    return 0 if is_proven else EXIT_FAILED


def _verified(tenant: str, sample: int) -> SyncJobResult:
    from raysync.models.status import SyncType
    from raysync.run.requests import SyncRequest

    request = SyncRequest(tenants=(tenant,), sync_type=SyncType.VERIFY, sample=sample)
    return run(request).jobs[0]


def _mend(tenant: str, gaps: list[CoverageGap]) -> SyncJobResult:
    from raysync.models.ids import ChannelId
    from raysync.run.requests import SyncRequest

    channels = frozenset(ChannelId(int(each.channel_id)) for each in gaps)
    return run(SyncRequest(tenants=(tenant,), channels=channels, lookback_s=0.0)).jobs[0]


def _holes(job: SyncJobResult) -> list[CoverageGap]:
    """The gaps but those of what was written since the last sync."""
    verification = job.verification
    return [each for each in verification.gaps if not each.is_news] if verification else []


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
        console.print(f"  and {len(verification.gaps) - MAX_GAPS} more: --json names all")
    if sample:
        console.print(
            f"  sample: {words.counted(job.messages_processed, 'message')} compared; "
            f"{words.count(job.messages_added)} were missing, "
            f"{words.count(job.messages_edited)} had been edited, "
            f"{words.count(job.messages_deleted)} deleted",
            markup=False,
        )
    for reason in sorted({each.reason for each in job.skipped}):
        count = sum(each.reason == reason for each in job.skipped)
        console.print(
            f"  left out: {words.counted(count, 'channel')}: {words.printable(reason)}",
            markup=False,
        )
    for each in not_covered(job):
        console.print(f"  not covered: {each}", markup=False)
    if job.quarantined:
        console.print(f"  {quarantine_line(job.quarantined, job.tenant)}", markup=False)
    for error in job.errors[:MAX_GAPS]:
        console.print(f"  not verified: {error_line(error)}", markup=False)
    if _holes(job):
        console.print(f"Read them with: {invocation()} verify --tenant {job.tenant} --repair")
