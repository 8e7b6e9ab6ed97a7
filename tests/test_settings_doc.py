"""The page of the settings says what the declarations say (O-SET-50)."""

from app.settings.catalogue import GROUPS
from app.settings.fields import declarations
from scripts.settings_doc import PATH, render


def test_the_page_of_the_settings_is_up_to_date() -> None:
    """Write it anew with `python -m scripts.settings_doc`."""
    assert PATH.read_text(encoding="utf-8") == render()


def test_every_setting_has_a_row() -> None:
    page = render()

    names = {declaration.name for _, group in GROUPS for _, declaration in declarations(group)}
    assert {name for name in names if f"| `{name}`" not in page} == set()
    assert len(names) > 100
