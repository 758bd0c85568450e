"""What the installation leaves open to others on its machine and its network: nothing."""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from raysync.credentials import secret_key
from raysync.models.ids import GuildId
from raysync.settings import Settings
from raysync.store.archive.blobs import open_blob_store
from raysync.store.server.embedded import start_embedded, stop_embedded


@pytest.fixture
def home() -> Iterator[Path]:
    """One that does not exist yet, as on a first day; the umask is the usual one."""
    before = os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="raysync-open-") as directory:
        path = Path(directory) / "home"
        try:
            yield path
        finally:
            os.umask(before)
            stop_embedded(path)


def open_to_others(below: Path) -> list[str]:
    """Whatever below, and including, a directory the group or the world may touch."""
    found = []
    for each in (below, *below.rglob("*")):
        mode = each.lstat().st_mode
        if mode & 0o077 and not stat.S_ISLNK(mode):
            found.append(f"{each} {stat.filemode(mode)}")
    return found


def test_a_home_that_raysync_makes_is_its_owners_alone(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYSYNC_HOME", str(home))
    monkeypatch.delenv("RAYSYNC_SECRET_KEY", raising=False)
    monkeypatch.delenv("RAYSYNC_DATABASE_URL", raising=False)
    secret_key(Settings())
    url = start_embedded(home)
    with psycopg.connect(url) as session:
        session.execute("CREATE TABLE somebodys AS SELECT 'words'")

    assert (home / "secret.key").exists()
    assert any(stat.S_ISSOCK(each.lstat().st_mode) for each in (home / "postgres").iterdir())
    assert open_to_others(home) == []


def test_the_embedded_server_listens_on_its_socket_alone(home: Path) -> None:
    url = start_embedded(home)
    pid = int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0])
    with psycopg.connect(url) as session:
        assert session.execute("SHOW listen_addresses").fetchone() == ("",)
        processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        listening = [
            each
            for process in processes
            for each in process.net_connections("inet")
            if each.status == psutil.CONN_LISTEN
        ]
    assert listening == []
    rules = (home / "postgres" / "pg_hba.conf").read_text().splitlines()
    methods = {line.split()[0]: line.split()[-1] for line in rules if line and line[0] != "#"}
    assert methods == {"local": "peer", "host": "reject"}


def test_a_folder_of_attachments_is_its_owners_alone(home: Path) -> None:
    async def keep() -> None:
        vault = open_blob_store(str(home / "files"), GuildId(7))
        vault.check()
        async with vault.draft() as draft:
            draft.write(b"somebody's picture")
            await draft.keep()

    asyncio.run(keep())

    assert any(each.is_file() for each in home.rglob("*"))
    assert open_to_others(home) == []
