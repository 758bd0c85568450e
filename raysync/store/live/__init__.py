"""Storage of the live tail: events, sessions of the gateway, and what each tenant's tail heard."""
