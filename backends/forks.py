"""Let a forked child process renew the state that it inherits (gunicorn `preload_app`, uWSGI without `lazy-apps`)."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def renew_in_children(resource: T, renew: Callable[[T], None]) -> None:
    """Call *renew* with *resource* in each forked child process, unless it has been garbage-collected by then."""
    reference = weakref.ref(resource)

    def renew_if_alive() -> None:
        alive = reference()
        if alive is not None:
            renew(alive)

    os.register_at_fork(after_in_child=renew_if_alive)
