"""Count how often pages need an index that their list does not have, in a bounded part of the memory of the process."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from typing import Final

from backends.storage import IndexDefinition

TIMES: Final = 10
"""How many pages within `_WINDOW_SECONDS` need an index until it is created."""

_WINDOW_SECONDS: Final = 3600.0
_MAX_PAIRS: Final = 1_000
"""The most pairs of a list and a definition that are counted; the one counted longest ago gives way."""


class IndexDemand:
    """The times at which pages would have used indexes that do not exist."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._times: OrderedDict[tuple[str, IndexDefinition], deque[float]] = OrderedDict()

    def count(self, missing: tuple[str, IndexDefinition], now: float) -> bool:
        """Count a page for which a list has no index, at *now* in seconds; return whether to create the index.

        Then counting begins again.
        """
        with self._lock:
            times = self._times.pop(missing, None) or deque[float](maxlen=TIMES)
            times.append(now)
            if len(times) == TIMES and times[0] > now - _WINDOW_SECONDS:
                return True
            self._times[missing] = times
            if len(self._times) > _MAX_PAIRS:
                self._times.popitem(last=False)
        return False
