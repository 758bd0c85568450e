"""`raysync demo` and the emulator process that it starts."""
