"""What a privacy officer does with a tenant: look, forget, limit, rename, hand out.

Whatever changes the archive holds the tenant meanwhile, so that nothing is synced, goes in short
transactions, and is done to its end by doing it again where it was cut short. Each is told to the
audit log, which can never be changed: so people are named there by the number of their entry on
the suppression list, or not at all.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Final

from raysync.clock import SystemClock
from raysync.credentials import another_key, key_mark, secret_key, tenant_key
from raysync.discord_api.people.pseudonyms import pseudonym, pseudonymizer_for, rotation_key
from raysync.discord_api.people.redaction import Redaction
from raysync.discord_api.people.rescrubbing import Rescrubber
from raysync.errors import ConfigurationError, JobRunningError
from raysync.models.entities import Privacy, Tenant
from raysync.models.ids import ChannelId
from raysync.models.privacy import (
    AS_KNOWN,
    PSEUDONYM,
    SCRUBBING_RULES,
    Elsewhere,
    ErasureCounts,
    PurgeCounts,
    RescrubCounts,
    Retention,
    Suppression,
)
from raysync.settings import Settings
from raysync.store.archive.blobs import open_blob_store
from raysync.store.archive.channels import ChannelStore
from raysync.store.archive.ranges import Progress
from raysync.store.connection.audit import AuditLog, Note
from raysync.store.connection.audit import entry as audit_entry
from raysync.store.connection.engine import Engine
from raysync.store.jobs.lease import JobLease, hold_tenant
from raysync.store.privacy.erasure import Erasure
from raysync.store.privacy.key_checks import KeyChecks
from raysync.store.privacy.names import Names
from raysync.store.privacy.purge import Purge
from raysync.store.privacy.rescrubbing import Rescrubbing
from raysync.store.privacy.rotation import Generations, Rotation
from raysync.store.privacy.scrubbings import Scrubbing, scrubbing_of
from raysync.store.privacy.stored_files import Due, any_due, places, sweep
from raysync.store.privacy.subject_export import subject_lines
from raysync.store.privacy.suppressions import SuppressionStore, people_rules
from raysync.store.schema.privacy_tables import SuppressedKind
from raysync.store.tenants import TenantStore

_PSEUDONYM: Final = re.compile(PSEUDONYM)


def is_pseudonym(text: str) -> bool:
    """Whether *text* looks like one."""
    return _PSEUDONYM.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class TenantPrivacy:
    """One tenant's privacy; *actor* is who acts, *progress* is told of messages that are done."""

    engine: Engine
    tenant: Tenant
    actor: str
    progress: Progress = lambda _: None

    async def ref_of(self, user: str, settings: Settings) -> str:
        """What the database calls a user, who is given by Discord's id or by the pseudonym.

        Raises ConfigurationError where a tenant that keeps ids is given a pseudonym, and where
        the key is not the one that pseudonyms were made under.
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

    async def count_user(
        self, ref: str, typed: str | None = None, elsewhere: Elsewhere = AS_KNOWN
    ) -> ErasureCounts:
        """What forgetting a user would erase; see `forget_user`."""
        names = Names.of(ref, typed)
        counts = await self._erasure(self.progress).count_user(names)
        return await self._with_files(counts, elsewhere, Due(authors=names.refs))

    async def count_channel(
        self, channel_id: ChannelId, elsewhere: Elsewhere = AS_KNOWN
    ) -> ErasureCounts:
        """What forgetting a channel, with its threads, would erase."""
        erasure = self._erasure(self.progress)
        rows = await erasure.channel_and_threads(channel_id)
        counts = await erasure.count_channels(rows)
        return await self._with_files(counts, elsewhere, Due(channels=[row.key for row in rows]))

    async def count_all(self, elsewhere: Elsewhere = AS_KNOWN) -> ErasureCounts:
        """What forgetting the tenant would erase."""
        erasure = self._erasure(self.progress)
        due = Due(channels=await erasure.all_keys())
        return await self._with_files(await erasure.count_all(), elsewhere, due)

    async def _with_files(
        self, counts: ErasureCounts, elsewhere: Elsewhere, due: Due
    ) -> ErasureCounts:
        places_now = await self._places(elsewhere)
        files = await sweep(self.engine, self.tenant, places_now, due, is_preview=True)
        return replace(counts, files=files)

    async def forget_user(
        self, ref: str, elsewhere: Elsewhere = AS_KNOWN, typed: str | None = None
    ) -> ErasureCounts:
        """Erase a user, and keep them out from now on.

        What was *typed* to name them is looked for as well: an archive that was kept under
        earlier rules may have the id itself in texts and payloads.

        Attachments' bytes go wherever runs were told to keep them, but for what *elsewhere* says.

        Raises:
            JobRunningError: the tenant is being synced.
            ConfigurationError: a rotation is to be finished first.
        """
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            await people_rules(self.engine, self.tenant, SystemClock().now())
            _require_places(elsewhere, self.tenant)
            entry = await self._suppress(SuppressedKind.USER, ref)
            names = Names.of(ref, typed)
            erased = await self._erasure(self._while_held(lease)).erase_user(
                names, entry, Redaction(people=frozenset(names.refs))
            )
            return await self._erased(SuppressedKind.USER, entry, erased, elsewhere)

    async def forget_channel(
        self, channel_id: ChannelId, elsewhere: Elsewhere = AS_KNOWN
    ) -> ErasureCounts:
        """Erase a channel with its threads, and keep it out. Raises as `forget_user`."""
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            await people_rules(self.engine, self.tenant, SystemClock().now())
            _require_places(elsewhere, self.tenant)
            erasure = self._erasure(self._while_held(lease))
            entry = await self._suppress(SuppressedKind.CHANNEL, str(channel_id))
            rows = await erasure.channel_and_threads(channel_id)
            ids = frozenset({str(channel_id), *(str(each.id) for each in rows)})
            erased = await erasure.erase_channels(rows, Redaction(channels=ids))
            return await self._erased(SuppressedKind.CHANNEL, entry, erased, elsewhere)

    async def forget_all(self, elsewhere: Elsewhere = AS_KNOWN) -> ErasureCounts:
        """Erase the tenant with all that is its own, its token and its files included.

        Raises:
            JobRunningError: it is being synced.
        """
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            _require_places(elsewhere, self.tenant)
            store = TenantStore(self.engine)
            await store.begin_removal(self._entry("forget begun", what="tenant"))
            erased = await self._erasure(self._while_held(lease)).erase_all()
            files = await sweep(self.engine, self.tenant, await self._places(elsewhere))
            await store.remove(self.tenant.slug, is_held=True)
        total = replace(erased, files=files)
        await self._audit(
            "forget", what="tenant", passed_over=sorted(elsewhere.without), **asdict(total)
        )
        return total

    async def suppressions(self) -> tuple[Suppression, ...]:
        """Who and what is kept out."""
        return await SuppressionStore(self.engine, self.tenant.id).list()

    async def undo(self, kind: SuppressedKind, ref: str) -> bool:
        """Keep it out no longer; what was erased comes back with the next full run alone."""
        async with hold_tenant(self.engine, self.tenant.id):
            lifted = await SuppressionStore(self.engine, self.tenant.id).lift(kind, ref)
        if lifted is not None:
            await self._audit("forget undone", what=kind.value, suppression=lifted)
        return lifted is not None

    async def retain(self, retention: Retention) -> None:
        """Keep messages so long from now on.

        Where that is longer, old threads are found again that no list names to a plain run.

        Raises:
            JobRunningError: it is longer, and the tenant is being synced.
        """
        tenant, settings = self.tenant, retention.settings()
        if retention.reaches_below(Retention.of(tenant.settings)):
            async with hold_tenant(self.engine, tenant.id):
                # first: where this is cut short, the same command does it again
                await ChannelStore(self.engine, tenant.id).forget_listings()
                await TenantStore(self.engine).change_settings(tenant.slug, settings)
        else:
            await TenantStore(self.engine).change_settings(tenant.slug, settings)
        await self._audit("privacy retention", **settings)

    async def count_purge(self) -> PurgeCounts:
        """What `purge` would erase."""
        due, files = self._past_retention(), 0
        if await any_due(self.engine, self.tenant.id, due):
            known = await self._places(AS_KNOWN)
            files = await sweep(self.engine, self.tenant, known, due, is_preview=True)
        work = Purge(self.engine, self.tenant.id, self.progress)
        return replace(await work.count(due.before, due.deleted_after), files=files)

    def _past_retention(self) -> Due:
        retention = Retention.of(self.tenant.settings)
        return Due(retention.horizon(SystemClock().now()), retention.purge_deleted_after)

    async def purge(self) -> PurgeCounts:
        """Erase what is past retention. Raises JobRunningError."""
        async with hold_tenant(self.engine, self.tenant.id) as lease:
            return await self.purge_held(lease)

    async def purge_held(self, lease: JobLease) -> PurgeCounts:
        """The same for who holds the tenant already."""
        due, files = self._past_retention(), 0
        # the bytes first: where that fails, or is cut short, the rows are due the next time
        if await any_due(self.engine, self.tenant.id, due):
            files = await sweep(self.engine, self.tenant, await self._places(AS_KNOWN), due)
        work = Purge(self.engine, self.tenant.id, self._while_held(lease))
        done = await work.erase_before(due.before)
        done += await work.empty_deleted(due.deleted_after)
        done = replace(done, files=files)
        if done != PurgeCounts():
            await self._audit("privacy purge", **asdict(done))
        return done

    async def generations(self) -> Generations:
        """How often pseudonyms were made anew."""
        return await Rotation(self.engine, self.tenant.id, self.progress).state()

    async def rotate(self, settings: Settings) -> int:
        """Give everybody another pseudonym; the generation's number.

        Raises:
            ConfigurationError: the tenant keeps people by their ids.
            JobRunningError: it is being synced.
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
                self._entry("privacy rotate begun"),
            )
            await self._audit("privacy rotate", generation=generation)
        return generation

    async def scrubbing(self) -> Scrubbing:
        """Under which rules the tenant's rows were kept."""
        return await scrubbing_of(self.engine, self.tenant.id)

    async def count_rescrub(self) -> int:
        """How many messages `rescrub` would look at."""
        return await Rescrubbing(self.engine, self.tenant.id, self.progress).count()

    async def rescrub(self, settings: Settings) -> RescrubCounts:
        """Bring what was kept under earlier rules to today's; what was cut short goes on.

        Raises:
            ConfigurationError: a rotation is to be finished first, or the key is another.
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
            begun = self._entry("privacy rescrub begun", rules=SCRUBBING_RULES)
            done = await work.run(Rescrubber(people, reports), begun)
            await self._audit("privacy rescrub", rules=SCRUBBING_RULES, **asdict(done))
        return done

    async def export(
        self, ref: str, typed: str | None = None, *, with_mentions: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """All that is kept of one user, as JSON lines; close it where it is not read to its end.

        *typed* as in `forget_user`; *with_mentions*: also where others name them.
        """
        lines, names = 0, Names.of(ref, typed)
        is_refused = False
        try:
            async for block in subject_lines(
                self.engine, self.tenant.id, names, with_mentions=with_mentions
            ):
                lines += block.count(b"\n")
                yield block
        except ConfigurationError:
            is_refused = not lines
            raise
        finally:
            if not is_refused:
                await self._audit("privacy export", lines=lines)

    async def accept_key(self, settings: Settings) -> bool:
        """Go on under a secret key that is not the one before, or the first; False where it is.

        Raises:
            ConfigurationError: the tenant keeps people by their ids, or there is no key.
            JobRunningError: it is being synced.
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
                await self._audit("privacy accept-key")
        return bool(is_new)

    async def _key(self, settings: Settings) -> bytes:
        secret, tenant = secret_key(settings), self.tenant
        marks = {tenant.id: key_mark(secret, tenant.guild_id)}
        if await KeyChecks(self.engine).differing(marks):
            raise another_key(tenant.slug)
        return tenant_key(secret, tenant.guild_id)

    def _erasure(self, progress: Progress) -> Erasure:
        return Erasure(self.engine, self.tenant.id, progress)

    def _while_held(self, lease: JobLease) -> Callable[[int], None]:
        """Progress that ends the work where another may have begun."""

        def told(messages: int) -> None:
            if lease.lost.is_set():
                raise JobRunningError(
                    "The database connection that held the tenant broke. What was done stays: run "
                    "the same command again, and it goes on from there."
                )
            self.progress(messages)

        return told

    async def _suppress(self, kind: SuppressedKind, ref: str) -> int:
        return await SuppressionStore(self.engine, self.tenant.id).add(
            kind, ref, lambda entry: self._entry("forget begun", what=kind.value, suppression=entry)
        )

    async def _erased(
        self,
        kind: SuppressedKind,
        entry: int,
        erased: ErasureCounts,
        elsewhere: Elsewhere,
    ) -> ErasureCounts:
        files = await sweep(self.engine, self.tenant, await self._places(elsewhere))
        await SuppressionStore(self.engine, self.tenant.id).note_erased(entry)
        total = replace(erased, files=files)
        about = {"suppression": entry, "passed_over": sorted(elsewhere.without)}
        await self._audit("forget", what=kind.value, **about, **asdict(total))
        return total

    async def _places(self, elsewhere: Elsewhere) -> set[str]:
        known = await places(self.engine, self.tenant.id)
        return (known | elsewhere.more) - elsewhere.without

    def _entry(self, action: str, **details: object) -> Note:
        return audit_entry(self.actor, action, self.tenant.slug, details)

    async def _audit(self, action: str, **details: object) -> None:
        await AuditLog(self.engine).record(self.actor, action, self.tenant.slug, details)


def _require_places(elsewhere: Elsewhere, tenant: Tenant) -> None:
    """Refuse before anything is erased what cannot be a place of files. ConfigurationError."""
    for url in sorted(elsewhere.more):
        open_blob_store(url, tenant.guild_id)
