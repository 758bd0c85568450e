"""Real chat, served by the emulator, synced by the program, compared line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checked_installation import installation
from tests.cluster.installation import ray_environ
from tests.cluster.ray_head import RayHead
from tests.corpus_check import UNLIMITED, compare_archive, part_of
from tests.emulator.openapi import shared_file

LOGS, LINES_OF_EACH = 20, 450  # five pages a channel at most: none waits for its bucket


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A part of the corpus."""
    whole = shared_file("corpus/irc-chat.jsonl.gz")
    return part_of(whole, LOGS, tmp_path, LINES_OF_EACH)


def test_every_spoken_line_is_archived_once_word_for_word(chat: Path, ray_head: RayHead) -> None:
    settings = ray_environ() | UNLIMITED | {"RAY_ADDRESS": ray_head.address}
    with installation(["--corpus", str(chat), "--limits", "off"], **settings) as archive:
        first = archive.start("--workers", "2")
        comparison = compare_archive(chat, archive)
        again = archive.start("--workers", "2")
        after = compare_archive(chat, archive)

    assert comparison.differences == []
    assert comparison.compared == first.job["messages_processed"] > LOGS * LINES_OF_EACH // 2
    assert after.differences == []
    assert not any(request["route"].endswith("/messages") for request in again.requests)
