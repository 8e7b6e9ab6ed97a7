"""What docs/production.md shows of servers is what lies in `deploy/`, and what it says of them is so (O-DEP-17)."""

from __future__ import annotations

import re

import pytest

from tests.deploy.servers import DEPLOY
from tests.production import guide
from tests.support.services import ROOT

TITLE = "Run the Kinto application"
LANGUAGES = ("nginx", "apache", "ini")
FILES = [path.read_text(encoding="utf-8") for path in sorted(DEPLOY.rglob("*")) if path.is_file()]
BLOCKS = [block for language in LANGUAGES for block in guide.blocks_of(TITLE, language)]
SHOWN = [block for block in BLOCKS if not block.startswith("kinto.")]


@pytest.mark.parametrize("block", SHOWN, ids=[block.strip().splitlines()[0] for block in SHOWN])
def test_the_guide_shows_what_is_deployed_for(block: str) -> None:
    assert any(block in text for text in FILES)


@pytest.mark.parametrize("name", ["proxy", "uwsgi", "proxy_cache", "uwsgi_cache"])
def test_the_guide_names_the_file_for_nginx(name: str) -> None:
    assert f"`deploy/nginx/{name}.conf`" in guide.section(TITLE)


def test_every_file_that_the_guide_names_is_there() -> None:
    named = set(re.findall(r"`((?:deploy|tests)/[\w./]*)`", guide.section(TITLE)))

    assert [name for name in named if not (ROOT / name).exists()] == []


@pytest.mark.parametrize(
    "heading",
    [TITLE, "Using Apache mod wsgi", "Using nginx", "Running with uWSGI", "Nginx as cache server"],
)
def test_the_guide_has_the_heading_of_kinto_s_own(heading: str) -> None:
    assert guide.section(heading).strip()


@pytest.mark.parametrize(
    "line",
    [
        "WSGIPassAuthorization    On",
        "WSGIApplicationGroup     %{GLOBAL}",
        "proxy_no_cache           $http_authorization;",
    ],
)
def test_the_guide_has_the_line_without_which_a_recipe_fails(line: str) -> None:
    """O-DEP-3, O-DEP-7."""
    assert line in guide.section(TITLE)
