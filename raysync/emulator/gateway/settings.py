"""Settings of the gateway."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Numbers of the gateway: Discord's, or as a test needs them."""

    heartbeat_interval_ms: int = 41_250
    session_limit: int = 1000  #: sessions that a bot may begin in a day
    reset_after_ms: int = 14_400_000
    identify_window_s: float = 5.0  #: in which `max_concurrency` sessions may begin
    replay_events: int = 100_000  #: events that a session keeps for a RESUME
    replay_s: float = 180.0  #: age of the oldest of them
    resume_window_s: float = 180.0  #: time for which a session outlives its connection
    sends: int = 120  #: frames that a client may send ...
    sends_window_s: float = 60.0  #: ... in this time
    guilds_a_shard: int = 2500
    wants_shards: int | None = None  #: recommended number; None: by the number of guilds
