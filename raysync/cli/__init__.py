"""The command line: parses, calls the driver or the store, prints, and sets the exit code."""
