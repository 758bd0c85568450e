"""The adapter over discord.py: nothing else of raysync knows that library."""
