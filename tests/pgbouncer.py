"""pgbouncer in front of the tests' server, if it is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from raysync.store.server.server_account import account_for

_PROGRAM = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/local/bin:/usr/bin")
_CONFIGURATION = """
[databases]
* = host={socket_dir} port=5432 user={role}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = 30
logfile = {directory}/log
{more}
"""


@contextmanager
def pooled(url: str, mode: str, more: str = "") -> Iterator[str]:
    """Run pgbouncer in *mode*, and yield a superuser's URL of the same database."""
    if _PROGRAM is None:
        pytest.skip("pgbouncer is not installed")
    address = make_url(url)
    socket_dir = Path(str(address.query["host"]))
    role = f"role_pooled_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(sql.SQL("CREATE ROLE {} LOGIN SUPERUSER").format(sql.Identifier(role)))
    account = account_for(socket_dir, [socket_dir])
    switches_directly = account.switches_user and not account.prefix
    with tempfile.TemporaryDirectory(prefix="raysync-pooler-") as directory:
        for path in (Path(directory), Path(directory) / "log"):
            path.touch()
            path.chmod(0o777)
        port = _free_port()
        configuration = Path(directory) / "pgbouncer.ini"
        configuration.write_text(
            _CONFIGURATION.format(
                socket_dir=socket_dir,
                role=role,
                port=port,
                mode=mode,
                directory=directory,
                more=more,
            )
        )
        with subprocess.Popen(
            [*account.prefix, _PROGRAM, str(configuration)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            user=account.uid if switches_directly else None,
            group=account.gid if switches_directly else None,
            extra_groups=[] if switches_directly else None,
        ) as program:
            try:
                _wait_for(port, program, Path(directory) / "log")
                yield f"postgresql://anybody@127.0.0.1:{port}/{address.database}"
            finally:
                program.terminate()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int, program: subprocess.Popen[bytes], log: Path) -> None:
    while program.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
    pytest.fail(log.read_text())
