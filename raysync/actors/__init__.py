"""Ray actors as thin shells over plain classes, and the Ray cluster that they run on.

Only this package and `submission/` import Ray. Ray reads some environment variables once, at its
import, so this package sets them before its modules import Ray.
"""

import os

from raysync.actors.shipped import has_shipped_folder

if not has_shipped_folder():
    # Under `uv run`, Ray would upload the current folder with all its files, and each worker would
    # build an environment of its own in that copy.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
