"""Rescue of a page when the store refuses a message for an unforeseen reason."""

from __future__ import annotations

from dataclasses import dataclass, field

from raysync.errors import ClaimLostError
from raysync.models.entities import WITHHELD
from raysync.models.status import ChannelJobStatus
from raysync.models.work import Claim, PageReceipt, PageWrite
from tests.unit.sync.fakes import FakeHistory, FakePages, channel_sync, make_task, snowflakes
from tests.virtual_time import run_virtual


@dataclass
class PickyPages(FakePages):
    """Store that refuses pages with the payloads of certain messages."""

    poison: set[int] = field(default_factory=set)
    refuses_all: bool = False
    asked: int = 0

    async def save_page(self, claim: Claim, page: PageWrite) -> PageReceipt:
        self.asked += 1
        whole = {each.id for each in page.messages if not each.quarantine}
        if self.refuses_all or whole & self.poison:
            raise RuntimeError("what people wrote")
        return await super().save_page(claim, page)


def sync(history: FakeHistory, pages: PickyPages) -> ChannelJobStatus:
    engine = channel_sync(history, pages, 20)
    outcome = run_virtual(engine.run(make_task(), lambda _: None))
    assert "people" not in (outcome.failure.message if outcome.failure else "")
    return outcome.status


def test_one_refused_message_loses_only_its_payload() -> None:
    history, ids = FakeHistory(), snowflakes(50)
    history.post(*ids)
    pages = PickyPages(poison={ids[3], ids[19], ids[20]})

    assert sync(history, pages) is ChannelJobStatus.COMPLETED
    assert pages.rows.keys() == set(ids)
    marked = {each.id for each in pages.rows.values() if each.quarantine == (WITHHELD,)}
    assert marked == pages.poison
    assert all(any(each in part for part in pages.coverage) for each in ids)
    assert pages.asked < 50, "pages are halved"


def test_a_store_that_refuses_everything_fails_the_channel() -> None:
    history = FakeHistory()
    history.post(*snowflakes(5))
    pages = PickyPages(refuses_all=True)

    assert sync(history, pages) is ChannelJobStatus.FAILED
    assert pages.rows == {}


def test_a_lost_claim_is_not_taken_for_a_refused_message() -> None:
    history = FakeHistory()
    history.post(*snowflakes(5))
    pages = PickyPages(errors=[ClaimLostError("another worker took over")])

    assert sync(history, pages) is ChannelJobStatus.FAILED
    assert pages.asked == 1
