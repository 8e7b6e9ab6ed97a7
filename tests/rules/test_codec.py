"""Encoding and decoding of stored JSON (`backends.codec`)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from backends.codec import dumps, embed, loads

TEXT = '{"b":1,"long":1234567890123456789012,"a":"\u00e9"}'


@pytest.mark.parametrize("number", [10**18, 2**63, 2**64, -(2**64), 10**40])
def test_integers_of_any_size_stay_exact(number: int) -> None:
    assert loads(dumps({"n": number})) == {"n": number}


@pytest.mark.parametrize("more", [1, 2**70], ids=["small", "beyond 64 bits"])
def test_embedded_text_becomes_a_part_of_the_text_as_it_is(more: int) -> None:
    assert dumps({"of": embed(TEXT), "n": more}) == f'{{"of":{TEXT},"n":{more}}}'


@pytest.mark.parametrize("microsecond", [0, 7, 120_000])
def test_a_moment_is_its_iso_format(microsecond: int) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, microsecond, UTC)

    assert dumps(moment) == f'"{moment.isoformat()}"'


def test_other_objects_are_refused() -> None:
    with pytest.raises(TypeError):
        dumps({"n": object()})
