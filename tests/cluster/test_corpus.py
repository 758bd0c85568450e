"""Real chat, served by the emulator, synced by the program, compared line by line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checked_installation import installation
from tests.corpus_check import UNLIMITED, compare_archive, part_of
from tests.emulator.openapi import shared_file

LOGS = 3


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """The first logs of the corpus."""
    return part_of(shared_file("corpus/irc-chat.jsonl.gz"), LOGS, tmp_path)


def test_every_spoken_line_is_archived_once_word_for_word(chat: Path) -> None:
    with installation(["--corpus", str(chat), "--limits", "off"], **UNLIMITED) as archive:
        first = archive.start("--workers", "1")
        comparison = compare_archive(chat, archive)
        again = archive.start("--workers", "1")
        after = compare_archive(chat, archive)

    assert comparison.differences == []
    assert comparison.compared == first.job["messages_processed"] > 0
    assert after.differences == []
    assert not any(each["route"].endswith("/messages") for each in again.requests)
