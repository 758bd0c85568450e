"""Keeping within Discord's limits ahead of time, so that no request is ever refused.

Two limits bind at once:

* **The token's**: 50 requests a second, whatever the route. Whether Discord holds it by fixed
  windows or by a sliding log is not documented, so we keep the stricter promise: in *no* stretch
  of one second do more than 50 arrive. A `GlobalBudget` grants *permits*, evenly ``1 / rate``
  apart, each for one request. A busy machine sends late, so the budget is told when each request
  was really sent, and counts a permit it has not heard of as used at its latest moment. A new
  permit starts no sooner than a second, and the network's jitter, after the 50th last was sent.
  Lateness thus costs a little speed (``50 / (1 s + jitter + lateness)`` binds below 48/s only from
  12 ms on) and never a refusal.
* **A bucket's**: a route within one channel or guild, 5 pages in 5 s for messages. Since 2022 most
  are leaky buckets, some are fixed windows, and headers do not tell which. `Bucket` keeps a
  log of *completions* and starts request ``i`` no sooner than a window after the completion of
  ``i - limit``. The server counted each request before it answered, and will count the next after
  we send it: so at the server, too, no window holds more than ``limit``, whatever the latency.
  Whoever keeps that promise satisfies a fixed window and a leaky bucket of the same limit as well.
  But a leaky bucket lets one more pass each ``window / limit``, where the log waits for a whole
  window and then sends a burst. So where honest headers prove that a route is leaky (`forms`), its
  level is kept instead, counted from completions too; a refusal there ends that for good.

What a bucket's limit *is* comes from three sources, of which each overrules the one before: what
people observed (`policies.PRIORS`), what honest headers say, and what a 429 says. Headers on
success can lie: a masked route shows 999 of 1000 until the 429 shows 0 of 5; values as high as
that bind nothing, so they are ignored.

None of it is believed without bounds, or for good. What one answer says binds its own bucket, once
(`claims`); of a route, its last answers have to agree (`votes`); and what is not heard again is
forgotten. So whatever headers say, a channel stands still for eleven minutes at most between two
requests: ten of a pause or window, and one of a route's longest window (for an hour where Discord
says that others use the resource). Honest answers bring it back to full speed.

Refusals cost more than time: 10,000 answers of 401, 403 or 429 in ten minutes ban the address.
The `Governor` counts them over all tokens and stops long before.

All of this takes the time as an argument; only `permits` and `limiter` wait.
"""
