"""Ray shells over plain classes, and the wiring inside a worker."""

import os

if "RAY_ADDRESS" not in os.environ:
    # Under `uv run`, Ray would have each worker of a local run build an environment of its own
    # with uv, in an uploaded copy of the folder. Ray reads this when it is imported, which the
    # modules of this package do; on a cluster it is the user's choice.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
