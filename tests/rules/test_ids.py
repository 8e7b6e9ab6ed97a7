"""Ids: what generators make and accept, and which generators a setting may name."""

import re

import pytest

from app.errors import Problem
from app.parsing.ids import UUID4, Generator, NameGenerator, RelaxedUUID, load_generator, principal_problem


class Counting:
    """A generator as Kinto's tutorial has it: `regexp`, `match(id)`, `__call__()`, built with `config`."""

    regexp = r"^[a-z.]+$"

    def __init__(self, config: object = None) -> None:
        assert config is None

    def match(self, object_id: str) -> object:
        return re.match(self.regexp, object_id)

    def __call__(self) -> str:
        return "made.here"


class Contradicting(Counting):
    """A generator that makes what it does not accept."""

    def __call__(self) -> str:
        return "123"


class Incomplete:
    """A class that is no generator."""

    def __init__(self, config: object = None) -> None:
        pass


@pytest.mark.parametrize("generator", [NameGenerator(), RelaxedUUID()], ids=["names", "relaxed UUIDs"])
@pytest.mark.parametrize("object_id", ["a", "0", "A-b_c", "7-", "x" * 255])
def test_a_name_is_accepted(generator: Generator, object_id: str) -> None:
    """C-OBJ-5, O-SET-37."""
    assert generator.match(object_id)


@pytest.mark.parametrize(
    "object_id",
    ["", "-a", "_a", "a b", "a/b", "é", "a\n", "x" * 256, 7, None, ["a"]],
    ids=[
        "empty",
        "a hyphen first",
        "an underscore first",
        "a space",
        "a slash",
        "an accent",
        "a line break at the end",
        "256 characters",
        "a number",
        "null",
        "a list",
    ],
)
def test_what_is_no_name_is_refused(object_id: object) -> None:
    """C-OBJ-5, C-OBJ-8, O-SET-38."""
    assert not NameGenerator().match(object_id)


def test_a_uuid_generator_accepts_lower_case_uuids_only() -> None:
    """C-OBJ-7."""
    accepts = UUID4().match

    assert accepts("7f6a5d1e-0b2c-1d3e-8f4a-5b6c7d8e9f00")
    assert not accepts("7F6A5D1E-0B2C-1D3E-8F4A-5B6C7D8E9F00")
    assert not accepts("7f6a5d1e-0b2c-1d3e-8f4a-5b6c7d8e9f00\n")
    assert not accepts("abc")


def test_made_names_have_eight_characters() -> None:
    """C-OBJ-6."""
    names = {NameGenerator()() for _ in range(200)}

    assert len(names) == 200
    assert all(re.fullmatch("[a-zA-Z0-9][a-zA-Z0-9_-]{7}", name) for name in names)


@pytest.mark.parametrize("generator", [RelaxedUUID(), UUID4()], ids=["relaxed", "strict"])
def test_made_uuids_are_of_version_4(generator: Generator) -> None:
    """C-OBJ-6."""
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", generator())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kinto.core.storage.generators.UUID4", UUID4),
        ("cliquet.storage.generators.UUID4", UUID4),
        ("kinto.views.NameGenerator", NameGenerator),
        ("kinto.views.RelaxedUUID", RelaxedUUID),
    ],
)
def test_names_of_kinto_are_understood_without_kinto(name: str, kind: type) -> None:
    """O-SET-37."""
    assert type(load_generator(name)) is kind


def test_an_own_generator_is_loaded_by_its_dotted_name() -> None:
    """C-OBJ-7, O-SET-37."""
    generator = load_generator(f"{__name__}.Counting")

    assert generator() == "made.here"
    assert generator.regexp == "^[a-z.]+$"
    assert generator.match("a.b")
    assert not generator.match("A")


@pytest.mark.parametrize(
    "object_id", ["a\n", "a" * 256, "", 7], ids=["a line break", "256 characters", "empty", "a number"]
)
def test_an_own_generator_is_held_to_the_limits_of_ids(object_id: object) -> None:
    """O-SET-38."""
    assert not load_generator(f"{__name__}.Counting").match(object_id)


def test_a_generator_is_refused_when_it_makes_what_it_does_not_accept() -> None:
    """Operations contract, 1.4."""
    with pytest.raises(ValueError, match=re.escape("Generated object id does comply with regexp.")):
        load_generator(f"{__name__}.Contradicting")


@pytest.mark.parametrize(
    "name", ["no_such_module.Generator", "app.parsing.ids.NoSuchClass", "app.parsing.ids.Foreign", "nodot", ""], ids=str
)
def test_a_generator_is_refused_by_name_when_it_cannot_be_loaded(name: str) -> None:
    with pytest.raises(ValueError, match=f"cannot load the id generator '{name}'"):
        load_generator(name)


def test_a_generator_is_refused_when_it_lacks_a_member() -> None:
    with pytest.raises(ValueError, match="it needs regexp"):
        load_generator(f"{__name__}.Incomplete")


@pytest.mark.parametrize(
    ("principal", "description"),
    [
        (None, "Required"),
        ("", "Required"),
        ([], "Required"),
        ({}, "Required"),
        (1, "1 is not a string: {'': ''}"),
        (True, "True is not a string: {'': ''}"),
        ("é" * 513, "Longer than 1024 bytes"),
    ],
    ids=["null", "empty", "an empty list", "an empty mapping", "a number", "true", "1026 bytes"],
)
def test_a_principal_is_refused(principal: object, description: str) -> None:
    """C-ERR-22, C-PERM-30."""
    assert principal_problem(principal, "permissions.read.0") == Problem("body", "permissions.read.0", description)


def test_a_principal_is_accepted_when_it_is_any_other_text() -> None:
    """C-PERM-4, C-PERM-5."""
    assert principal_problem("x" * 1024, "permissions.read.0") is None
