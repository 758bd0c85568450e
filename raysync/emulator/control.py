"""The control endpoint, /_emulator/…: what a test or a person tells a running emulator.

Only loopback may use it.
"""

import dataclasses
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import orjson

from raysync.emulator.cdn import parse_query
from raysync.emulator.edits import UnknownEditError
from raysync.emulator.faults import FaultRule, FaultScript
from raysync.emulator.limits import BanBody, Form, Headers, Limits, Refusals
from raysync.emulator.replies import Reply, json_reply
from raysync.emulator.request_log import LogEntry

if TYPE_CHECKING:
    from raysync.emulator.server import Emulator

PREFIX: Final = "/_emulator/"
_LOOPBACK: Final = ("127.0.0.1", "::1")
_ENUMS: Final[dict[str, type[StrEnum]]] = {
    "bucket_form": Form,
    "global_form": Form,
    "headers": Headers,
    "ban_body": BanBody,
    "refusals": Refusals,
}
_UNCHANGEABLE: Final = frozenset({"clock", "routes", "shared_routes"})


class Control:
    """Answers the control requests of one emulator."""

    def __init__(self, emulator: "Emulator") -> None:
        self.emulator = emulator
        self._handlers: dict[tuple[str, str], Callable[[dict[str, str], bytes], Reply]] = {
            ("GET", "state"): self.state,
            ("GET", "counters"): self.counters,
            ("GET", "log"): self.log,
            ("DELETE", "log"): self.reset_log,
            ("GET", "faults"): self.faults,
            ("POST", "faults"): self.set_faults,
            ("POST", "edits"): self.edit,
            ("GET", "truth"): self.truth,
            ("POST", "limits"): self.set_limits,
            ("POST", "clock"): self.set_clock,
        }

    def answer(self, method: str, path: str, query: str, body: bytes, address: str) -> Reply:
        """Answer a control request; *path* is what follows the prefix."""
        if address not in _LOOPBACK:
            return json_reply({"error": "only from this machine"}, 403)
        handler = self._handlers.get((method, path))
        if handler is None:
            known = sorted(" ".join(each) for each in self._handlers)
            return json_reply({"error": "no such control", "known": known}, 404)
        values = {name: each[-1] for name, each in parse_query(query).items()}
        try:
            return handler(values, body)
        except (LookupError, ValueError, TypeError, AttributeError, UnknownEditError) as error:
            return json_reply({"error": f"{type(error).__name__}: {error}"}, 400)

    def state(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Tell what is served."""
        world = self.emulator.world
        limits = self.emulator.engine.limiter.limits
        plain = {key: value for key, value in _plain(limits).items() if key not in _UNCHANGEABLE}
        guilds = [
            {
                "id": str(guild.id),
                "name": guild.name,
                "channels": len(guild.channels),
                "threads": len(guild.threads),
                "messages": sum(len(each.log.ids) for each in guild.every_channel()),
            }
            for guild in world.guilds.values()
        ]
        bots = [
            {
                "name": bot.user.name,
                "id": str(bot.user.id),
                "guilds": [str(g) for g in bot.guild_ids],
            }
            for bot in world.bots.values()
        ]
        state = {"url": self.emulator.url, "guilds": guilds, "bots": bots, "limits": plain}
        return json_reply(state | {"now_ms": world.clock.now_ms()})

    def counters(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Tell the counters since the last reset."""
        return json_reply(self.emulator.counters.as_json())

    def log(self, query: Mapping[str, str], _body: bytes) -> Reply:
        """List requests, the last `limit`, by `route`, `status`, `channel_id`, `bot`, `since`."""
        entries = [each for each in self.emulator.log.entries if _chosen(each, query)]
        last = entries[-int(query["limit"]) :] if "limit" in query else entries
        return json_reply([each.as_json() for each in last])

    def reset_log(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Forget the requests and counters."""
        self.emulator.log.reset()
        return json_reply({})

    def faults(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Tell how many requests each rule has taken."""
        return json_reply({"taken": self.emulator.faults.taken})

    def set_faults(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Replace the fault script with a list of rules."""
        rules = [FaultRule.from_json(each) for each in orjson.loads(body)]
        self.emulator.faults = FaultScript(*rules)
        return json_reply({"rules": len(rules)})

    def edit(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Make changes, in order; ids in the answers are strings."""
        results = [self.emulator.edits.apply(each) for each in orjson.loads(body)]
        return json_reply({"results": [_id_text(each) for each in results]})

    def truth(self, query: Mapping[str, str], _body: bytes) -> Reply:
        """List what an archive must hold, one `{"channel_id","message"}` a line.

        Of `guild_id` (the first by default); with `token`, of what it can read.
        """
        world = self.emulator.world
        guild_id = int(query.get("guild_id") or next(iter(world.guilds)))
        lines = (
            orjson.dumps({"channel_id": str(channel_id), "message": message})
            for channel_id, message in world.truth(guild_id, query.get("token"))
        )
        return Reply(200, b"".join(line + b"\n" for line in lines), "application/x-ndjson")

    def set_limits(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Change some limits by name; every bucket starts anew."""
        changes = orjson.loads(body)
        limits = changed_limits(self.emulator.engine.limiter.limits, changes)
        self.emulator.set_limits(limits)
        return json_reply({"changed": sorted(changes)})

    def set_clock(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Set `offset_ms` or `frozen_ms`, or move on by `advance_ms`."""
        clock, changes = self.emulator.world.clock, orjson.loads(body)
        unknown = changes.keys() - {"offset_ms", "frozen_ms", "advance_ms"}
        if unknown:
            raise ValueError(f"unknown: {sorted(unknown)}")
        clock.frozen_ms = changes.get("frozen_ms", clock.frozen_ms)
        offset_ms = int(changes.get("offset_ms", clock.offset_ms))
        clock.offset_ms = offset_ms + int(changes.get("advance_ms", 0))
        return json_reply({"now_ms": clock.now_ms()})


def changed_limits(limits: Limits, changes: Mapping[str, Any]) -> Limits:
    """Return limits with some values replaced by plain ones; ValueError for unknown names."""
    known = {each.name for each in dataclasses.fields(Limits)} - _UNCHANGEABLE
    unknown = changes.keys() - known
    if unknown:
        raise ValueError(f"unknown limits: {sorted(unknown)}")
    values = {name: _value(name, changes[name]) for name in changes}
    return dataclasses.replace(limits, **values)


def _value(name: str, value: Any) -> Any:
    return _ENUMS[name](value) if name in _ENUMS else value


def _plain(limits: Limits) -> dict[str, Any]:
    return {each.name: getattr(limits, each.name) for each in dataclasses.fields(limits)}


def _chosen(entry: LogEntry, query: Mapping[str, str]) -> bool:
    wanted = {
        "route": entry.route,
        "status": str(entry.status),
        "channel_id": entry.major_id,
        "bot": entry.bot,
    }
    fits = all(query.get(name, value) == value for name, value in wanted.items())
    return fits and entry.at_s >= float(query.get("since", 0))


def _id_text(result: Any) -> Any:
    return str(result) if isinstance(result, int) and not isinstance(result, bool) else result
