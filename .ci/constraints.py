"""Writes constraints.txt, and the same pins into pyproject.toml, from a fresh resolution.

uv.lock names the registry it was resolved from, so it is not committed. `uv` honours the pins in
pyproject.toml (a checkout), everything else takes constraints.txt (`pip install -c`).
Run it by `make constraints`; a test keeps both in step with what is installed.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Exact versions of everything that was tested. Made by `make constraints`.\n"
BLOCK = re.compile(r"constraint-dependencies = \[\n.*?^\]\n", re.DOTALL | re.MULTILINE)


def run(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def main() -> None:
    project = ROOT / "pyproject.toml"
    text = project.read_text()
    project.write_text(BLOCK.sub("constraint-dependencies = [\n]\n", text))
    try:
        run("uv", "lock", "--upgrade")
        exported = run(
            "uv", "export", "--no-hashes", "--no-emit-project", "--no-header", "--no-annotate"
        )
    except BaseException:
        project.write_text(text)
        raise
    pins = [line.strip() for line in exported.splitlines() if "==" in line]
    (ROOT / "constraints.txt").write_text(HEADER + "".join(f"{pin}\n" for pin in pins))
    listed = "".join(f'    "{pin}",\n' for pin in pins)
    project.write_text(BLOCK.sub(lambda _: f"constraint-dependencies = [\n{listed}]\n", text))
    run("uv", "lock")


if __name__ == "__main__":
    main()
