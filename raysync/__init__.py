"""raysync keeps a complete, true, up-to-date copy of Discord servers in PostgreSQL."""

from importlib.metadata import version

__version__ = version("raysync")
