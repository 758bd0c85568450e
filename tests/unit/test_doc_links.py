"""Links between the pages of the documentation lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_project import is_somewhere

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_FENCED = re.compile(r"^ *```[^\n]*\n.*?^ *```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_MODULE = re.compile(r"`([\w/]+/\w+\.py)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_NOT_IN_ANCHOR = re.compile(r"[^\w\- ]")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert [link for link in links_of(page) if not leads_somewhere(page, link)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_module_that_a_page_names_exists(page: Path) -> None:
    named = set(_MODULE.findall(_FENCED.sub("", page.read_text())))

    assert sorted(name for name in named if not is_somewhere(name)) == []


def links_of(page: Path) -> list[str]:
    """Return the links of a page that stay in the repository."""
    found = _LINK.findall(_FENCED.sub("", page.read_text()))
    return [link for link in found if "://" not in link]


def leads_somewhere(page: Path, link: str) -> bool:
    """Return whether the file, and the heading if the link names one, exist."""
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    return target.exists() and (not anchor or anchor in anchors_of(target))


def anchors_of(page: Path) -> Iterator[str]:
    """Yield the fragments under which GitHub finds the headings of a page."""
    for heading in _HEADING.findall(_FENCED.sub("", page.read_text())):
        yield _NOT_IN_ANCHOR.sub("", heading.lower()).replace(" ", "-")
