"""Discord's gateway: WebSocket sessions with a replay buffer, intents, and faults on demand."""
