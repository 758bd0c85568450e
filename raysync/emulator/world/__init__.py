"""The state that is served: guilds, channels, messages, files and bots."""
