"""The archive: messages, channels, pages with their checkpoints, files, and exports."""
