"""Let what a forked child inherits be renewed there (gunicorn `preload_app`, uWSGI without `lazy-apps`)."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def renew_in_children(inherited: T, renew: Callable[[T], None]) -> None:
    """Call *renew* with *inherited* in each forked child, as long as it is in use. Nothing here keeps it alive."""
    known = weakref.ref(inherited)

    def renew_if_used() -> None:
        used = known()
        if used is not None:
            renew(used)

    os.register_at_fork(after_in_child=renew_if_used)
