"""`.ci/newest-ray` may fail, and says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / ".ci" / "newest-ray"
FAKE_UV = """#!/bin/sh
if [ "$1" = venv ]; then
    for word; do :; done # the last word is the environment
    mkdir -p "$word/bin"
    cp "$(dirname "$0")/fake-python" "$word/bin/python"
    exit 0
fi
exit $INSTALLED
"""
FAKE_PYTHON = """#!/bin/sh
case "$1" in
    -c) echo 9.9.9 ;;
    -V) echo Python 3.11.0 ;;
    *) echo "== 7 passed, 2 failed in 3.00s =="; exit $TESTED ;;
esac
"""


@pytest.mark.parametrize(
    ("strict", "installed", "tested", "code", "last"),
    [
        ([], 0, 0, 0, "newest-ray: ok: Ray 9.9.9 (pinned: "),
        ([], 0, 1, 0, "newest-ray: FAILED (allowed): Ray 9.9.9 (pinned: "),
        (["--strict"], 0, 1, 1, "newest-ray: FAILED (allowed): Ray 9.9.9 (pinned: "),
        ([], 2, 0, 0, "newest-ray: FAILED (allowed): the newest Ray cannot be installed"),
        (["--strict"], 2, 0, 1, "newest-ray: FAILED (allowed): the newest Ray cannot be installed"),
    ],
)
def test_the_last_line_says_how_it_went(
    tmp_path: Path, strict: list[str], installed: int, tested: int, code: int, last: str
) -> None:
    for name, text in (("uv", FAKE_UV), ("fake-python", FAKE_PYTHON)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    environ = {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path),
        "INSTALLED": str(installed),
        "TESTED": str(tested),
    }

    done = subprocess.run(
        [str(SCRIPT), *strict, "tests/cluster/test_sync.py"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == code, done.stderr
    assert done.stdout.splitlines()[-1].startswith(last)
    assert not list(tmp_path.glob("newest-ray-*")), "its environment was left behind"
