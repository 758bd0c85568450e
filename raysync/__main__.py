"""Entry point of ``python -m raysync`` and of the command ``raysync``."""

from __future__ import annotations

from raysync.cli.app import app


def main() -> None:
    """Run the command line, and exit with its exit code."""
    app(prog_name="raysync")


if __name__ == "__main__":
    main()
