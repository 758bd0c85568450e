"""`raysync emulator`: the Discord emulator as a program of its own."""
