"""Output of the command line: to the terminal, to pipes, and to files."""
