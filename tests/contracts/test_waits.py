"""How long threads may wait for locks, of which few may wait long (`storage_lock_timeout`)."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from backends import Busy
from backends.storage.errors import Conflict, Unlocked
from backends.storage.waits import BRIEF_SECONDS, PATIENT, Waits

LIMIT = 10.0


class _Clock:
    """A clock that goes on when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def _register(stack: ExitStack, waits: Waits, *names: str) -> float:
    return stack.enter_context(waits.register(names))


def _wait_and_fail(clock: _Clock, error: Exception) -> None:
    clock.now += BRIEF_SECONDS + 0.001
    raise error


def test_few_threads_wait_long_and_none_once_one_has_waited_too_long() -> None:
    clock = _Clock()
    waits = Waits(LIMIT, clock)

    with ExitStack() as stack:
        first = [_register(stack, waits, "a") for _ in range(PATIENT)]
        others = [_register(stack, waits, name) for name in "aabc"]
        clock.now += BRIEF_SECONDS
        in_time = _register(stack, waits, "a", "d")
        clock.now += 0.001
        with pytest.raises(Busy), waits.register(("d", "a")):
            pass
        elsewhere = _register(stack, waits, "e")
    later = [_register(stack, waits, "a") for _ in range(PATIENT)]

    assert first == later == [LIMIT] * PATIENT
    assert others == [BRIEF_SECONDS] * 4
    assert in_time == BRIEF_SECONDS
    assert 0 < elsewhere < BRIEF_SECONDS


def test_a_thread_that_is_refused_with_the_lock_gets_it_again_whoever_has_waited_longer() -> None:
    """Those for other lists are overdue as before."""
    clock = _Clock()
    waits = Waits(LIMIT, clock)

    with ExitStack() as stack:
        _register(stack, waits, "a")
        _register(stack, waits, "b")
        with pytest.raises(Unlocked), waits.register(("a",)):
            _wait_and_fail(clock, Unlocked((), ("a",)))
        again = _register(stack, waits, "a")
        with pytest.raises(Busy), waits.register(("b",)):
            pass

    assert again == BRIEF_SECONDS


@pytest.mark.parametrize("error", [Busy("timeout"), Conflict("deadlock"), KeyError()], ids=repr)
def test_another_error_tells_nothing_of_the_lock(error: Exception) -> None:
    clock = _Clock()
    waits = Waits(LIMIT, clock)

    with ExitStack() as stack:
        _register(stack, waits, "a")
        with pytest.raises(type(error)), waits.register(("a",)):
            _wait_and_fail(clock, error)
        with pytest.raises(Busy), waits.register(("a",)):
            pass


def test_a_short_limit_is_nobodys_minimum() -> None:
    waits = Waits(0.1)

    with ExitStack() as stack:
        assert {_register(stack, waits, "a") for _ in range(PATIENT + 1)} == {0.1}


def test_a_thread_that_fails_does_not_wait_any_more() -> None:
    waits = Waits(LIMIT)
    for _ in range(PATIENT):
        with pytest.raises(KeyError), waits.register(("a",)):
            raise KeyError

    with waits.register(("a",)) as seconds:
        assert seconds == LIMIT
