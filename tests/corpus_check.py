"""Sync real chat as an operator does, and compare the archive with the chat line by line.

    uv run python tests/corpus_check.py --corpus FILE [--limits discord] [--logs N] [--workers N]

The expected archive is read from the file itself. Of the emulator only its documented mapping of
lines to message ids is used. Exits with 1 if anything differs.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from raysync.emulator import Corpus
from tests.checked_installation import Installation, Run, installation

UNLIMITED = {
    "SYNC_GLOBAL_REQUESTS_PER_SECOND": "1000",
    "SYNC_CHANNEL_PAGES_PER_SECOND": "1000",
}
SHOWN_DIFFERENCES = 20
DISCORD_EPOCH_MS = 1_420_070_400_000
PLAIN, REPLY = 0, 19
MB = 1_000_000

WHY = {
    "GET /users/@me": "a client logs in: the driver's; workers know from it who the token is",
    "GET /oauth2/applications/@me": "the same; it also says whether the content intent is on",
    "GET /guilds/{guild_id}": "roles and owner, for the bot's permissions",
    "GET /guilds/{guild_id}/roles": "the roles, for the bot's permissions",
    "GET /guilds/{guild_id}/members/{user_id}": "the bot's own roles",
    "GET /guilds/{guild_id}/channels": "all channels, each with the id of its last message",
    "GET /guilds/{guild_id}/threads/active": "all active threads",
    "GET /channels/{channel_id}/threads/archived/public": "a channel's archived threads",
    "GET /channels/{channel_id}/threads/archived/private": "the private ones",
    "GET /channels/{channel_id}/users/@me/threads/archived/private": "those the bot is in",
    "GET /channels/{channel_id}/messages": "a page of history",
}


@dataclass(frozen=True, slots=True)
class Spoken:
    """Line of the chat that must be a message of the archive."""

    log: str
    line: int
    nick: str
    text: str
    replies_to_line: int | None


def spoken_lines(corpus: Path) -> Iterator[Spoken]:
    """Yield the spoken lines in file order; a reply answers its first earlier linked line."""
    seen: dict[str, set[int]] = {}
    with gzip.open(corpus, "rt", encoding="utf-8", newline="\n") as lines:
        for record in map(json.loads, lines):
            before = seen.setdefault(record["log"], set())
            if record["kind"] != "message":
                continue
            linked = (each for each in record.get("replies_to", ()) if each in before)
            before.add(record["line"])
            yield Spoken(
                record["log"], record["line"], record["nick"], record["text"], next(linked, None)
            )


class Comparison:
    """Comparison of exported rows with spoken lines; `differences` lists what differs."""

    def __init__(self, corpus: Corpus) -> None:
        self.compared = 0
        self.differences: list[str] = []
        self._place_of: dict[tuple[str, str], tuple[str, int]] = {}
        self._id_of: dict[tuple[str, int], str] = {}
        for log, line, channel_id, message_id in corpus.lines():
            self._place_of[str(channel_id), str(message_id)] = (log, line)
            self._id_of[log, line] = str(message_id)
        self._author_of: dict[str, str] = {}
        self._nick_of: dict[str, str] = {}
        self._last = (0, 0)

    def compare(self, spoken: Iterable[Spoken], rows: Iterable[dict[str, Any]]) -> None:
        """Record every difference between the lines and the rows."""
        missing = {(line.log, line.line): line for line in spoken}
        if len(self._place_of) != len(missing):
            self.differences.append(f"{len(missing)} lines have {len(self._place_of)} ids")
        for row in rows:
            self._check_order(row)
            place = self._place_of.get((row["channel_id"], row["id"]))
            line = missing.pop(place, None) if place else None
            if line is None:
                self.differences.append(f"doubled, or never spoken: {row}")
            else:
                self._check_row(line, row)
        self.differences += [f"missing: {each}" for each in missing.values()]

    def _check_order(self, row: dict[str, Any]) -> None:
        place = int(row["channel_id"]), int(row["id"])
        if place <= self._last:
            self.differences.append(f"out of order: {row}")
        self._last = place

    def _check_row(self, line: Spoken, row: dict[str, Any]) -> None:
        self.compared += 1
        for what, wanted, found in self._facts(line, row):
            if wanted != found:
                where = f"{line.log}, line {line.line}, {what}"
                self.differences.append(f"{where}: {wanted!r} became {found!r}")

    def _facts(self, line: Spoken, row: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
        author, reply_to, kind = row["author"], None, PLAIN
        if line.replies_to_line is not None:
            reply_to, kind = self._id_of[line.log, line.replies_to_line], REPLY
        written_ms = (int(row["id"]) >> 22) + DISCORD_EPOCH_MS
        yield "text", line.text.encode(), row["content"].encode()
        yield "author of the nick", self._author_of.setdefault(line.nick, author), author
        yield "nick of the author", line.nick, self._nick_of.setdefault(author, line.nick)
        yield "reply", reply_to, row["reply_to_id"]
        yield "type", kind, row["type"]
        yield "time", written_ms, _ms(row["created_at"])
        yield "edits and deletions", (None, None), (row["edited_at"], row["deleted_at"])
        yield "parts", ([], []), (row["attachments"], row["reactions"])


def _ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def compare_archive(corpus: Path, archive: Installation) -> Comparison:
    """Export the archive and compare it with the chat."""
    comparison = Comparison(Corpus.load(corpus))
    exported = archive.home / "export.jsonl"
    archive.export(exported)
    with exported.open(encoding="utf-8", newline="\n") as lines:
        comparison.compare(spoken_lines(corpus), map(json.loads, lines))
    return comparison


def part_of(corpus: Path, logs: int, directory: Path, lines_of_each: int | None = None) -> Path:
    """Write the first lines of the first logs as a corpus; ids stay the same."""
    part, taken = directory / "part.jsonl.gz", Counter[str]()
    with gzip.open(corpus, "rb") as lines, gzip.open(part, "wb", compresslevel=1) as kept:
        for line in lines:
            log = json.loads(line)["log"]
            taken[log] += 1
            if len(taken) > logs:
                break
            if lines_of_each is None or taken[log] <= lines_of_each:
                kept.write(line)
    return part


def report(title: str, run: Run) -> str:
    """Format the figures of one run."""
    job, stats, workers = run.job, run.job["parallel_stats"], run.workers
    read, unchanged = job["channels_processed"], job["channels_unchanged"]
    messages, rate = job["messages_processed"], job["messages_processed"] / run.took_s
    ideal_s, actual_s, efficiency = (stats[n] for n in ("ideal_s", "actual_s", "efficiency"))
    rss_mb, uss_mb = workers.peak_rss_bytes / MB, workers.peak_uss_bytes / MB
    routes = Counter(request["route"] or request["path"] for request in run.requests).most_common()
    figures = {
        "channels": f"{read} read, {unchanged} unchanged: {job['status']}",
        "messages": f"{messages:,}, {rate:,.0f}/s",
        "seconds": f"{run.took_s:.2f} from the first request to the last",
        "requests": f"{len(run.requests):,}, {run.refused} answered 429",
        "efficiency": f"{efficiency or 0:.3f} (ideal {ideal_s:.2f} s, actual {actual_s:.2f} s)",
        "at once": f"{stats['max_concurrent_channels']} channels, {workers.workers} workers",
        "memory": f"{rss_mb:.0f} MB RSS, {uss_mb:.0f} MB its own: the largest worker",
    }
    lines = [f"  {name:<12}{value}" for name, value in figures.items()]
    lines += [f"  {n:>8,}  {route}: {WHY.get(route, 'not foreseen')}" for route, n in routes]
    return "\n".join([title, *lines])


def check(corpus: Path, limits: str, workers: int | None) -> list[str]:
    """Sync three times and print the figures; return the differences from the chat."""
    settings = {} if limits == "discord" else UNLIMITED
    chosen = [] if workers is None else ["--workers", str(workers)]
    with installation(["--corpus", str(corpus), "--limits", limits], **settings) as archive:
        print(report("first run", archive.start("--full", *chosen)), flush=True)
        comparison = compare_archive(corpus, archive)
        print(f"compared {comparison.compared:,} messages", flush=True)
        differences = comparison.differences
        for title, options in (("again", []), ("again, --lookback 0", ["--lookback", "0"])):
            print(report(title, archive.start(*chosen, *options)), flush=True)
            differences += compare_archive(corpus, archive).differences
    return differences


def main() -> int:
    """Check with the command line's options; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--corpus", type=Path, required=True, help="a .jsonl.gz of chat")
    parser.add_argument("--limits", choices=["off", "discord"], default="off")
    parser.add_argument("--logs", type=int, metavar="N", help="only the first N logs")
    parser.add_argument("--workers", type=int, metavar="N", help="as of `raysync start`")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        corpus = part_of(given.corpus, given.logs, Path(directory)) if given.logs else given.corpus
        differences = check(corpus, given.limits, given.workers)
    for each in differences[:SHOWN_DIFFERENCES]:
        print(each)
    print(f"{len(differences)} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
