"""Checks of this machine: secret key, disks, proxy, Ray."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from raysync.credentials import (
    KEY_FILE,
    readable_by_others,
    secret_key,
)
from raysync.discord_api.proxies import proxies_here
from raysync.doctor.sentences import FAIL, OK, WARN
from raysync.errors import (
    ConfigurationError,
)
from raysync.models.checks import Check
from raysync.settings import LOCAL_RAYS, Settings

LITTLE_DISK, NO_DISK = 5 * 10**9, 5 * 10**8
"""Free bytes of a disk below which a check warns, and below which it fails."""
LITTLE_SHARE = 0.1
"""Free share of a disk below which a check warns."""


def check_secret(settings: Settings) -> Check:
    """Check that the key for pseudonyms and stored tokens exists."""
    try:
        secret_key(settings)
    except ConfigurationError as error:
        return Check(name="secret key", status=FAIL, says=str(error))
    where = settings.home / KEY_FILE if settings.secret_key is None else "RAYSYNC_SECRET_KEY"
    says = f"It is in {where}. Keep a copy elsewhere."
    return Check(name="secret key", status=OK, says=says)


def check_files(settings: Settings) -> Check:
    """Check that only the owner can read the secret key. `tenant add` checks a token's file."""
    path = settings.home / KEY_FILE
    if settings.secret_key is not None or not path.exists():
        return Check(name="files", status=OK, says="The secret key is not read from a file.")
    if readable_by_others(path):
        return Check(
            name="files",
            status=FAIL,
            says=f"Other users can read {path}, and with it pseudonyms and stored tokens.",
            advice=f"Make it private: chmod 600 {path}",
        )
    return Check(name="files", status=OK, says=f"Other users cannot read {path}.")


def check_disks(settings: Settings) -> list[Check]:
    """Check the free space where raysync writes. An external database has a disk of its own."""
    paths = {"home": settings.home, "temporary files": Path(tempfile.gettempdir())}
    if settings.database_url is None:
        paths["the embedded database"] = settings.home / "postgres"
    by_volume: dict[int, tuple[str, Path]] = {}
    for what, path in paths.items():
        there = next(parent for parent in (path, *path.parents) if parent.exists())
        known = by_volume.get(there.stat().st_dev)
        by_volume[there.stat().st_dev] = (f"{known[0]}, {what}" if known else what, there)
    return [_disk(what, path) for what, path in by_volume.values()]


def _disk(what: str, path: Path) -> Check:
    room = shutil.disk_usage(path)
    share = room.free / room.total
    says = f"{room.free / 1e9:,.1f} GB ({share:.0%}) free for {what}, at {path}."
    if room.free < NO_DISK:
        status = FAIL
    else:
        status = WARN if room.free < LITTLE_DISK or share < LITTLE_SHARE else OK
    advice = (
        None if status is OK else "Free some space, or set RAYSYNC_HOME or TMPDIR to another disk."
    )
    return Check(name="disk", status=status, says=says, advice=advice)


def check_proxy(settings: Settings) -> list[Check]:
    """Check the proxy to Discord, if the environment names one."""
    proxies = proxies_here()
    try:
        says, status = proxies.in_words(settings.discord_api_url, "Discord's API"), OK
    except ConfigurationError as error:
        says, status = str(error), FAIL
    return [Check(name="proxy", status=status, says=says)] if proxies.variables else []


async def check_ray(settings: Settings) -> Check:
    """Check that this machine can join the Ray cluster of the settings."""
    address = settings.ray_address
    if address is None:
        return _check_local_ray(settings)
    from raysync.actors.joining import require_joinable  # here, because Ray takes a second

    try:
        head = await asyncio.to_thread(require_joinable, address)
    except ConfigurationError as error:
        return Check(name="ray", status=FAIL, says=str(error))
    if head.ray_version is None:
        return Check(
            name="ray",
            status=FAIL,
            says=f"The Ray cluster at RAY_ADDRESS ({address}) does not answer in time.",
            advice="Check its head: `ray status` there, its load and its memory.",
        )
    return Check(
        name="ray",
        status=OK,
        says=f"This machine can join RAY_ADDRESS ({address}): {head.versions}.",
    )


def _check_local_ray(settings: Settings) -> Check:
    """Describe the Ray of runs on this machine, and the warm ones that run now."""
    idle_s = settings.local_ray_idle_s
    says = ["A run starts its own Ray."]
    if idle_s > 0:
        says = [f"A run joins a warm Ray, which ends after {idle_s:g} s without a run."]
    if not (settings.home / LOCAL_RAYS).is_dir():
        return Check(name="ray", status=OK, says=says[0])
    from raysync.actors.warm_ray import heads  # here, because Ray takes a second

    running = heads(settings.home)
    for head in running:
        shown = f", with its dashboard at {head.dashboard_url}" if head.dashboard_url else ""
        says.append(
            f"A warm Ray has been running since {head.since:%Y-%m-%d %H:%M} UTC "
            f"(process {head.pid}){shown}."
        )
    advice = None
    if running:
        pids = " ".join(str(head.pid) for head in running)
        advice = f"To end it with its last run: kill {pids}"
    return Check(name="ray", status=OK, says=" ".join(says), advice=advice)
