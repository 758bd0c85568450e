"""Opcodes and close codes of the gateway."""

from enum import IntEnum


class Op(IntEnum):
    """Discord's numbers of the opcodes."""

    DISPATCH = 0
    HEARTBEAT = 1
    IDENTIFY = 2
    PRESENCE = 3
    VOICE_STATE = 4
    RESUME = 6
    RECONNECT = 7
    REQUEST_MEMBERS = 8
    INVALID_SESSION = 9
    HELLO = 10
    HEARTBEAT_ACK = 11


class Close(IntEnum):
    """Discord's numbers of the close codes."""

    UNKNOWN_ERROR = 4000
    UNKNOWN_OPCODE = 4001
    DECODE_ERROR = 4002
    NOT_AUTHENTICATED = 4003
    AUTHENTICATION_FAILED = 4004
    ALREADY_AUTHENTICATED = 4005
    INVALID_SEQUENCE = 4007
    RATE_LIMITED = 4008
    SESSION_TIMED_OUT = 4009
    INVALID_SHARD = 4010
    SHARDING_REQUIRED = 4011
    INVALID_API_VERSION = 4012
    INVALID_INTENTS = 4013
    DISALLOWED_INTENTS = 4014


ENDING_CODES = frozenset({1000, 1001})
"""Codes by which a client ends its session."""
ALL_INTENTS = sum(1 << bit for bit in (*range(17), 20, 21, 24, 25))
"""Every intent that Discord documents."""
PRIVILEGED_MEMBERS = 1 << 1
PRIVILEGED_CONTENT = 1 << 15
"""Intents that the application must have switched on."""
