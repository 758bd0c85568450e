"""Access of a command to the privacy of one tenant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from raysync.privacy import TenantPrivacy

_T = TypeVar("_T")
REPORT_EVERY = 50_000
"""Number of messages between two progress lines of long work."""


async def with_privacy(
    slug: str, act: Callable[[TenantPrivacy], Awaitable[_T]], *, only_looks: bool = False
) -> _T:
    """Run *act* on the tenant's privacy, in the name of the operator who runs the command.

    *only_looks* gives each statement the short limit of a command that only shows something.
    """
    from raysync.database import LOOK_TIMEOUT_S, open_store
    from raysync.operators import operator_name
    from raysync.privacy import TenantPrivacy
    from raysync.settings import read_settings
    from raysync.store.connection.sessions import STATEMENT_TIMEOUT_S
    from raysync.store.tenants import TenantStore

    timeout_s = LOOK_TIMEOUT_S if only_looks else STATEMENT_TIMEOUT_S
    async with open_store(read_settings(), timeout_s=timeout_s) as engine:
        tenant = await TenantStore(engine).get(slug)
        return await act(TenantPrivacy(engine, tenant, operator_name(), _progress_reporter()))


def _progress_reporter() -> Callable[[int], None]:
    """Return a function that counts messages, and prints the sum every `REPORT_EVERY` of them."""
    from raysync.cli.output import words
    from raysync.cli.output.console import say

    done = 0

    def report(messages: int) -> None:
        nonlocal done
        before, done = done // REPORT_EVERY, done + messages
        if done // REPORT_EVERY > before:
            say(f"{words.count(done)} messages done")

    return report
