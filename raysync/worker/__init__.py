"""Adapters wired into the engine, inside a worker process. Nothing here imports Ray."""
