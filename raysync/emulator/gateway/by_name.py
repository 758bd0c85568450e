"""Faults of the gateway by the names and plain values that a script gives."""

from typing import Any, Final

from raysync.emulator.gateway.faults import GatewayRule
from raysync.emulator.gateway.gateway import Gateway

_METHODS: Final = frozenset(
    {
        "change", "close_all", "forget_sessions", "invalidate", "make_zombies", "reconnect_all",
        "refuse_resumes", "reset_sockets", "set_remaining",
    }
)  # fmt: skip


def stage(gateway: Gateway, name: str, arguments: dict[str, Any]) -> None:
    """Stage one fault: a method of the gateway, ``rule``, or ``clear_rules``.

    Raises:
        ValueError: there is no such fault.
        TypeError: it does not take these arguments.
    """
    if name == "rule":
        gateway.faults.add(GatewayRule(**arguments))
    elif name == "clear_rules":
        gateway.faults.clear()
    elif name in _METHODS:
        getattr(gateway, name)(**arguments)
    else:
        known = sorted(_METHODS | {"rule", "clear_rules"})
        raise ValueError(f"unknown fault of the gateway: {name}; use {', '.join(known)}")
