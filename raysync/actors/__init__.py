"""Ray actors as thin shells over plain classes, and the Ray that they run on.

Ray reads some variables once, when it is imported, which the modules of this package do. So what
Ray must know of them is set here. Ray's token is the user's matter where the cluster is.
"""

import os

from raysync.actors.shipped import has_shipped_folder

if not has_shipped_folder():
    # under `uv run`, Ray would upload the current folder, whatever is in it, and each worker would
    # build an environment of its own in that copy
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
if not os.environ.get("RAY_ADDRESS"):
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # as Ray would, but without its warning
