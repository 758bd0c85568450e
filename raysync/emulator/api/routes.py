"""All routes of the API."""

from raysync.emulator.api import guilds, identity, messages, threads
from raysync.emulator.api.routing import Router


def make_router() -> Router:
    """Return a router with all routes of the API."""
    router = Router()
    for module in (identity, guilds, messages, threads):
        module.add_routes(router)
    return router


def route_names() -> set[str]:
    """Return the names of all routes, as `Quirks.missing_routes` takes them."""
    return make_router().names()
