"""For how long a list counts as one for which writers compete."""

from __future__ import annotations

from backends.storage.derived import CONTENDED_SECONDS, ContendedLists


class _Clock:
    """A clock that goes on when a test says so."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_list_is_contended_for_some_seconds_after_the_last_refusal() -> None:
    clock = _Clock()
    contended = ContendedLists(clock)
    contended.add(["a", "b"])
    clock.now += CONTENDED_SECONDS / 2
    contended.add(["b"])

    assert ["a" in contended, "b" in contended, "c" in contended] == [True, True, False]
    clock.now += CONTENDED_SECONDS / 2
    assert ["a" in contended, "b" in contended] == [False, True]


def test_lists_that_are_contended_no_longer_are_forgotten_when_there_are_many() -> None:
    clock = _Clock()
    contended = ContendedLists(clock)
    contended.add(map(str, range(10_000)))
    clock.now += CONTENDED_SECONDS
    contended.add(["new"])

    assert list(vars(contended)["_ends"]) == ["new"]
