"""Dispatch of channels to workers. Ray's `ActorPool` is handed in; nothing here imports Ray."""
