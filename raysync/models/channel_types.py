"""Discord's channel types, grouped by their content."""

from __future__ import annotations

from typing import Final

TEXT: Final = 0
VOICE: Final = 2
CATEGORY: Final = 4
ANNOUNCEMENT: Final = 5
ANNOUNCEMENT_THREAD: Final = 10
PUBLIC_THREAD: Final = 11
PRIVATE_THREAD: Final = 12
STAGE: Final = 13
DIRECTORY: Final = 14
FORUM: Final = 15
MEDIA: Final = 16

THREADS: Final = frozenset({ANNOUNCEMENT_THREAD, PUBLIC_THREAD, PRIVATE_THREAD})
VOICE_LIKE: Final = frozenset({VOICE, STAGE})
"""Types with text that needs CONNECT in addition to VIEW_CHANNEL."""
WITH_MESSAGES: Final = frozenset({TEXT, VOICE, ANNOUNCEMENT, STAGE}) | THREADS
THREAD_PARENTS: Final = frozenset({TEXT, ANNOUNCEMENT, FORUM, MEDIA})
WITHOUT_MESSAGES: Final = frozenset({CATEGORY, DIRECTORY, FORUM, MEDIA})
"""Types that hold no messages of their own. A type in no set here is reported as unknown."""
