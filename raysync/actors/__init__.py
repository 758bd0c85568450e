"""Ray shells over plain classes, and the wiring inside a worker.

Ray reads some variables once, when it is imported, which the modules of this package do. So what
a local Ray needs of them is set here; on a cluster they are the user's.
"""

import os

if not os.environ.get("RAY_ADDRESS"):
    # under `uv run`, each worker would build an environment of its own, in an uploaded copy of
    # the folder
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # as Ray would, but without its warning
