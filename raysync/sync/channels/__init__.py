"""The sync of one channel: its reading, its pages, and its extras."""
