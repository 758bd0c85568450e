"""Changes of settings by name: limits, quirks and times from plain JSON values."""

import dataclasses
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from raysync.emulator.api.quirks import MissingForm, Quirks
from raysync.emulator.limits.settings import BanBody, Form, Headers, Limits, Refusals

UNCHANGEABLE: Final = frozenset({"clock", "routes", "shared_routes"})
"""Limits that have no plain value."""
NAME_SETS: Final = frozenset({"ignored_cursors", "missing_routes"})
"""Quirks that are sets of names."""
_FAR_MS: Final = 100 * 366 * 86_400_000
"""Maximum of a time and of an offset: a hundred years."""
_MAX_LIMIT: Final = 1e9
"""Maximum of any limit, in its unit."""
_MAY_BE_0: Final = frozenset({"global_limit", "invalid_limit", "ban_s", "retry_header_extra_s"})
_ENUMS: Final[dict[str, type[StrEnum]]] = {
    "bucket_form": Form,
    "global_form": Form,
    "headers": Headers,
    "ban_body": BanBody,
    "refusals": Refusals,
}


def checked_ms(value: Any) -> int:
    """Return a time or an offset in milliseconds. Raise ValueError beyond a hundred years."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > _FAR_MS:
        raise ValueError(
            f"a time must be a number of milliseconds, at most a hundred years: {value!r:.40}"
        )
    return int(value)


def changed_quirks(quirks: Quirks, changes: Mapping[str, Any]) -> Quirks:
    """Return quirks with some values replaced. Raise ValueError for unknown or invalid ones."""
    values = {**changes}
    unknown = values.keys() - {field.name for field in dataclasses.fields(Quirks)}
    if unknown:
        raise ValueError(f"unknown quirks: {sorted(unknown)}")
    if "missing_form" in values:
        values["missing_form"] = MissingForm(values["missing_form"])
    for name, value in values.items():
        if name in NAME_SETS:
            values[name] = _name_set(name, value)
            continue
        has_type = type(value) is type(getattr(quirks, name))
        if not has_type or (isinstance(value, int) and value < 0):
            raise ValueError(f"invalid value of {name}: {value!r:.40}")
    return dataclasses.replace(quirks, **values)


def _name_set(quirk: str, value: Any) -> frozenset[str]:
    if isinstance(value, list | tuple) and all(isinstance(name, str) for name in value):
        return frozenset(value)
    raise ValueError(f"{quirk} must be a list of names")


def changed_limits(limits: Limits, changes: Mapping[str, Any]) -> Limits:
    """Return limits with some values replaced. Raise ValueError for unknown or invalid ones."""
    known = {field.name for field in dataclasses.fields(Limits)} - UNCHANGEABLE
    unknown = changes.keys() - known
    if unknown:
        raise ValueError(f"unknown limits: {sorted(unknown)}")
    values = {name: _limit(name, changes[name]) for name in changes}
    return dataclasses.replace(limits, **values)


def _limit(name: str, value: Any) -> Any:
    if name in _ENUMS:
        return _ENUMS[name](value)
    is_switch = name == "enabled"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(value, bool) != is_switch or not (is_switch or is_number):
        raise ValueError(f"invalid value of {name}: {value!r:.40}")
    minimum = 0 if name in _MAY_BE_0 else 1e-9
    if not is_switch and not minimum <= value <= _MAX_LIMIT:
        raise ValueError(f"{name} must be between {minimum:g} and {_MAX_LIMIT:g}")
    return value
