"""The report in a browser: no request, no console error, no overflow, printable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from raysync.cli.job_report.page import page
from raysync.models.work import VisitSpan
from tests.cli.chromium import PROGRAM, Chromium, chromium
from tests.cli.histories import busy_guild, channel, failed, finished
from tests.cli.samples import STARTED

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no chromium on this machine")

PHONE, DESKTOP = 360, 1280
LONG_WORD = "x" * 100  # as long as Discord lets a channel's name be
_SCROLLS = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
_TOO_WIDE = """
[...document.querySelectorAll("body *")].filter(each => !each.closest("svg")
    && each.getBoundingClientRect().right > innerWidth + 1).map(each => each.outerHTML.slice(0, 90))
"""
_LABELS = "document.querySelectorAll('svg text[class^=on-]')"
_CONTRASTS = """
(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
  const rgb = colour => {
    canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = colour => {
    const [r, g, b] = rgb(colour).map(each => each / 255)
      .map(each => each <= .03928 ? each / 12.92 : ((each + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const ground = each => {
    for (; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }
    return "white";
  };
  const ratio = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((a, b) => a - b);
    return (high + .05) / (low + .05);
  };
  const written = "p, dt, dd, h1, h2, h3, th, td, li, small, caption, .status";
  const texts = [...document.querySelectorAll(written)]
    .map(each => [each.outerHTML.slice(0, 60),
      ratio(getComputedStyle(each).color, ground(each))]);
  const block = kind => document.querySelector(`rect.${kind}`);
  const labels = [...document.querySelectorAll("svg text[class^=on-]")]
    .map(each => [each.getAttribute("class"), ratio(getComputedStyle(each).fill,
      getComputedStyle(block(each.getAttribute("class").split(" ")[0].slice(3))).fill)]);
  return [...texts, ...labels].filter(each => each[1] < 4.5);
})()
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A page with everything in it, and with words that no line can break."""
    began_s = STARTED.timestamp()
    long = VisitSpan("worker-9", began_s, began_s + 90, 1, 90.0)  # wide enough for a name
    channels = [
        *busy_guild(120, workers=3),
        *(channel(800 + number, messages=10**6 - number, visits=(long,)) for number in range(9)),
        failed(900, "Discord answers 403 " + LONG_WORD, visits=(long,)),
        channel(901, name=LONG_WORD, worker_id=LONG_WORD),
        channel(902, name="<script>document.title = 'taken'</script>"),
    ]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(finished(channels), STARTED + timedelta(hours=1)), encoding="utf-8")
    return path


async def assert_harmless(tab: Chromium, report: Path) -> None:
    assert await tab.evaluate("document.readyState") == "complete"
    assert tab.requests == [report.as_uri()]
    assert tab.complaints == []
    assert await tab.evaluate("document.title") != "taken"


async def test_a_browser_asks_nobody_fits_a_phone_is_readable_and_prints(report: Path) -> None:
    async with chromium() as tab:
        for width, dark in ((DESKTOP, False), (DESKTOP, True), (PHONE, False)):
            await tab.screen(width, dark=dark)
            await tab.open(report)

            await assert_harmless(tab, report)
            assert await tab.evaluate("innerWidth") == width  # a phone zooms out instead
            assert await tab.evaluate(_SCROLLS) is False
            assert await tab.evaluate(_TOO_WIDE) == []
            assert await tab.evaluate(f"{_LABELS}.length") >= 9
            assert await tab.evaluate(_CONTRASTS) == []

        printed = await tab.pdf()

    assert printed.startswith(b"%PDF-")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 12


async def test_a_page_that_is_not_innocent_is_found_out(report: Path, tmp_path: Path) -> None:
    """Prove that the checks of the test above can fail."""
    image = "http://127.0.0.1:9/x.png"
    guilty = report.read_text().replace(
        "</main>", f"<img src='{image}'><svg width='900' height='9'></svg></main>"
    )
    guarded, loose = tmp_path / "guarded.html", tmp_path / "loose.html"
    guarded.write_text(guilty)
    loose.write_text(re.sub(r"<meta http-equiv=[^>]*>", "", guilty))
    async with chromium() as tab:
        await tab.screen(PHONE)
        await tab.open(guarded)
        assert "Content Security Policy" in " ".join(tab.complaints)
        assert await tab.evaluate(f"innerWidth > {PHONE} || {_SCROLLS}") is True

        await tab.open(loose)
        assert image in tab.requests
