"""The live tail: events of the gateway in, batches of rows out. Pure asyncio, behind ports."""
