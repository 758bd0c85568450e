"""Answers of a server that lacks a route, in each form of `MissingForm`."""

from raysync.emulator.api import replies
from raysync.emulator.api.quirks import MissingForm
from raysync.emulator.api.replies import PLAIN_TEXT, Reply


def missing_route_reply(form: MissingForm) -> Reply:
    """Return the answer for a route that the server lacks."""
    match form:
        case MissingForm.DISCORD:
            return replies.not_found().reply()
        case MissingForm.TEXT:
            return Reply(404, b"404 page not found\n", PLAIN_TEXT)
        case MissingForm.HTML:
            return replies.proxy_page(404)
        case MissingForm.METHOD:
            return replies.method_not_allowed().reply()
        case MissingForm.GONE:
            return replies.gone().reply()
        case MissingForm.NOT_IMPLEMENTED:
            return replies.not_implemented().reply()
        case MissingForm.BAD_REQUEST:
            return replies.unknown_route().reply()
        case MissingForm.NO_BOTS:
            return replies.no_bots().reply()
