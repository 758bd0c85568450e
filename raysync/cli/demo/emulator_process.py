"""The demo's emulator of Discord, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysync.cli.output.private_file import private_log
from raysync.errors import RaysyncError
from raysync.reasons import reason_in_output

LOOPBACK = "127.0.0.1"
READY_TIMEOUT_S = 60.0
_POLL_INTERVAL_S = 0.05
_STOP_TIMEOUT_S = 5.0
_ANSWER_TIMEOUT_S = 10.0
_OPENER_WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DemoEmulatorError(RaysyncError):
    """The emulator does not start, or does not answer."""


@dataclass(frozen=True, slots=True)
class DemoEmulator:
    """A running emulator with one guild and one bot."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    guild_id: int

    def post_messages(self, contents: list[tuple[int, str]]) -> None:
        """Post new messages, given as pairs of channel id and content."""
        self._edit(
            [
                {"op": "post_message", "channel_id": str(channel_id), "content": content}
                for channel_id, content in contents
            ]
        )

    def post_message(self, channel_id: int, content: str) -> int:
        """Post one message and return its id."""
        edit = {"op": "post_message", "channel_id": str(channel_id), "content": content}
        (message_id,) = self._edit([edit])
        return int(message_id)

    def edit_message(self, channel_id: int, message_id: int, content: str) -> None:
        """Edit a message."""
        place = {"channel_id": str(channel_id), "message_id": str(message_id)}
        self._edit([{"op": "edit_message", **place, "content": content}])

    def delete_message(self, channel_id: int, message_id: int) -> None:
        """Delete a message."""
        place = {"channel_id": str(channel_id), "message_id": str(message_id)}
        self._edit([{"op": "delete_message", **place}])

    def _edit(self, edits: list[dict[str, Any]]) -> list[Any]:
        request = urllib.request.Request(  # noqa: S310 our own emulator on loopback
            f"{self.url.removesuffix('/api/v10')}/_emulator/edits",
            data=json.dumps(edits).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _OPENER_WITHOUT_PROXY.open(request, timeout=_ANSWER_TIMEOUT_S) as answer:
                results: list[Any] = json.load(answer)["results"]
                return results
        except OSError as error:
            raise DemoEmulatorError(f"The emulator did not accept an edit: {error}.") from None

    def stop(self) -> None:
        """Terminate the process; kill it if it has not ended after 5 seconds."""
        self.process.terminate()
        try:
            self.process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()


def start_emulator(
    home: Path, *, limited: bool, exits_with_parent: bool, messages: int | None = None
) -> DemoEmulator:
    """Start an emulator with the lively guild, its log under *home*, and wait until it answers.

    It has a session of its own, so that Ctrl-C reaches only the demo. With *exits_with_parent* it
    ends when this process ends, even if this one is killed.

    Raises:
        DemoEmulatorError: it does not start. The message has the last line of its output.
    """
    ready_file, log = home / "emulator.json", home / "emulator.log"
    ready_file.unlink(missing_ok=True)
    program = "raysync.cli.exit_with_parent" if exits_with_parent else "raysync"
    command = [sys.executable, "-m", program, "emulator", "serve", "--preset", "lively"]
    command += ["--port", "0", "--ready-file", str(ready_file)]
    command += ["--limits", "discord" if limited else "off"]
    if messages is not None:
        command += ["--messages", str(messages)]
    with private_log(log) as output:
        process = subprocess.Popen(  # noqa: S603 our own program, no shell
            command,
            stdin=subprocess.PIPE if exits_with_parent else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        ready = _await_ready(process, ready_file, log)
    except BaseException:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        raise
    return DemoEmulator(process, ready["url"], ready["token"], int(ready["guilds"][0]))


def _await_ready(process: subprocess.Popen[bytes], ready_file: Path, log: Path) -> dict[str, Any]:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s:
        if ready_file.exists():
            ready: dict[str, Any] = json.loads(ready_file.read_text(encoding="utf-8"))
            return ready
        if process.poll() is not None:
            reason = reason_in_output(log.read_text(encoding="utf-8", errors="replace"))
            why = reason or f"exit code {process.returncode}"
            raise DemoEmulatorError(f"The emulator did not start: {why}. See {log} for its output.")
        time.sleep(_POLL_INTERVAL_S)
    raise DemoEmulatorError(
        f"The emulator was not ready within {READY_TIMEOUT_S:.0f} s. See {log} for its output."
    )
