"""raysync keeps a complete, true, up-to-date copy of Discord servers in PostgreSQL."""


def __getattr__(name: str) -> str:
    """``__version__``, looked up when it is asked for: that takes longer than the import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("raysync")
    raise AttributeError(name)
