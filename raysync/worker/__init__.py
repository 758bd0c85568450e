"""Logic inside the actors: adapters wired into the engine. Nothing here imports Ray."""
