"""Discord's limits, held on our side, ahead of time.

Discord limits a token to 50 requests a second, whoever uses it, and a channel's message pages to
about 5 per 5 seconds. Both are enforced by answers of 429; of those, together with 401 and 403,
10,000 within ten minutes ban the address. So learning a limit by running into it is no plan.

- `governor` holds the token's budget for all processes: paced permits in short leases.
- `permits` is a process's side of it.
- `bucket` is one channel's bucket; a channel belongs to one worker at a time, so it stays there.
- `limiter` puts both before each request, and records what was asked.

Time is an argument of the plain classes; only `permits` and `limiter` wait.
"""
