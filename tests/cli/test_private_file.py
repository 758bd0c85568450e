"""What is exported or reported is its owner's alone, and goes through nobody's link."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysync.cli.output.private_file import private_file, private_log, target
from raysync.errors import ConfigurationError, RaysyncError

SOMEBODY = 54_321
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


class FailedError(RaysyncError):
    """It could not be written."""


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def write(path: Path, text: str = "new") -> None:
    with private_file(target(str(path)), FailedError) as file:
        file.write(text.encode())


@pytest.mark.usefixtures("umask")
def test_a_new_file_is_its_owners_alone_whatever_the_umask(tmp_path: Path) -> None:
    write(tmp_path / "out")

    assert mode_of(tmp_path / "out") == 0o600
    with private_log(tmp_path / "log"):
        pass
    assert mode_of(tmp_path / "log") == 0o600


@pytest.mark.parametrize(
    ("before", "after"), [(0o644, 0o600), (0o666, 0o600), (0o600, 0o600), (0o400, 0o400)]
)
def test_a_file_in_its_place_makes_it_no_more_open(tmp_path: Path, before: int, after: int) -> None:
    (tmp_path / "out").write_text("earlier")
    (tmp_path / "out").chmod(before)

    write(tmp_path / "out")

    assert (tmp_path / "out").read_text() == "new"
    assert mode_of(tmp_path / "out") == after


def test_nobody_sees_it_before_it_is_whole_and_it_is_closed_from_the_beginning(
    tmp_path: Path,
) -> None:
    before = os.umask(0)
    try:
        with private_file(tmp_path / "out", FailedError) as file:
            file.write(b"half")
            file.flush()
            (draft,) = tmp_path.iterdir()
            assert (draft.name != "out", mode_of(draft)) == (True, 0o600)
    finally:
        os.umask(before)
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_what_fails_leaves_the_earlier_file_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("earlier")

    def interrupted() -> None:
        with private_file(tmp_path / "out", FailedError) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (tmp_path / "out").read_text() == "earlier"
    assert [each.name for each in tmp_path.iterdir()] == ["out"]


def test_a_link_of_ones_own_is_followed_and_stays(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "latest").symlink_to("data/../data/today")

    write(tmp_path / "latest")

    assert (tmp_path / "latest").is_symlink()
    assert (tmp_path / "data" / "today").read_text() == "new"
    assert mode_of(tmp_path / "data" / "today") == 0o600


def test_links_in_a_circle_are_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")

    with pytest.raises(ConfigurationError, match="Too many levels"):
        target(str(tmp_path / "a"))


@as_root
@pytest.mark.parametrize("place", ["out", "folder/out"])
def test_a_link_that_somebody_else_has_placed_is_not_followed(tmp_path: Path, place: str) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "out").write_text("earlier")
    link = tmp_path / place.split("/")[0]
    link.symlink_to("victim" if "/" in place else "victim/out")
    os.lchown(link, SOMEBODY, SOMEBODY)

    with pytest.raises(ConfigurationError, match="a link that another user has created"):
        write(tmp_path / place)

    assert (tmp_path / "victim" / "out").read_text() == "earlier"


def test_a_link_that_comes_after_the_look_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("earlier")
    path = target(str(tmp_path / "out"))
    (tmp_path / "out").symlink_to("victim")

    with pytest.raises(ConfigurationError), private_file(path, FailedError) as file:
        file.write(b"new")

    assert (tmp_path / "victim").read_text() == "earlier"


def test_a_folder_that_is_exchanged_meanwhile_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "elsewhere").mkdir()

    with private_file(tmp_path / "folder" / "out", FailedError) as file:
        (tmp_path / "folder").rename(tmp_path / "moved")
        (tmp_path / "folder").symlink_to("elsewhere")
        file.write(b"new")

    assert (tmp_path / "moved" / "out").read_text() == "new"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_pipe_of_ones_own_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()

    write(tmp_path / "pipe")

    reader.join()
    assert read == ["new"]


@as_root
def test_a_pipe_that_somebody_else_has_placed_is_not(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    os.chown(tmp_path / "pipe", SOMEBODY, SOMEBODY)
    with os.fdopen(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
        with pytest.raises(ConfigurationError, match="a pipe that another user has created"):
            write(tmp_path / "pipe")
        assert reader.read() == b""


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is a directory"):
        target(str(tmp_path))
