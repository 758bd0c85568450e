"""Names to search a person by in an archive: the pseudonym, and the id.

An archive written under earlier rules may have the id itself in texts and payloads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

ESCAPE = "%(25)*[0-9A-Fa-f]{2}"
"""Regular expression of a percent-escape in an address."""


@dataclass(frozen=True, slots=True)
class Names:
    """Names of one person in an archive."""

    refs: tuple[str, ...]

    @classmethod
    def of(cls, ref: str, typed: str | None = None) -> Names:
        """Return the names of a person: *ref*, and what an operator *typed*."""
        return cls((ref,) if typed is None or typed == ref else (ref, typed))

    @property
    def values(self) -> dict[str, Any]:
        """Return the parameters of statements with `is_named` or ``:refs`` in them."""
        return {"refs": list(self.refs), "patterns": [_pattern(ref) for ref in self.refs]}


def is_named(*columns: str) -> str:
    """Return the SQL condition that one of the text *columns* names the person."""
    sought = "unnest(CAST(:refs AS text[]), CAST(:patterns AS text[])) AS sought (ref, pattern)"
    return "({})".format(
        " OR ".join(
            f"EXISTS (SELECT FROM {sought} WHERE strpos({column}, ref) > 0 AND {column} ~ pattern)"
            for column in columns
        )
    )


def _pattern(ref: str) -> str:
    """Return a regular expression for *ref*. A digit next to an id makes another number."""
    if not ref.isdigit():
        return re.escape(ref)
    return f"(^|[^0-9]|{ESCAPE})0*{ref}([^0-9]|$)"
