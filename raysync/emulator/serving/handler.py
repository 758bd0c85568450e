"""HTTP handler: passes each request to the API, the CDN or the control endpoint."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from aiohttp import web

from raysync.emulator.api.requests import Incoming
from raysync.emulator.faults.rules import Action, FaultRule
from raysync.emulator.gateway.connection import Connection
from raysync.emulator.gateway.gateway import PATH, RESUME_PATH
from raysync.emulator.serving.control import MAX_BYTES, Control
from raysync.emulator.serving.control import PREFIX as CONTROL_PREFIX
from raysync.emulator.serving.emulator import API_PREFIX, Emulator
from raysync.emulator.serving.engine import Outcome, cdn_answer_with_fault
from raysync.emulator.serving.latency import Latency
from raysync.emulator.serving.visitors import refusal
from raysync.emulator.serving.wire import (
    CUTTING_ACTIONS,
    attachment_reply,
    cut_connection,
    respond,
    respond_in_pieces,
)

_FOREVER_S: Final = 86_400.0


class Handler:
    """Handler of all requests to one emulator."""

    def __init__(self, emulator: Emulator, latency: Latency | None = None) -> None:
        self._emulator = emulator
        self._control = Control(emulator)
        self._delays = latency.draws() if latency else None

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer any request to the server."""
        path, _, query = request.path_qs.partition("?")
        if path.startswith(CONTROL_PREFIX):
            return await self._answer_control(request, path.removeprefix(CONTROL_PREFIX), query)
        if path in (PATH, RESUME_PATH):
            return await Connection(self._emulator.gateway).serve(request)
        body = await request.read() if request.can_read_body else b""
        if path.startswith(API_PREFIX + "/"):
            return await self._answer_api(request, path.removeprefix(API_PREFIX), query, body)
        if path.startswith(("/attachments/", "/media/")):
            return await self._answer_cdn(request, path, query)
        return web.Response(status=404, text="404: Not Found")

    async def _answer_control(
        self, request: web.BaseRequest, name: str, query: str
    ) -> web.Response:
        """Answer a control request. Its body is read only after the visitor is admitted."""
        port = int(self._emulator.origin.rpartition(":")[2])
        has_body = request.can_read_body
        refused = refusal(request.method, request.headers, request.remote or "", port, has_body)
        if refused is not None:
            return web.json_response({"error": refused[1]}, status=refused[0])
        body = await _bounded_body(request, MAX_BYTES) if has_body else b""
        if body is None:
            return web.json_response(
                {"error": f"the body has more than {MAX_BYTES} bytes"}, status=413
            )
        reply = self._control.answer(request.method, name, query, body)
        return web.Response(status=reply.status, body=reply.body, content_type=reply.content_type)

    async def _answer_cdn(
        self, request: web.BaseRequest, path: str, query: str
    ) -> web.StreamResponse:
        """Answer a request to the CDN, which has no bots and no limits."""
        agent = request.headers.get("User-Agent", "")
        incoming = Incoming(
            request.method, path, query, request.remote or "", None, agent, cdn=True
        )
        range_header = request.headers.get("Range")
        world = self._emulator.world

        def answer() -> Outcome:
            return Outcome(attachment_reply(world, path.lstrip("/"), query, range_header))

        rule = self._emulator.faults.choose(incoming, None, None)
        if rule is None:
            return self._respond(request, incoming, answer())
        spoiled = partial(cdn_answer_with_fault, answer, rule)
        return await self._respond_with_fault(request, incoming, spoiled, rule)

    async def _answer_api(
        self, request: web.BaseRequest, path: str, query: str, body: bytes
    ) -> web.StreamResponse:
        headers = request.headers
        incoming = Incoming(
            method=request.method,
            path=path,
            query=query,
            address=request.remote or "",
            authorization=headers.get("Authorization"),
            user_agent=headers.get("User-Agent", ""),
            body=body,
        )
        engine = self._emulator.engine
        match, bot = engine.find(incoming), engine.bot_of(incoming.authorization)
        rule = self._emulator.faults.choose(incoming, match, bot)
        if self._delays is not None:
            await asyncio.sleep(next(self._delays))
        if rule is None:
            return self._respond(request, incoming, engine.answer(incoming, match))
        spoiled = partial(engine.answer_with_fault, incoming, match, rule)
        return await self._respond_with_fault(request, incoming, spoiled, rule)

    async def _respond_with_fault(
        self,
        request: web.BaseRequest,
        incoming: Incoming,
        answer: Callable[[], Outcome],
        rule: FaultRule,
    ) -> web.StreamResponse:
        edits = self._emulator.edits
        for edit in rule.before:
            edits.apply(edit)
        if rule.delay_s or rule.action is Action.HANG:
            await asyncio.sleep(rule.delay_s or _FOREVER_S)
        outcome = answer()
        for edit in rule.after:
            edits.apply(edit)
        if rule.action in CUTTING_ACTIONS:
            self._emulator.record(incoming, outcome, rule.action)
            return await cut_connection(request, rule, outcome.reply)
        if rule.action is Action.DRIP or rule.pad_bytes or rule.encodings:
            self._emulator.record(incoming, outcome, rule.action)
            return await respond_in_pieces(request, outcome.reply, rule)
        return self._respond(request, incoming, outcome, rule.action)

    def _respond(
        self,
        request: web.BaseRequest,
        incoming: Incoming,
        outcome: Outcome,
        fault: str | None = None,
    ) -> web.Response:
        self._emulator.record(incoming, outcome, fault)
        is_gzip_on = self._emulator.engine.quirks.gzip
        accepted = request.headers.get("Accept-Encoding", "") if is_gzip_on else ""
        return respond(outcome.reply, banned=outcome.banned, gzipped="gzip" in accepted)


async def _bounded_body(request: web.BaseRequest, max_bytes: int) -> bytes | None:
    """Return the body of a request, or None if it is larger than *max_bytes*."""
    body = bytearray()
    async for chunk in request.content.iter_chunked(1 << 16):
        body += chunk
        if len(body) > max_bytes:
            return None
    return bytes(body)
