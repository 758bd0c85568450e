"""raysync keeps a complete, true, up-to-date copy of Discord servers in PostgreSQL."""


def __getattr__(name: str) -> str:
    """Look up ``__version__`` on first access, which takes longer than importing raysync."""
    if name == "__version__":
        from importlib.metadata import version

        return version("raysync")
    raise AttributeError(name)
