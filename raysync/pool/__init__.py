"""Dispatch of channels to workers. Nothing here imports Ray: its `ActorPool` is handed in."""
