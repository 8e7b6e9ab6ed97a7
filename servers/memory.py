"""Return free memory to the system: glibc keeps what long responses have used, in an arena for each few threads.

On other C libraries both functions do nothing.
"""

from __future__ import annotations

import ctypes
from typing import Final

_LIBRARY: Final = ctypes.CDLL(None)
_M_ARENA_MAX: Final = -8
"""The parameter of mallopt(3) for the number of arenas."""
_ARENAS: Final = 2


def limit_arenas() -> None:
    """Let all threads share two arenas; call this before there are threads. They run Python one at a time anyway."""
    if hasattr(_LIBRARY, "mallopt"):
        _LIBRARY.mallopt(_M_ARENA_MAX, _ARENAS)


def trim() -> None:
    """Return whole free pages to the system (malloc_trim(3)). Other threads run meanwhile."""
    if hasattr(_LIBRARY, "malloc_trim"):
        _LIBRARY.malloc_trim(0)
