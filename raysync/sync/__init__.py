"""Engine that reads one tenant's guild through its ports, without Ray, SQL or discord.py."""
