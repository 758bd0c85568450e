"""Discord's rate limits, kept ahead of time so that no request is ever refused.

Two limits bind at once:

* **The token's**: 50 requests a second, whatever the route. Discord does not document whether it
  uses fixed windows or a sliding log, so we keep the stricter promise: in *no* stretch of one
  second do more than 50 requests arrive. A `GlobalBudget` grants *permits*, ``1 / rate`` apart,
  each for one request. A busy machine sends late, so workers report when each request was really
  sent. A permit without a report counts as used at the end of its validity. A new permit starts no
  sooner than a second, and the network's jitter, after the 50th last request was sent. So lateness
  costs a little speed (``50 / (1 s + jitter + lateness)`` is below 48/s only from 12 ms on) and
  never a refusal.
* **A bucket's**: a route within one channel or guild, 5 pages in 5 s for messages. Since 2022 most
  are leaky buckets, some are fixed windows, and headers do not name the form. `Bucket` keeps a log
  of *completions*, and starts request ``i`` no sooner than a window after the completion of
  ``i - limit``. The server counted each request before it answered, and counts the next one after
  we send it. So at the server, too, no window holds more than ``limit``, whatever the latency.
  This promise satisfies a fixed window and a leaky bucket of the same limit as well. But a leaky
  bucket lets one more request pass each ``window / limit``, where the log waits for a whole window
  and then sends a burst. So where honest headers prove that a route is leaky (`forms`), its level
  is kept instead, also counted from completions; a refusal ends that for good.

A bucket's limit comes from three sources, of which each overrules the one before: observed limits
(`policies.PRIORS`), honest headers, and a 429. Headers on success can lie: a masked route shows 999
of 1000 until the 429 shows 0 of 5. Values as high as that bind nothing, so they are ignored.

No source is believed without bounds, or for good. One answer binds its own bucket, once (`claims`).
For a route, its last answers have to agree (`votes`). A limit that is not confirmed expires. So
whatever headers say, a channel waits for eleven minutes at most between two requests: ten of a
pause or window, and one of a route's longest window. It waits for up to an hour where Discord says
that others use the resource. Honest answers bring it back to full speed.

Refusals cost more than time: 10,000 answers of 401, 403 or 429 in ten minutes ban the address.
The `Governor` counts them over all tokens and stops long before.

All of this takes the time as an argument; only `permits`, `leases`, `bucket_queues`,
`in_flight_limit`, `limiter`, `slow` and `share_keeper` wait.
"""
