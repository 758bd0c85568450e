"""Pseudonyms of one tenant: look-up, rotation, and the key and rules they are made under."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from functools import partial
from typing import Final

from raysync.clock import SystemClock
from raysync.credentials import key_mark, secret_key
from raysync.discord_api.people.pseudonyms import pseudonym, pseudonymizer_for, rotation_key
from raysync.discord_api.people.rescrubbing import Rescrubber
from raysync.errors import ConfigurationError
from raysync.models.audit import AuditAction
from raysync.models.entities import Privacy
from raysync.models.privacy import PSEUDONYM, SCRUBBING_RULES, RescrubCounts
from raysync.privacy.work import TenantWork
from raysync.settings import Settings
from raysync.store.archive.channels import ChannelStore
from raysync.store.jobs.lease import hold_tenant
from raysync.store.privacy.key_checks import KeyChecks
from raysync.store.privacy.rescrubbing import Rescrubbing
from raysync.store.privacy.rotation import Generations, Rotation
from raysync.store.privacy.scrubbings import Scrubbing, scrubbing_of
from raysync.store.privacy.suppressions import people_rules

_PSEUDONYM: Final = re.compile(PSEUDONYM)


def is_pseudonym(text: str) -> bool:
    """Return whether *text* has the form of a pseudonym."""
    return _PSEUDONYM.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class TenantPseudonyms(TenantWork):
    """Pseudonyms of one tenant."""

    async def ref_of(self, user: str, settings: Settings) -> str:
        """Return a user's name in the database. *user* is Discord's id or the pseudonym.

        Raises:
            ConfigurationError: the tenant keeps ids and *user* is a pseudonym, or pseudonyms were
                made under another key.
        """
        if self.tenant.privacy is Privacy.FULL:
            if is_pseudonym(user):
                raise ConfigurationError(
                    f"{self.tenant.slug} keeps people by their ids, not by pseudonyms: give the "
                    "user's Discord id."
                )
            return user
        if is_pseudonym(user):
            return user
        rules = await people_rules(self.engine, self.tenant, SystemClock().now())
        people = pseudonymizer_for(self.tenant.privacy, await self._key(settings), rules)
        return people.author_ref(user)

    async def generations(self) -> Generations:
        """Return how many times pseudonyms were rotated."""
        return await Rotation(self.engine, self.tenant.id, self.progress).state()

    async def rotate(self, settings: Settings) -> int:
        """Give everybody another pseudonym. Return the number of the generation.

        Raises:
            ConfigurationError: the tenant keeps people by their ids.
            JobRunningError: the tenant is being synced.
        """
        if self.tenant.privacy is Privacy.FULL:
            raise ConfigurationError(
                f"{self.tenant.slug} keeps people by their ids: there are no pseudonyms to rotate."
            )
        key = await self._key(settings)
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            rotation = Rotation(self.engine, self.tenant.id, self._while_held(lease))
            generation = await rotation.run(
                lambda salt: partial(pseudonym, rotation_key(key, salt)),
                self._entry(AuditAction.PRIVACY_ROTATE_BEGUN),
            )
            await self._audit(AuditAction.PRIVACY_ROTATE, generation=generation)
        return generation

    async def scrubbing(self) -> Scrubbing:
        """Return the scrubbing rules that the tenant's rows were written under."""
        return await scrubbing_of(self.engine, self.tenant.id)

    async def count_rescrub(self) -> int:
        """Count the messages that `rescrub` would look at."""
        return await Rescrubbing(self.engine, self.tenant.id, self.progress).count()

    async def rescrub(self, settings: Settings) -> RescrubCounts:
        """Rewrite rows of earlier scrubbing rules under today's. Resume an interrupted run.

        Raises:
            ConfigurationError: a rotation must be finished first, or the key is another.
            JobRunningError: the tenant is being synced.
        """
        tenant = self.tenant
        is_full = tenant.privacy is Privacy.FULL
        key = b"" if is_full else await self._key(settings)
        async with hold_tenant(self.engine, tenant.id) as lease:
            rules = await people_rules(self.engine, tenant, SystemClock().now())
            channels = await ChannelStore(self.engine, tenant.id).ids()
            guild_id = str(tenant.guild_id)
            people, reports = (
                pseudonymizer_for(tenant.privacy, key, rules, known).at_api(
                    settings.discord_api_url
                )
                for known in ({guild_id}, {guild_id, *map(str, channels)})
            )
            work = Rescrubbing(self.engine, tenant.id, self._while_held(lease))
            begun = self._entry(AuditAction.PRIVACY_RESCRUB_BEGUN, rules=SCRUBBING_RULES)
            done = await work.run(Rescrubber(people, reports), begun)
            await self._audit(AuditAction.PRIVACY_RESCRUB, rules=SCRUBBING_RULES, **asdict(done))
        return done

    async def accept_key(self, settings: Settings) -> bool:
        """Accept the secret key in use, in place of the earlier one or as the first one.

        Return False if it is the accepted one already.

        Raises:
            ConfigurationError: the tenant keeps people by their ids, or there is no key.
            JobRunningError: the tenant is being synced.
        """
        if self.tenant.privacy is Privacy.FULL:
            raise ConfigurationError(
                f"{self.tenant.slug} keeps people by their ids, which no key changes."
            )
        secret, checks = secret_key(settings), KeyChecks(self.engine)
        mark = key_mark(secret, self.tenant.guild_id)
        async with hold_tenant(self.engine, self.tenant.id):
            marked = {self.tenant.id: mark}
            is_new = await checks.differing(marked) or await checks.unmarked(marked)
            if is_new:
                await checks.replace(self.tenant.id, mark)
                await self._audit(AuditAction.PRIVACY_ACCEPT_KEY)
        return bool(is_new)
