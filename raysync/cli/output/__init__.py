"""Everything that the command line writes: to the terminal, to pipes, and to files."""
