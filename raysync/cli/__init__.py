"""Command line: parses options, calls the driver or the store, prints, sets the exit code."""
