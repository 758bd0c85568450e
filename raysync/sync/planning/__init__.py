"""The plan of a guild: listed channels, permissions, archived threads, and expected pages."""
