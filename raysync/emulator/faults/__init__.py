"""Faults on demand: a script of rules, each with its conditions and its action."""

from raysync.emulator.faults.rules import Action, FaultRule
from raysync.emulator.faults.script import FaultScript

__all__ = ["Action", "FaultRule", "FaultScript"]
