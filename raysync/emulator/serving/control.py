"""Control endpoint, /_emulator/…: reads and changes a running emulator.

Only programs on this machine may use it (see `visitors`). The size of their requests is bounded.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from raysync.emulator.api.replies import Reply, json_reply
from raysync.emulator.edits.by_name import UnknownEditError
from raysync.emulator.faults.rules import FaultRule
from raysync.emulator.faults.script import FaultScript
from raysync.emulator.gateway.by_name import stage
from raysync.emulator.serving.changes import (
    NAME_SETS,
    UNCHANGEABLE,
    changed_limits,
    changed_quirks,
    checked_ms,
)
from raysync.emulator.serving.emulator import Emulator
from raysync.emulator.serving.request_log import LogEntry
from raysync.emulator.world.cdn import parse_query

PREFIX: Final = "/_emulator/"
MAX_BYTES: Final = 1024 * 1024
"""Bytes of a request body."""
MAX_EDITS: Final = 20_000
"""Edits in one request."""
_CLIENT_ERRORS: Final = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    UnknownEditError,
)


class Control:
    """Control requests of one emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self._handlers: dict[tuple[str, str], Callable[[dict[str, str], bytes], Reply]] = {
            ("GET", "state"): self.state,
            ("GET", "counters"): self.counters,
            ("GET", "log"): self.log,
            ("DELETE", "log"): self.reset_log,
            ("GET", "faults"): self.faults,
            ("POST", "faults"): self.set_faults,
            ("POST", "edits"): self.edit,
            ("POST", "gateway"): self.spoil_gateway,
            ("GET", "gateway"): self.gateway,
            ("GET", "truth"): self.truth,
            ("POST", "limits"): self.set_limits,
            ("POST", "quirks"): self.set_quirks,
            ("POST", "clock"): self.set_clock,
        }

    def answer(self, method: str, path: str, query: str, body: bytes) -> Reply:
        """Answer a control request of an admitted visitor. *path* is without the prefix."""
        handler = self._handlers.get((method, path))
        if handler is None:
            known = sorted(" ".join(request) for request in self._handlers)
            return json_reply({"error": f"unknown control: {method} {path}", "known": known}, 404)
        parameters = {name: values[-1] for name, values in parse_query(query).items()}
        try:
            return handler(parameters, body)
        except _CLIENT_ERRORS as error:
            return json_reply({"error": f"{type(error).__name__}: {error}"}, 400)

    def state(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Return the world, the limits and the quirks that are served."""
        world = self.emulator.world
        limits = self.emulator.engine.limiter.limits
        plain_limits = {
            field.name: getattr(limits, field.name)
            for field in dataclasses.fields(limits)
            if field.name not in UNCHANGEABLE
        }
        guilds = [
            {
                "id": str(guild.id),
                "name": guild.name,
                "channels": len(guild.channels),
                "threads": len(guild.threads),
                "messages": sum(len(channel.log.ids) for channel in guild.every_channel()),
            }
            for guild in world.guilds.values()
        ]
        bots = [
            {
                "name": bot.user.name,
                "id": str(bot.user.id),
                "guilds": [str(guild_id) for guild_id in bot.guild_ids],
            }
            for bot in world.bots.values()
        ]
        quirks = {
            name: sorted(value) if name in NAME_SETS else value
            for name, value in dataclasses.asdict(self.emulator.engine.quirks).items()
        }
        return json_reply(
            {
                "url": self.emulator.url,
                "guilds": guilds,
                "bots": bots,
                "limits": plain_limits,
                "quirks": quirks,
                "now_ms": world.clock.now_ms(),
            }
        )

    def counters(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Return the counters since the last reset."""
        return json_reply(self.emulator.counters.as_json())

    def log(self, query: Mapping[str, str], _body: bytes) -> Reply:
        """List the last `limit` requests, by `route`, `status`, `channel_id`, `bot` or `since`."""
        entries = [entry for entry in self.emulator.log.entries if _matches(entry, query)]
        last = entries[-int(query["limit"]) :] if "limit" in query else entries
        return json_reply([entry.as_json() for entry in last])

    def reset_log(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Delete the logged requests and the counters."""
        self.emulator.log.reset()
        return json_reply({})

    def faults(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Return how many requests each rule has taken."""
        return json_reply({"taken": self.emulator.faults.taken})

    def set_faults(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Replace the fault script with a list of rules."""
        rules = [FaultRule.from_json(rule) for rule in orjson.loads(body)]
        self.emulator.faults = FaultScript(*rules)
        return json_reply({"rules": len(rules)})

    def edit(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Make edits in order. Ids in the results are strings."""
        edits = orjson.loads(body)
        if len(edits) > MAX_EDITS:
            raise ValueError(f"at most {MAX_EDITS} edits in one request, not {len(edits)}")
        results = [self.emulator.edits.apply(edit) for edit in edits]
        return json_reply({"results": [_with_text_id(result) for result in results]})

    def spoil_gateway(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Stage faults of the gateway, in order: `{"do": NAME}` with the arguments of NAME."""
        steps = orjson.loads(body)
        for step in steps:
            arguments = {name: value for name, value in step.items() if name != "do"}
            stage(self.emulator.gateway, str(step.get("do")), arguments)
        return json_reply({"done": len(steps)})

    def gateway(self, _query: Mapping[str, str], _body: bytes) -> Reply:
        """Return the last 1,000 happenings at the gateway, and its sessions."""
        gateway = self.emulator.gateway
        sessions = [
            {"id": one.id, "bot": one.bot.user.name, "seq": one.seq, "connected": one.is_connected}
            for one in list(gateway.sessions.values())
        ]
        log = [entry.as_json() for entry in list(gateway.log)[-1000:]]
        return json_reply({"sessions": sessions, "log": log})

    def truth(self, query: Mapping[str, str], _body: bytes) -> Reply:
        """List the messages that an archive must hold, one `{"channel_id","message"}` a line.

        `guild_id` names the guild (by default the first); `token` limits the list to what it can
        read. A message that is served damaged is listed undamaged, with `"damaged":true`.
        """
        world = self.emulator.world
        guild_id = int(query.get("guild_id") or next(iter(world.guilds)))
        damaged = world.damaged(guild_id)
        lines = (
            orjson.dumps(
                {"channel_id": str(channel_id), "message": message}
                | ({"damaged": True} if (channel_id, int(message["id"])) in damaged else {})
            )
            for channel_id, message in world.truth(guild_id, query.get("token"))
        )
        return Reply(200, b"".join(line + b"\n" for line in lines), "application/x-ndjson")

    def set_limits(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Change limits by name. All buckets start empty."""
        changes = orjson.loads(body)
        limits = changed_limits(self.emulator.engine.limiter.limits, changes)
        self.emulator.set_limits(limits)
        return json_reply({"changed": sorted(changes)})

    def set_clock(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Set `offset_ms` or `frozen_ms`, or advance the clock by `advance_ms`."""
        clock, changes = self.emulator.world.clock, orjson.loads(body)
        unknown = changes.keys() - {"offset_ms", "frozen_ms", "advance_ms"}
        if unknown:
            raise ValueError(f"unknown clock settings: {sorted(unknown)}")
        frozen_ms = changes.get("frozen_ms", clock.frozen_ms)
        offset_ms = checked_ms(changes.get("offset_ms", clock.offset_ms))
        offset_ms = checked_ms(offset_ms + checked_ms(changes.get("advance_ms", 0)))
        clock.frozen_ms = None if frozen_ms is None else checked_ms(frozen_ms)
        clock.offset_ms = offset_ms
        return json_reply({"now_ms": clock.now_ms()})

    def set_quirks(self, _query: Mapping[str, str], body: bytes) -> Reply:
        """Change quirks by name. `missing_routes` is a list of route names."""
        changes = orjson.loads(body)
        self.emulator.set_quirks(changed_quirks(self.emulator.engine.quirks, changes))
        return json_reply({"changed": sorted(changes)})


def _matches(entry: LogEntry, query: Mapping[str, str]) -> bool:
    filtered = {
        "route": entry.route,
        "status": str(entry.status),
        "channel_id": entry.major_id,
        "bot": entry.bot,
    }
    is_match = all(query.get(name, value) == value for name, value in filtered.items())
    return is_match and entry.at_s >= float(query.get("since", 0))


def _with_text_id(result: Any) -> Any:
    return str(result) if isinstance(result, int) and not isinstance(result, bool) else result
